"""Conversion of exceptions to exit codes: one line for an expected error, a log file for an unexpected one."""

import datetime
import errno
import logging
import os
import platform
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from bocage.errors import BocageError, RecipeError
from bocage.machine import versions
from bocage.redaction import redacted

EXPECTED, UNEXPECTED, INTERRUPTED, TERMINATED = 1, 3, 130, 143


class Terminated(KeyboardInterrupt):
    """The process received SIGTERM: it ends like after Ctrl+C, with its own exit code."""


class _Redaction(logging.Filter):
    """Redact the messages that libraries log to the terminal: urllib3 logs addresses that it requests again."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact a record and keep it."""
        record.msg, record.args = redacted(record.getMessage()), ()
        return True


_REDACTION = _Redaction()


@contextmanager
def _terminable() -> Iterator[None]:
    """Raise :class:`Terminated` in the main thread on SIGTERM, which batch systems send before they kill a job."""

    def stop(*_: Any) -> None:
        # A second signal does not interrupt the removal of locks and workers. Processes that start meanwhile would inherit
        # SIG_IGN, and could not be ended.
        signal.signal(signal.SIGTERM, lambda *_: None)
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only the main thread can receive signals
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def guarded(work: Callable[[], None]) -> int:
    """Run `work` and return the exit code.

    It is 0, 1 for an expected error, 3 for an unexpected error, 130 for Ctrl+C, and 143 for SIGTERM.
    """
    if logging.lastResort:
        logging.lastResort.addFilter(_REDACTION)
    try:
        with _terminable():
            work()
    except RecipeError as error:
        click.echo(f"error: {error if len(error.problems) == 1 else _listed(error)}", err=True)
        return EXPECTED
    except BocageError as error:
        click.echo(f"error: {error}", err=True)
        return EXPECTED
    except OSError as error:
        return _of_system(error)
    except (KeyboardInterrupt, click.Abort) as error:
        terminated = isinstance(error, Terminated) or isinstance(
            error.__cause__, Terminated
        )  # click raises Abort from it
        how = "terminated (SIGTERM)" if terminated else "interrupted"
        click.echo(f"{how}; completed work is kept. Run the same command to resume.", err=True)
        return TERMINATED if terminated else INTERRUPTED
    except Exception as error:  # any other exception is a defect of Bocage: write a log
        return _unexpected(error)
    return 0


def _of_system(error: OSError) -> int:
    """Report an error of the operating system: expected if it names a file, or if the disk has no room."""
    if full := _without_room(error, error.filename or "while writing"):
        click.echo(redacted(full), err=True)
        return EXPECTED
    if error.errno is None or not error.filename:
        return _unexpected(error)
    click.echo(redacted(f"error: {error.filename}: {error.strerror}."), err=True)
    return EXPECTED


def _without_room(error: OSError, where: str) -> str:
    """Return the message of an error for want of room; empty for any other."""
    messages = {
        errno.ENOSPC: f"error: the disk is full ({where}). Free disk space and run the same command again.",
        errno.EDQUOT: f"error: the disk quota is exceeded ({where}). Free disk space and run the same command again.",
        errno.EFBIG: f"error: a file is larger than the file system or 'ulimit -f' allows ({where}). Raise the limit and run the "
        "same command again.",
    }
    return messages.get(error.errno or 0, "")


def _listed(error: RecipeError) -> str:
    return f"{error.heading}:" + "".join(f"\n  - {problem}" for problem in error.problems)


def _unexpected(error: BaseException) -> int:
    stamp = datetime.datetime.now(datetime.UTC).strftime("%Y%m%dT%H%M%S")
    name = f"bocage-error-{stamp}-{os.getpid()}.log"
    text = redacted(
        "\n".join(["bocage " + " ".join(sys.argv[1:]), _versions(), "".join(traceback.format_exception(error))])
    )
    for folder in (Path.cwd(), Path(tempfile.gettempdir())):
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        what = redacted(f"{type(error).__name__}: {error}")
        click.echo(f"unexpected error: {what}. The log is {folder / name}. Please report it.", err=True)
        return UNEXPECTED
    click.echo(text, err=True)
    return UNEXPECTED


def _versions() -> str:
    found = versions()
    python = found.pop("python")
    return f"python {python} on {platform.platform()}; " + ", ".join(
        f"{name} {version}" for name, version in found.items()
    )
