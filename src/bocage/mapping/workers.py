"""Workers that compute the windows: threads of this process, or, with Dask, other processes or other machines.

All workers run the same code (:class:`bocage.mapping.work.Worker`); only the distribution of the windows differs. If a
worker dies, it is replaced if possible, and its windows are assigned to other workers.
"""

import logging
import math
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bocage.errors import MappingError
from bocage.grid import Window
from bocage.machine import cores_given_back
from bocage.mapping.settings import Workers
from bocage.mapping.work import Done, Task, Worker
from bocage.progress import QUIET, Progress
from bocage.words import quantity

CONNECT = 30
"""Timeout for the connection to a scheduler, in seconds."""
LOOPBACK = "127.0.0.1"
"""Address of Dask's servers and dashboard on this machine, which other machines cannot reach."""
LOGS = "jobs"
"""Folder for the logs of batch jobs, in the folder of the windows."""
PATIENCE, IN_QUEUE = 300, 24 * 3600
"""Timeouts for the first worker, and for another one after the last has ended, in seconds: in general, and while jobs may wait
in the queue of a batch system."""
LOOK, ASK = 5, 60
"""Time between two looks at whether a scheduler has workers, and between two questions to a batch system, in seconds."""


@contextmanager
def working(workers: Workers, task: Task, progress: Progress = QUIET) -> Iterator["Crew"]:
    """Start workers for a task, and stop them on exit. A wait for jobs in the queue of a batch system is reported.

    Raises
    ------
    MappingError
        The scheduler does not answer, or no worker connects in time.
    """
    if not (workers.count > 1 or workers.scheduler or workers.cluster):
        yield Threads(task, workers.networks(task.device))
        return
    with _dask(workers, task, progress) as crew:
        yield crew


class Crew:
    """The workers of a task."""

    networks: int
    """Total number of networks that can compute at a time."""

    def do(self, windows: Sequence[Window]) -> Generator[Done, None, None]:
        """Compute windows; yield their results in the order of completion.

        Raises
        ------
        MappingError
            The store cannot be written, or no worker is left. The windows yielded before are complete.
        """
        raise NotImplementedError


class Threads(Crew):
    """Workers that are threads of this process."""

    def __init__(self, task: Task, networks: int) -> None:
        self.networks, self.threads = networks, Worker.threads_for(networks)
        self.worker = Worker(task, networks)

    def do(self, windows: Sequence[Window]) -> Generator[Done, None, None]:
        """Compute windows."""
        waiting, running = iter(windows), set[Future[Done]]()
        with cores_given_back(), ThreadPoolExecutor(self.threads, "bocage-map") as pool:
            try:
                for window in waiting:
                    running.add(pool.submit(self.worker.do, window))
                    if len(running) >= self.threads:
                        ended, running = wait(running, return_when=FIRST_COMPLETED)
                        yield from (future.result() for future in ended)
                while running:
                    ended, running = wait(running, return_when=FIRST_COMPLETED)
                    yield from (future.result() for future in ended)
            except BaseException:
                self.worker.stop.set()
                raise


