"""Processes that tests kill or interrupt: forked from a server that has imported the package, so each costs its work alone."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import bocage.mapping.lattice
from bocage.cli import main
from bocage.disk import Journal
from bocage.run import held

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["bocage.cli", "bocage.jobs.run", "bocage.jobs.compare", "bocage.training", "distributed", "lightning_fabric"]
)


def started(target: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process that has begun."""
    process = SERVER.Process(target=target, args=arguments)
    process.start()
    return process


def ended(target: Callable[..., None], *arguments: Any) -> int:
    """How a process ended: its exit status, or minus the signal that killed it."""
    process = started(target, *arguments)
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def holding(folder: Path, told: Connection) -> None:
    """Hold a run's folder until killed."""
    with held(folder):
        told.send("held")
        signal.pause()


def listening(arguments: Sequence[str], said: Path) -> None:
    """Run the command line, which ^C ends even where the tests run in the background of a shell, which ignores it there."""
    with said.open("w") as stream:
        os.dup2(stream.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(main(list(arguments)))


def killed_noting(arguments: Sequence[str], notes: int, small: int = 0) -> None:
    """Run the command line, killed once so many parts are noted; 0: before the first note. Others are being made then."""
    bocage.mapping.lattice.SMALL = small or bocage.mapping.lattice.SMALL
    left, add = [notes], Journal.add

    def note(self: Journal, place: str, **more: Any) -> None:
        if left[0]:
            add(self, place, **more)
            left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.add = note  # type: ignore[method-assign]
    sys.exit(main(list(arguments)))


def killed_training(arguments: Sequence[str], steps: int) -> None:
    """Run the command line, killed after so many steps of an optimiser, in the middle of an epoch."""
    from torch.optim.optimizer import register_optimizer_step_post_hook

    left = [steps]

    def step(*_: Any) -> None:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)

    register_optimizer_step_post_hook(step)
    sys.exit(main(list(arguments)))


def connected() -> tuple[Connection, Connection]:
    """Both ends of a pipe: where is read, where is written."""
    return SERVER.Pipe(duplex=False)
