"""``python -m bocage``."""

from bocage.cli.commands import script

if __name__ == "__main__":
    script()