class Distributed(Crew):
    """Workers of a Dask scheduler."""

    def __init__(self, client: Any, networks: int, token: str, queue: "Queue") -> None:
        self.client, self.networks, self.token, self.queue = client, networks, token, queue
        self.where = client.scheduler.address

    def do(self, windows: Sequence[Window]) -> Generator[Done, None, None]:
        """Compute windows."""
        from distributed import CancelledError, as_completed
        from distributed.comm.core import CommClosedError
        from distributed.scheduler import KilledWorker

        from bocage.mapping.hired import do

        # Dask takes tasks of one key for one task, also those of two commands.
        keys = {f"window-{self.token}-{w.y}-{w.x}": w for w in windows}
        submit = partial(self.client.submit, do, self.token, pure=False, retries=2)
        futures = {submit(w, key=key): w for key, w in keys.items()}
        with _attended(self.client, list(futures), self.queue) as deserted:
            try:
                for future in as_completed(list(futures)):  # type: ignore[no-untyped-call]
                    try:
                        yield future.result()
                    except KilledWorker as error:
                        reason = (
                            f"{error.allowed_failures + 1} workers were killed on it; check the memory of the workers"
                        )
                        yield Done(futures[future], {}, problem=reason)
                    future.release()
            except (CancelledError, CommClosedError, TimeoutError, OSError) as error:
                raise MappingError(self._lost(error, deserted.is_set())) from error

    def _lost(self, error: BaseException, deserted: bool) -> str:
        if deserted:
            return (
                f"The scheduler {self.where} has had no worker for {PATIENCE} s: the jobs or processes have ended, for example "
                "at their time limit. Run the same command again, with more time if needed: complete windows are kept."
            )
        return (
            f"The scheduler {self.where} is gone ({type(error).__name__}). Restart it and run the same command: complete windows "
            "are kept."
        )


