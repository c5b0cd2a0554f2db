"""Commands that share a scheduler, workers elsewhere, workers that end, jobs that are refused."""

import pickle
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import CancelledError

from bocage.errors import MappingError, TrainedError
from bocage.grid import Window
from bocage.mapping import Workers, hired, workers
from bocage.mapping.workers import Distributed, Queue, job_script, working
from bocage.training import export as exporting

pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:DeprecationWarning")
WINDOW = Window(0, 0, 16, 16)


def hiring(name):
    return hired.Hiring(SimpleNamespace(device="cpu", name=name), 1)


def test_two_commands_on_one_scheduler_compute_their_own_windows(monkeypatch):
    """Their windows have the same places: Dask would give one command the results of the other."""
    monkeypatch.setattr(hired, "Worker", lambda task, networks: SimpleNamespace(do=lambda window: (task.name, window)))
    first, second, dask_worker = hiring("first"), hiring("second"), SimpleNamespace(name="0")
    assert first.name != second.name
    for one in (first, second):
        one.setup(dask_worker)
    assert hired.do(first.token, WINDOW)[0] == "first"
    second.teardown(dask_worker)
    assert hired.do(first.token, WINDOW)[0] == "first"
    first.teardown(dask_worker)


class Future:
    """A future that was cancelled."""

    def result(self):
        raise CancelledError


class Client:
    """A client of a scheduler without workers."""

    def __init__(self):
        self.keys, self.scheduler, self.cancelled = [], SimpleNamespace(address="tcp://node:1"), False

    def submit(self, function, token, window, key, **options):
        self.keys.append(key)
        return Future()

    def scheduler_info(self, n_workers):
        return {"workers": {}}

    def cancel(self, futures):
        self.cancelled = True


def waiting(client):
    """Return ``as_completed`` of Dask: it waits until the futures are cancelled."""

    def ends(futures):
        began = time.monotonic()
        while not client.cancelled and time.monotonic() - began < 5:
            time.sleep(0.01)
        yield from futures

    return ends


def test_a_map_whose_workers_have_ended_ends(monkeypatch):
    monkeypatch.setattr(workers, "LOOK", 0.01)
    monkeypatch.setattr(workers, "PATIENCE", 0.05)
    keys = []
    for token in "ab":
        client = Client()
        monkeypatch.setattr("distributed.as_completed", waiting(client))
        with pytest.raises(MappingError, match=r"tcp://node:1 has had no worker for .* complete windows are kept"):
            list(Distributed(client, 1, token, Queue(Workers(scheduler="tcp://node:1"))).do([WINDOW]))
        keys += client.keys
    assert len(set(keys)) == 2, "Dask takes tasks of one key for one task"


