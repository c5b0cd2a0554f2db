"""Conversion of exceptions to exit codes: one line for an expected error, a log file for an unexpected one."""

import datetime
import errno
import os
import platform
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

import click

from bocage.errors import BocageError, RecipeError
from bocage.machine import versions

EXPECTED, UNEXPECTED, INTERRUPTED = 1, 3, 130


def guarded(work: Callable[[], None]) -> int:  # noqa: PLR0911 - one return per kind of error
    """Run `work` and return the exit code: 0, 1 for an expected error, 3 for an unexpected error, 130 for Ctrl+C."""
    try:
        work()
    except RecipeError as error:
        click.echo(f"error: {error if len(error.problems) == 1 else _listed(error)}", err=True)
        return EXPECTED
    except BocageError as error:
        click.echo(f"error: {error}", err=True)
        return EXPECTED
    except OSError as error:
        if error.errno == errno.ENOSPC:
            click.echo(
                f"error: the disk is full ({error.filename or 'while writing'}). Free disk space and run the same command again.",
                err=True,
            )
            return EXPECTED
        if error.errno is None or not error.filename:
            return _unexpected(error)
        click.echo(f"error: {error.filename}: {error.strerror}.", err=True)
        return EXPECTED
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted; completed work is kept. Run the same command to resume.", err=True)
        return INTERRUPTED
    except Exception as error:  # any other exception is a defect of Bocage: write a log
        return _unexpected(error)
    return 0


def _listed(error: RecipeError) -> str:
    return f"{error.heading}:" + "".join(f"\n  - {problem}" for problem in error.problems)


def _unexpected(error: BaseException) -> int:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    name = f"bocage-error-{stamp}-{os.getpid()}.log"
    text = "\n".join(
        ["bocage " + " ".join(sys.argv[1:]), _versions(), "".join(traceback.format_exception(error))],
    )
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        click.echo(
            f"unexpected error: {type(error).__name__}: {error}. The log is {folder / name}. Please report it.",
            err=True,
        )
        return UNEXPECTED
    click.echo(text, err=True)
    return UNEXPECTED


def _versions() -> str:
    found = versions()
    python = found.pop("python")
    return f"python {python} on {platform.platform()}; " + ", ".join(
        f"{name} {version}" for name, version in found.items()
    )