class Queue:
    """Jobs of a batch system, which may wait for hours before they start."""

    def __init__(self, workers: Workers, cluster: Any = None) -> None:
        self.system, self.cluster = workers.cluster, cluster
        self.count = workers.count * int(workers.options.get("processes", 1)) if workers.cluster else 0
        self.asked = -math.inf
        self.answer: bool | None = None

    def may_hold(self, seen: int) -> bool:
        """Return whether jobs may still be in the queue; `seen`: number of workers that have come.

        Slurm is asked. Of other systems, and if it does not answer, it is only known how many workers have come.
        """
        if self.system == "slurm" and time.monotonic() - self.asked >= ASK:
            self.answer, self.asked = self._holds(), time.monotonic()
        return seen < self.count if self.answer is None else self.answer

    def _holds(self) -> bool | None:
        """Return whether Slurm has a job that waits or runs; None if it does not answer."""
        jobs = list(self.cluster.workers.values())  # Dask changes them in another thread
        numbers = [str(number) for job in jobs if (number := getattr(job, "job_id", None))]
        if not numbers:
            return None
        command = ["squeue", "--noheader", "--format=%i", f"--jobs={','.join(numbers)}"]
        try:
            found = subprocess.run(command, capture_output=True, text=True, timeout=ASK, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return None
        if found.returncode and "Invalid job id" not in found.stderr:
            return None
        return bool(found.stdout.strip())


@contextmanager
def _attended(client: Any, futures: Sequence[Any], queue: Queue) -> Iterator[threading.Event]:
    """Cancel the futures if the scheduler has no worker for `PATIENCE` seconds and none can come; the event is then set.

    Dask waits without limit for another worker, and jobs of a batch system that reached their time limit do not return.
    """
    over, deserted = threading.Event(), threading.Event()

    def look() -> None:
        last, names = time.monotonic(), set[str]()
        while not over.wait(LOOK):
            with suppress(Exception):  # a scheduler that is gone is reported by the futures
                here = {str(one["name"]) for one in client.scheduler_info(n_workers=-1)["workers"].values()}
                names |= here
                if here:
                    last = time.monotonic()
                elif time.monotonic() - last > (IN_QUEUE if queue.may_hold(len(names)) else PATIENCE):
                    deserted.set()
                    client.cancel(futures)
                    return

    watcher = threading.Thread(target=look, name="bocage-attend", daemon=True)
    watcher.start()
    try:
        yield deserted
    finally:
        over.set()
        watcher.join(LOOK)


@contextmanager
def _dask(workers: Workers, task: Task, progress: Progress) -> Iterator[Distributed]:
    import dask
    from distributed import Client

    from bocage.mapping.hired import Hiring

    networks = workers.networks(task.device)
    threads, refused = Worker.threads_for(networks), list[str]()
    settings = {"distributed.comm.timeouts.connect": "30s", "distributed.comm.retry.count": 2}
    with dask.config.set(settings), ExitStack() as stack:
        where = workers.scheduler or stack.enter_context(_cluster(workers, threads, task.store.folder / LOGS, refused))
        queue = Queue(workers, where)
        try:
            client = stack.enter_context(Client(where, timeout=CONNECT))  # type: ignore[no-untyped-call]
            _wait(client, workers, queue, refused, progress)
        except (OSError, TimeoutError) as error:
            raise MappingError(_no_workers(workers, error)) from error
        hiring = Hiring(task, networks)
        client.register_plugin(hiring)
        stack.callback(_quietly, lambda: client.unregister_worker_plugin(hiring.name))
        count = len(client.scheduler_info(n_workers=-1)["workers"])
        yield Distributed(client, networks * count, hiring.token, queue)


def _wait(client: Any, workers: Workers, queue: Queue, refused: list[str], progress: Progress) -> None:
    """Wait for the first worker.

    Raises
    ------
    MappingError
        The batch system refused all jobs.
    TimeoutError
        No worker connected in time.
    """
    started, said = time.monotonic(), False
    while True:
        try:
            client.wait_for_workers(1, timeout=LOOK)
            if refused:
                jobs = quantity(workers.count, f"{workers.cluster} job")
                progress.say(f"{len(refused)} of {jobs} refused, the map has fewer workers: {refused[0]}.")
            return
        except TimeoutError:
            if workers.cluster and len(refused) >= max(1, workers.count):
                raise MappingError(
                    f"No {workers.cluster} job could be submitted: {refused[0]}. Correct the job options, or start the command "
                    "on a machine that submits jobs."
                ) from None
            held = queue.may_hold(0)
            if held and not said:
                progress.say(
                    f"Waiting for the first of {quantity(workers.count, f'{workers.cluster} job')} in the queue."
                )
                said = True
            if time.monotonic() - started > (IN_QUEUE if held else PATIENCE):
                raise


def _quietly(work: Any) -> None:
    try:
        work()
    except Exception:  # the scheduler may have stopped, which is already reported
        return


def _no_workers(workers: Workers, error: BaseException) -> str:
    if workers.scheduler:
        return (
            f"No Dask scheduler with workers answers at {workers.scheduler} ({error}). Start a scheduler with 'dask scheduler', "
            "and workers with 'dask worker ADDRESS'."
        )
    who = f"{workers.cluster} job" if workers.cluster else "process"
    ended = "the jobs are no longer in the queue, or it took too long" if workers.cluster else f"waited {PATIENCE} s"
    return f"No worker ({who}) connected: {ended} ({error}). See the logs in .windows/{LOGS} beside the map."


@contextmanager
def _cluster(workers: Workers, threads: int, logs: Path, refused: list[str]) -> Iterator[Any]:
    """Start processes of this machine, or jobs of a batch system; stop them on exit. Add why a job was refused to `refused`."""
    if workers.cluster:
        with _jobs(workers, threads, logs, refused) as cluster:
            yield cluster
        return
    from distributed import LocalCluster

    # Dask restores its level when the cluster closes, and connections that a signal closed are reported after that.
    for name in ("distributed", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    environment = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "DASK_LOGGING__DISTRIBUTED": "critical"}
    start = partial(
        LocalCluster, n_workers=workers.count, threads_per_worker=threads, processes=True, memory_limit=None, host=LOOPBACK,
        dashboard_address=f"{LOOPBACK}:0", worker_dashboard_address=f"{LOOPBACK}:0",
        env={**os.environ, **environment}, silence_logs=50,
    )  # fmt: skip
    with _kept_environment(), _whole(start) as cluster:
        yield cluster


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Restore the environment on exit: Dask writes the variables of its workers into that of this process.

    Commands that this process starts later would compute with one thread, and return the memory of each array to the system.
    """
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _whole(start: Callable[[], Any]) -> Any:
    """Return a started cluster. Dask cannot close one that is half started: an interruption waits, and closes it whole."""
    with ThreadPoolExecutor(1, "bocage-cluster") as pool:
        starting = pool.submit(start)
        try:
            return starting.result()
        except KeyboardInterrupt:
            with suppress(Exception):  # the signal may have reached the workers too
                starting.result().close()
            raise


def job_script(workers: Workers, threads: int = 1) -> str:
    """Return the script of one job, as submitted to the batch system."""
    with _jobs(replace(workers, count=0), threads, Path(LOGS), []) as cluster:
        return str(cluster.job_script())


@contextmanager
def _jobs(workers: Workers, threads: int, logs: Path, refused: list[str]) -> Iterator[Any]:
    try:
        import dask_jobqueue
    except ImportError as error:
        raise MappingError(
            f"{workers.cluster} jobs need dask-jobqueue, which is not installed. Run: pip install 'bocage[cluster]'."
        ) from error
    kinds = {kind.removesuffix("Cluster").lower(): kind for kind in dir(dask_jobqueue) if kind.endswith("Cluster")}
    kind = getattr(dask_jobqueue, kinds[workers.cluster])
    options = {
        "processes": 1,
        "cores": threads,
        "memory": "8GB",
        "walltime": "04:00:00",
        "log_directory": str(logs.absolute()),
    }
    if shlex.quote(sys.executable) != sys.executable:  # it is a word of a shell script
        options["python"] = shlex.quote(sys.executable)
    # Any free port, because several schedulers may run on a login node. The dashboard can end jobs: it is not for the network.
    options["scheduler_options"] = {"dashboard_address": f"{LOOPBACK}:0"}
    options |= workers.options
    if workers.cluster == "slurm":
        _quote_logs(options)
    for name in ("asyncio", "tornado.application"):  # they print the traceback of each job that is refused
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        cluster = _whole(partial(_accepted, kind, {**options, "job_cls": _reporting(kind.job_cls, refused)}))
    except (TypeError, ValueError) as error:
        raise MappingError(
            f"dask-jobqueue refuses the options of the cluster: {error}. Correct the job options."
        ) from error
    with cluster:
        if workers.count:
            cluster.scale(jobs=workers.count)
        yield cluster


def _quote_logs(options: dict[str, Any]) -> None:
    """Name the logs of the jobs in directives of Slurm with quotes where the path of their folder needs them.

    Slurm splits a directive at blanks, and replaces what follows ``%`` in the name of a log.
    """
    folder = str(options["log_directory"] or "")
    if shlex.quote(folder) == folder and "%" not in folder:
        return
    Path(folder).mkdir(parents=True, exist_ok=True)
    escaped = folder.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    logs = [f'-{letter} "{escaped}/dask-worker-%J.{suffix}"' for letter, suffix in (("e", "err"), ("o", "out"))]
    options |= {"log_directory": None, "job_extra_directives": [*logs, *options.get("job_extra_directives", ())]}


def _reporting(job: Any, refused: list[str]) -> Any:
    """Return the class of jobs with a list to which it adds why a job was refused; Dask only logs it."""
    from distributed.core import Status

    class Reporting(job):  # type: ignore[misc]
        async def _submit_job(self, script: str) -> Any:
            try:
                return await super()._submit_job(script)
            except (RuntimeError, OSError) as error:
                self.status = Status.failed  # Dask closes a cluster only if its jobs are closed or failed
                refused.append(" ".join(str(error).rpartition("stderr:")[2].split()).rstrip("."))
                raise

    return Reporting


def _accepted(kind: Any, options: dict[str, Any]) -> Any:
    """Return a started cluster. One whose options are refused never started, and is closed: Dask would warn of it later."""
    from distributed.core import Status

    cluster = kind.__new__(kind)
    try:
        cluster.__init__(**options)
    except BaseException:
        cluster.status = Status.closed
        raise
    return cluster
