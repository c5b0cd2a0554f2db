"""``python -m bocage``."""

from bocage.cli.main import script

if __name__ == "__main__":
    script()