def test_paths_of_a_task_are_absolute_in_workers(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sent = hired.Hiring(SimpleNamespace(device="cpu", folder=Path("runs/first"), more={"a": [Path("x.tif")]}), 1)
    received = pickle.loads(pickle.dumps(sent))
    assert (received.task.folder, received.task.more["a"]) == (tmp_path / "runs/first", [tmp_path / "x.tif"])
    assert (received.token, received.name) == (sent.token, sent.name)


@pytest.mark.parametrize(
    ("sbatch", "reason"),
    [
        (None, "No such file or directory: 'sbatch'"),
        ("Requested node configuration is not available", "sbatch: error: R"),
    ],
)
def test_jobs_that_are_refused_end_the_map_at_once(sbatch, reason, tmp_path, monkeypatch):
    if sbatch:
        (tmp_path / "sbatch").write_text(f"#!/bin/sh\necho 'sbatch: error: {sbatch}' >&2\nexit 1\n", encoding="utf-8")
        (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin" if sbatch else str(tmp_path))
    monkeypatch.setattr(workers, "LOOK", 0.2)
    task = SimpleNamespace(device="cpu", store=SimpleNamespace(folder=tmp_path / "map"))
    began = time.monotonic()
    with (
        pytest.raises(MappingError, match=f"No slurm job could be submitted: .*{reason}"),
        working(Workers(count=2, cluster="slurm"), task),
    ):
        pass
    assert time.monotonic() - began < 60


def write_command(path, lines):
    path.write_text(f"#!/bin/sh\n{lines}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("squeue", "held"),
    [
        ("echo 17", True),
        ("exit 0", False),
        ("echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", False),
        ("echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1", True),
    ],
)
def test_slurm_says_whether_a_job_waits(squeue, held, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    write_command(tmp_path / "squeue", squeue)
    cluster = SimpleNamespace(workers={"a": SimpleNamespace(job_id="17"), "b": SimpleNamespace(job_id=None)})
    queue = Queue(Workers(count=2, cluster="slurm"), cluster)
    assert queue.may_hold(0) is held
    assert queue.may_hold(2) is (held and squeue.startswith("echo 17")), (
        "without an answer, all that were asked for have come"
    )


def test_jobs_of_other_systems_may_wait_until_all_have_come():
    queue = Queue(Workers(count=3, cluster="pbs", options={"processes": 2}))
    assert (queue.may_hold(0), queue.may_hold(5), queue.may_hold(6)) == (True, True, False)
    assert not Queue(Workers(count=3)).may_hold(0)


def test_a_map_waits_while_its_jobs_are_in_the_queue(tmp_path, monkeypatch):
    """A job may wait for hours; one that has left the queue without a worker has failed."""
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    write_command(tmp_path / "sbatch", "echo Submitted batch job 17")
    write_command(tmp_path / "scancel", "exit 0")
    asked = tmp_path / "asked"
    write_command(tmp_path / "squeue", f"echo once >> {asked}; test $(wc -l < {asked}) -gt 3 || echo 17")
    for name, seconds in (("LOOK", 0.2), ("ASK", 0.1), ("PATIENCE", 0)):
        monkeypatch.setattr(workers, name, seconds)
    task, said = SimpleNamespace(device="cpu", store=SimpleNamespace(folder=tmp_path / "map")), []
    with (
        pytest.raises(MappingError, match=r"No worker \(slurm job\) connected: the jobs are no longer in the queue"),
        working(Workers(count=1, cluster="slurm"), task, SimpleNamespace(say=said.append)),
    ):
        pass
    assert len(asked.read_text().split()) == 4
    assert said == ["Waiting for the first of 1 slurm job in the queue."]


def test_the_script_of_a_job_has_paths_with_blanks_in_quotes(tmp_path, monkeypatch):
    """Slurm splits its directives at blanks, and the shell its commands."""
    logs = tmp_path / "été 100% 2022"
    monkeypatch.setattr("sys.executable", "/opt/my python/bin/python")
    script = job_script(Workers(cluster="slurm", options={"log_directory": str(logs), "queue": "long"}))
    written = f"{tmp_path}/été 100%% 2022"
    assert f'#SBATCH -e "{written}/dask-worker-%J.err"' in script, script
    assert f'#SBATCH -o "{written}/dask-worker-%J.out"' in script, script
    assert "'/opt/my python/bin/python' -m distributed.cli.dask_worker" in script, script
    assert logs.is_dir()


def test_jobs_use_the_cores_that_they_book(monkeypatch):
    """The machine that submits them may have one core, or a hundred."""
    monkeypatch.setattr("bocage.mapping.settings.cores", lambda: 1)
    assert Workers(cluster="slurm", options={"cores": 16}).networks("cpu") == 16
    assert Workers(cluster="slurm", options={"cores": 16, "processes": 4}).networks("cpu") == 4
    assert Workers(cluster="slurm", options={"cores": 16}, threads=2).networks("cpu") == 2
    assert Workers(cluster="slurm").networks("cpu") == 1


def test_two_exports_to_one_folder_are_not_mixed(tmp_path, monkeypatch):
    folder, model = (
        tmp_path / "exported",
        SimpleNamespace(model=SimpleNamespace(abilities=SimpleNamespace(fitted=False))),
    )
    monkeypatch.setattr(exporting, "_item", lambda *_: {})

    def slow(trained, path):
        path.write_text("slow", encoding="utf-8")
        monkeypatch.setattr(exporting, "_write_onnx", lambda _, other: other.write_text("fast", encoding="utf-8"))
        exporting.export(model, folder)
        return 0.0

    monkeypatch.setattr(exporting, "_write_onnx", slow)
    with pytest.raises(TrainedError, match="exists; choose another folder"):
        exporting.export(model, folder)
    assert (folder / "model.onnx").read_text(encoding="utf-8") == "fast"
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".exported")] == []
