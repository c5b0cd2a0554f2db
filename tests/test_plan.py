"""The plan: measured by a probe that leaves nothing behind, kept for the report."""

import json
from pathlib import Path

import numpy as np
import pytest

from bocage.cli import main
from bocage.jobs.plan import plan
from bocage.jobs.run import run
from bocage.provenance import Estimate
from bocage.recipe import read_recipe

GRU = 'name = "gru"\nunits = 8'
MULTIRESOLCC = 'name = "multiresolcc"\npan_filters = [4, 4, 8]\nms_filters = [4, 8, 8]\nms = "ms"\npatch = 28'
PAN_MS = '[sources.pan]\nsensor = "image"\npath = "pan.tif"\n[sources.ms]\nsensor = "image"\npath = "ms.tif"\n'


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "stages"),
    [
        ({}, ["open", "prepare", "samples", "train", "evaluate", "map", "importance", "report"]),
        (
            {"model": f"{GRU}\nmembers = 2"},
            ["open", "prepare", "samples", "train", "evaluate", "map", "importance", "report"],
        ),
        ({"model": GRU}, ["open", "prepare", "samples", "train", "evaluate", "map", "importance", "report"]),
        (
            {"model": GRU, "tile = 32": "tile = 32\nsets = 0.9"},
            ["open", "prepare", "samples", "train", "evaluate", "map", "importance", "report"],
        ),
        (
            {"model": MULTIRESOLCC, "sources": PAN_MS, "like": "pan"},
            ["open", "samples", "train", "evaluate", "map", "importance", "report"],
        ),
    ],
)
def test_every_stage_is_measured_and_nothing_is_left_behind(recipe, landscape: Path, more, stages: list[str]) -> None:
    path = recipe(**more)
    before = sorted(landscape.rglob("*"))
    made = plan(read_recipe(path), landscape / "out", (1, 8))
    assert sorted(landscape.rglob("*")) == before
    assert [one.stage for one in made.stages] == stages
    assert all(0 < one.low <= one.seconds <= one.high for one in made.stages)
    assert made.memory > 100e6
    assert made.disk > 0
    assert made.workers[8] <= made.workers[1]


@pytest.mark.slow
def test_the_disk_that_is_planned_is_the_disk_that_is_used(recipe, landscape: Path) -> None:
    path = recipe()
    made = plan(read_recipe(path), landscape / "out")
    run(read_recipe(path), landscape / "out")
    written = sum(p.stat().st_size for p in (landscape / "out").rglob("*") if p.is_file())
    assert made.disk == pytest.approx(written, rel=0.5)


@pytest.mark.slow
def test_the_report_compares_the_plan_with_what_happened(recipe, landscape: Path, capsys) -> None:
    path, out = recipe(), landscape / "out"
    assert main(["plan", str(path), "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["name"] == "tiny"
    assert main(["run", str(path), "--out", str(out)]) == 0
    page = (out / "report.html").read_text()
    assert "<th>planned</th>" in page
    assert "peak memory" in page
    assert main(["plan", str(path), "--out", str(out), "--workers", "4"]) == 0
    assert "with 4 preparation threads" in capsys.readouterr().out


@pytest.mark.slow
def test_an_early_stop_widens_the_estimate(recipe, landscape: Path) -> None:
    def trained(epochs: str) -> Estimate:
        made = plan(read_recipe(recipe(GRU, **{"epochs = 4": f"{epochs}\npatience = 9"})), landscape / "out")
        return next(one for one in made.stages if one.stage == "train")

    wide, sure = trained("epochs = 100"), trained("epochs = 5")
    assert wide.high / wide.low == pytest.approx(1.2 * 100 / (0.8 * 10)), "ten epochs to a hundred"
    assert wide.seconds == pytest.approx((wide.low / 0.8 + wide.high / 1.2) / 2)
    assert sure.high / sure.low == pytest.approx(1.2 / 0.8)
    assert sure.seconds == pytest.approx(sure.low / 0.8)


@pytest.mark.slow
def test_the_limits_of_the_steps_are_planned(recipe, landscape: Path) -> None:
    """Three steps an epoch: at most ten epochs of the hundred, and a patience of one."""
    more = {"epochs = 4": "epochs = 100\npatience = 9\nsteps = [0, 30]"}
    made = plan(read_recipe(recipe(GRU, **more)), landscape / "out")
    found = next(one for one in made.stages if one.stage == "train")
    assert found.high / found.low == pytest.approx(1.2 * 10 / (0.8 * 2))


@pytest.mark.slow
def test_without_a_test_part_the_twin_and_no_importance_are_planned(recipe, landscape: Path) -> None:
    more = {
        "train = 0.5\ndraws = 2": "train = 1.0\ndraws = 1",
        "epochs = 4": 'epochs = 4\nkeep = "last"\nloss = "logit-adjusted"',
    }
    made = plan(read_recipe(recipe(GRU, **more)), landscape / "out")
    assert "importance" not in [one.stage for one in made.stages]
    assert all(0 <= one.low <= one.seconds <= one.high for one in made.stages)


def test_a_recipe_that_cannot_run_is_refused(recipe, landscape: Path, capsys) -> None:
    path = recipe()
    (landscape / "s2/red.tif").unlink()
    assert main(["plan", str(path), "--out", str(landscape / "out")]) == 1
    assert "does not exist" in capsys.readouterr().err
    assert not (landscape / "out").exists()


@pytest.mark.parametrize("number", ["0", "-3"])
def test_a_number_of_threads_is_at_least_one(number: str, recipe, landscape: Path, capsys) -> None:
    assert main(["plan", str(recipe()), "--workers", number]) == 2
    assert "--workers" in capsys.readouterr().err


def test_tables_are_planned_without_a_map(tmp_path: Path) -> None:
    import geopandas as gpd
    import pandas as pd
    from shapely.geometry import Point

    days = pd.date_range("2021-01-01", periods=5, freq="30D")
    rows = [{"id": f"s{i}", "day": d, "x": i % 2 + 0.1 * k} for i in range(40) for k, d in enumerate(days)]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    points = gpd.GeoDataFrame(
        {"id": [f"s{i}" for i in range(40)], "c": np.arange(40) % 2 + 1},
        geometry=[Point(i / 100, 0) for i in range(40)],
        crs=4326,
    )
    points.to_file(tmp_path / "p.gpkg", engine="pyogrio")
    (tmp_path / "r.toml").write_text(
        """[grid]
like = "t"
[sources.t]
sensor = "table"
path = "t.parquet"
id = "id"
date = "day"
bands = { ndvi = "x" }
[legend]
classes = [{ code = 1, name = "a" }, { code = 2, name = "b" }]
[reference]
path = "p.gpkg"
label = "c"
sample_id = "id"
[split]
folds = 4
[model]
name = "random_forest"
trees = 5
"""
    )
    made = plan(read_recipe(tmp_path / "r.toml"), tmp_path / "out")
    assert [one.stage for one in made.stages] == ["open", "samples", "train", "evaluate", "importance", "report"]
