"""Who makes the map does not change it; whoever is killed is no loss."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import dask_jobqueue
import numpy as np
import psutil
import pytest

from bocage.cli import main
from bocage.errors import MappingError, RunFolderError
from bocage.grid import Grid
from bocage.jobs.run import run
from bocage.legend import LandClass, Legend
from bocage.mapping import Computing, Mapping, Workers, hired, make_map
from bocage.mapping.areas import AreaCount
from bocage.mapping.store import JOURNAL
from bocage.mapping.workers import job_script
from bocage.recipe import read_recipe
from bocage.run import held
from conftest import GRU, MULTIRESOLCC, PAN_MS, S2
from processes import connected, ended, holding, killed_noting, started

CASES = {"gru": (GRU, S2, "s2"), "multiresolcc": (MULTIRESOLCC, PAN_MS, "pan")}
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning", "ignore:.*:DeprecationWarning")


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".tif", ".csv", ".qml", ".sld")}


@pytest.fixture(params=list(CASES))
def trained(request, brief):
    found = brief(*CASES[request.param])
    return found.trained, found.scene


def test_workers_make_the_map_that_this_process_makes(trained, tmp_path, forked):
    model, scene = trained
    make_map(model, scene, Mapping(tile=16), tmp_path / "alone")
    before = dict(os.environ)
    make_map(model, scene, Mapping(tile=16), tmp_path / "two", computing=Computing(workers=Workers(count=2)))
    assert contents(tmp_path / "two") == contents(tmp_path / "alone")
    assert dict(os.environ) == before, "Dask writes the variables of its workers into those of this process"


@pytest.mark.parametrize(("given", "kept"), [("65536", None), ("1000000", "1000000"), (None, None)])
def test_workers_reuse_their_memory_unless_the_user_says_otherwise(given, kept, monkeypatch):
    monkeypatch.delenv(hired.TRIM, raising=False)
    if given:
        monkeypatch.setenv(hired.TRIM, given)
    monkeypatch.setattr(hired, "Worker", lambda *_: None)
    plugin = hired.Hiring(SimpleNamespace(device="cpu"), 1)
    plugin.setup(SimpleNamespace(name="0"))
    assert os.environ.get(hired.TRIM) == kept
    plugin.teardown(None)


def test_a_scheduler_that_is_not_there_is_told(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("bocage.mapping.workers.PATIENCE", 0.5)
    monkeypatch.setattr("bocage.mapping.workers.CONNECT", 0.5)
    with pytest.raises(MappingError, match=r"No Dask scheduler with workers answers at tcp://127.0.0.1:9"):
        make_map(
            *trained, Mapping(), tmp_path / "map", computing=Computing(workers=Workers(scheduler="tcp://127.0.0.1:9"))
        )


def test_the_job_of_a_batch_system_is_what_was_asked_for():
    options = {"queue": "long", "account": "agri", "memory": "16GB", "walltime": "02:00:00"}
    script = job_script(Workers(cluster="slurm", options=options), threads=3)
    for line in ("-p long", "-A agri", "--mem=15G", "-t 02:00:00", "--cpus-per-task=3"):
        assert f"#SBATCH {line}" in script, script
    assert "distributed.cli.dask_worker" in script


def test_a_cluster_whose_options_are_refused_is_closed(monkeypatch):
    """Dask warns of another when it is collected, in whatever code runs then."""
    made = []

    class Seen(dask_jobqueue.SLURMCluster):
        def __init__(self, **options):
            made.append(self)
            super().__init__(**options)

    monkeypatch.setattr(dask_jobqueue, "SLURMCluster", Seen)
    with pytest.raises(MappingError, match="refuses the options"):
        job_script(Workers(cluster="slurm", options={"quue": "long"}))
    assert [cluster.status.name for cluster in made] == ["closed"]


def test_settings_have_ranges():
    with pytest.raises(ValueError, match="'cluster' is one of slurm"):
        Workers(cluster="slurmm")
    with pytest.raises(ValueError, match="either 'scheduler'"):
        Workers(cluster="slurm", scheduler="tcp://a:1")
    with pytest.raises(ValueError, match="at least 0"):
        Workers(count=-1)


@pytest.mark.slow
def test_a_folder_in_use_is_refused_and_the_first_is_named(recipe, tmp_path):
    ours, theirs = connected()
    other = started(holding, tmp_path / "run", theirs)
    assert ours.recv() == "held"
    with pytest.raises(RunFolderError, match=rf"in use by another run \(process {other.pid} on .* since 20"):
        run(read_recipe(recipe()), tmp_path / "run", ("train",))
    other.kill()
    other.join()
    with held(tmp_path / "run"):  # a killed process holds nothing
        pass


@pytest.mark.slow
def test_a_killed_map_goes_on_to_the_same_files(recipe, tmp_path, monkeypatch, capsys):
    path = recipe(GRU, S2, "s2")
    path.write_text(path.read_text().replace("tile = 32", "tile = 16"))
    out = tmp_path / "run"
    run(read_recipe(path), out, ("train",))

    def to(folder):
        return ["map", str(path), "--model", str(out / "splits/0/model"), "--out", str(folder)]

    monkeypatch.setattr("bocage.mapping.lattice.SMALL", 12)
    assert main(to(tmp_path / "whole")) == 0
    for notes in (1, 3, 2):
        assert ended(killed_noting, to(tmp_path / "map"), notes, 12) == -signal.SIGKILL
        assert not (tmp_path / "map/map/checksums.sha256").exists()
    capsys.readouterr()
    assert main(to(tmp_path / "map")) == 0
    assert "windows are there already" in capsys.readouterr().err
    assert contents(tmp_path / "map/map") == contents(tmp_path / "whole/map")


def _begun(process, out, moment):
    """Return whether a process that makes a map is at a moment of its work."""
    if moment == "workers start":
        return bool(psutil.Process(process.pid).children(recursive=True))
    return (out / "map/.windows" / JOURNAL).exists()


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "to_all"), [("workers start", False), ("windows are computed", True)])
def test_sigterm_ends_a_map_with_its_workers(recipe, tmp_path, to_all, moment):
    path, out = recipe(GRU, S2, "s2"), tmp_path / "run"
    path.write_text(path.read_text().replace("tile = 32", "tile = 16"))
    run(read_recipe(path), out, ("train",))

    def command(folder, *more):
        return ["map", str(path), "--model", str(out / "splits/0/model"), "--out", str(folder), *more]

    process = subprocess.Popen(
        [sys.executable, "-m", "bocage", *command(tmp_path / "map", "--workers", "2")],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while not _begun(process, tmp_path / "map", moment):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    children = psutil.Process(process.pid).children(recursive=True)
    (os.killpg if to_all else os.kill)(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=600)[1]
    assert process.returncode == 143, told
    assert "terminated (SIGTERM); completed work is kept. Run the same command to resume" in told
    assert " - distributed." not in told
    assert "never retrieved" not in told
    # Python may print that a worker which Dask was starting again has no parent any more.
    assert to_all or "Traceback" not in told
    assert not psutil.wait_procs(children, timeout=10)[1], "workers are left"
    assert not list(tmp_path.rglob(".lock*.json"))
    assert not (tmp_path / "map/map/checksums.sha256").exists()
    for folder in (tmp_path / "map", tmp_path / "whole"):
        assert main(command(folder)) == 0
    assert contents(tmp_path / "map/map") == contents(tmp_path / "whole/map")


def test_what_goes_with_a_map(trained, tmp_path):
    model, scene = trained
    make_map(model, scene, Mapping(layers=("classes", "confidence", "probabilities")), tmp_path)
    check = subprocess.run(
        ["sha256sum", "-c", "checksums.sha256"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    listed = {line.split(":")[0] for line in check.stdout.splitlines()}
    assert listed == {p.name for p in tmp_path.iterdir() if p.is_file()} - {"checksums.sha256"} - {
        p.name for p in tmp_path.iterdir() if p.name.startswith(".")
    }
    item = json.loads((tmp_path / "item.json").read_text())
    assert item["assets"]["classes"]["classification:classes"][0] == {
        "value": 1, "name": "maize", "title": "maize", "color_hint": "F2C14E",
    }  # fmt: skip
    assert item["properties"]["proj:shape"] == list(scene.grid.shape)
    assert item["assets"]["probabilities"]["raster:bands"][1]["scale"] == 0.01
    lines = (tmp_path / "areas.csv").read_text().splitlines()
    pixels = [int(line.split(",")[2]) for line in lines[1:]]
    hectares = [float(line.split(",")[3]) for line in lines[1:]]
    assert sum(pixels) == scene.grid.shape[0] * scene.grid.shape[1]
    assert hectares == pytest.approx([n * scene.grid.resolution**2 / 10_000 for n in pixels], abs=1e-4)


def test_areas_of_a_geographic_grid_shrink_towards_the_poles():
    legend = Legend((LandClass(1, "a"),))
    grid = Grid.from_bounds("EPSG:4326", 0.5, (0, 0, 1, 60))
    whole, parts = AreaCount(grid, legend), AreaCount(grid, legend)
    whole.count(grid.window, np.ones(grid.shape, int))
    for window in grid.tiles(7):
        parts.count(window, np.ones((window.height, window.width), int))
    expected = math.radians(1) * 6_371_000**2 * math.sin(math.radians(60)) / 10_000  # of a sphere
    assert whole.areas().hectares[0] == pytest.approx(expected, rel=0.01)
    assert np.array_equal(whole.areas().hectares, parts.areas().hectares)


def test_options_of_jobs_without_a_batch_system_are_refused(recipe, tmp_path, capsys):
    assert main(["map", str(recipe()), "--out", str(tmp_path / "map"), "--job", "queue=long"]) == 2
    assert "Give the batch system too, for example --cluster slurm." in capsys.readouterr().err
