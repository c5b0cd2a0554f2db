"""``python -m bocage``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # Python adds the working directory; its files are not code that the user asked to run
    from bocage.cli.main import script

    script()
