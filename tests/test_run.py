"""The folder of a run: what counts by content, what is refused before work begins, formats from outside, areas."""

import csv
import json
import math
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from shapely.geometry import box

from bocage.cli import main
from bocage.cli.main import COMMANDS, cli
from bocage.errors import RecipeError
from bocage.grid import Grid
from bocage.jobs.check import check
from bocage.jobs.run import run
from bocage.legend import LandClass, Legend
from bocage.mapping import Areas
from bocage.mapping.areas import AreaCount
from bocage.provenance import Provenance
from bocage.recipe import parse, read_recipe
from bocage.words import LANGUAGES, Note, words_of
from conftest import FOREST, GRU, S2, Told

NO_IMPORTANCE = "[evaluation]\nimportance = 0"


def region(path: Path, columns: int) -> None:
    """A rectangle over the western columns of the tiny landscape."""
    with rasterio.open(path.parent / "s2/red.tif") as dataset:
        west, south, _, north = dataset.bounds
        area = gpd.GeoDataFrame(geometry=[box(west, south, west + 10 * columns, north)], crs=dataset.crs)
    area.to_file(path, engine="pyogrio")


def mapped(out: Path) -> int:
    with rasterio.open(out / "map/classes.tif") as dataset:
        return int((dataset.read(1) > 0).sum())


@pytest.mark.slow
def test_a_region_that_was_edited_is_mapped_again(recipe, landscape, tmp_path, capsys):
    """The path of the file stays the same: its content counts."""
    region(landscape / "area.gpkg", 10)
    path, out = recipe(more=f'region = "area.gpkg"\n{NO_IMPORTANCE}'), tmp_path / "run"
    run(read_recipe(path), out, ("train", "map"))
    before = mapped(out)
    region(landscape / "area.gpkg", 20)
    assert main(["map", str(path), "--out", str(out)]) == 0
    assert "map: up to date" not in capsys.readouterr().err
    assert mapped(out) == 2 * before
    assert main(["map", str(path), "--out", str(out)]) == 0
    assert "map: up to date" in capsys.readouterr().err


@pytest.mark.slow
def test_a_training_ends_the_tests_and_the_draws_of_the_earlier_recipe(recipe, tmp_path):
    path, out, told = recipe(), tmp_path / "run", Told()
    run(read_recipe(path, ["split.draws=3"]), out)
    assert (out / "splits/0/importance.json").exists()
    run(read_recipe(path, ["split.draws=2", "split.seed=1"]), out, ("train",), told, overwrite=True)
    assert f"{out / 'splits/2'} is removed: the recipe has 2 draw(s) now." in told.words
    assert sorted(one.name for one in (out / "splits").iterdir()) == ["0", "1"]
    assert not [*out.glob("splits/*/test.parquet"), *out.glob("splits/*/*.json")]
    stages = Provenance.load(out / "provenance.json").stages
    assert {"train/0", "train/1"} <= set(stages)
    assert not {"train/2", "evaluate/0", "evaluate/1", "evaluate/2", "importance"} & set(stages)
    run(read_recipe(path, ["split.draws=2", "split.seed=1"]), out, ("evaluate",))
    assert len(json.loads((out / "score.json").read_text())["overall_accuracy"]["per_draw"]) == 2


@pytest.mark.parametrize(
    ("split", "draw", "refused"),
    [("folds = 3", 5, True), ("folds = 3", 2, False), ("draws = 1\nfolds = 3", 2, False), ("draws = 2", 2, True)],
)
def test_the_draw_that_maps_is_validated_when_parsing(recipe, split, draw, refused):
    path = recipe(**{"draws = 2": split, "[map]": f"[map]\ndraw = {draw}"})
    if not refused:
        assert read_recipe(path).map.draw == draw
        return
    with pytest.raises(RecipeError, match=r"map.draw: (folds|draws) are numbered 0 to"):
        read_recipe(path)


def test_a_draw_beyond_the_folds_of_a_field_is_refused_before_training(recipe, landscape, tmp_path):
    table = gpd.read_file(landscape / "reference.gpkg")
    table["site"] = np.where(np.arange(len(table)) % 2, "a", "b")
    table.to_file(landscape / "reference.gpkg", engine="pyogrio")
    path = recipe(**{"draws = 2": 'fold = "site"', "[map]": "[map]\ndraw = 2"})
    with pytest.raises(RecipeError, match="folds are numbered 0 to 1"):
        run(read_recipe(path), tmp_path / "run")
    assert not (tmp_path / "run/splits").exists()


@pytest.mark.slow
def test_a_first_format_that_is_no_raster_leaves_a_whole_report(recipe, landscape, tmp_path, monkeypatch, capsys):
    (tmp_path / "ownwriter.py").write_text(
        "import numpy as np\nSUFFIX = '.npy'\n"
        "class Opened:\n"
        "    def __init__(self, path, grid, bands):\n"
        "        self.path, self.array = path, np.zeros((len(bands), *grid.shape), bands[0].dtype)\n"
        "    def put(self, window, array):\n"
        "        self.array[(slice(None), *window.slices)] = array\n"
        "    def close(self):\n        np.save(self.path, self.array)\n"
        "    def discard(self):\n        pass\n"
        "def open(path, grid, bands, legend):\n    return Opened(path, grid, bands)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    both = recipe(more=f'formats = ["ownwriter:", "cog"]\n{NO_IMPORTANCE}')
    assert main(["run", str(both), "--out", str(tmp_path / "both")]) == 0, capsys.readouterr().err
    assert "classes.tif" in capsys.readouterr().out
    page = (tmp_path / "both/report.html").read_text()
    assert "map/classes.tif" in page
    alone = recipe(more=f'formats = ["ownwriter:"]\n{NO_IMPORTANCE}')
    assert main(["run", str(alone), "--out", str(tmp_path / "alone")]) == 0, capsys.readouterr().err
    areas = json.loads((tmp_path / "alone/report.json").read_text())["mapped_pixels"]
    assert sum(areas.values()) == 48 * 53, "areas come from areas.csv, whatever the format"


def test_areas_are_counted_once_and_by_rows_on_a_geographic_grid(tmp_path):
    legend = Legend((LandClass(1, "south"), LandClass(2, "north")))
    grid = Grid.from_bounds("EPSG:4326", 0.5, (0, 20, 10, 60))
    codes = np.full(grid.shape, 1)
    codes[: grid.shape[0] // 2] = 2
    count = AreaCount(grid, legend)
    count.count(grid.window, codes)
    areas = count.areas()
    expected = [
        math.radians(10) * 6_371_000**2 * (math.sin(math.radians(high)) - math.sin(math.radians(low))) / 10_000
        for low, high in ((20, 40), (40, 60))
    ]
    assert areas.hectares.tolist() == pytest.approx(expected, rel=0.01)
    assert areas.shares == pytest.approx([e / sum(expected) for e in expected], rel=0.01), "not half and half"
    areas.save(tmp_path / "areas.csv")
    again = Areas.load(tmp_path / "areas.csv", legend)
    assert again.pixels.tolist() == areas.pixels.tolist()
    assert again.total == pytest.approx(areas.total, rel=1e-9)


def test_the_report_has_the_hectares_of_the_table_of_areas(finished, tmp_path):
    out = finished(GRU).out
    with (out / "map/areas.csv").open() as stream:
        hectares = sum(float(row["hectares"]) for row in csv.DictReader(stream))
    assert json.loads((out / "report.json").read_text())["mapped_hectares"] == pytest.approx(hectares)


def test_check_reads_the_reference_once(recipe, monkeypatch):
    read, calls = gpd.read_file, []
    monkeypatch.setattr(gpd, "read_file", lambda path, **more: calls.append(path) or read(path, **more))
    check(recipe())
    assert len(calls) == 1


def test_a_recipe_is_parsed_from_a_table(landscape):
    table = {
        "name": "table",
        "grid": {"like": "s2"},
        "legend": {"classes": [{"code": k, "name": name} for k, name in enumerate("abc", start=1)]},
        "sources": {"s2": {"sensor": "series", "variables": {"red": "s2/red.tif"}, "scale": 0.0001}},
        "reference": {"path": "reference.gpkg", "label": "code"},
        "model": {"name": "random_forest", "trees": 3},
    }
    recipe = parse(table, landscape)
    assert recipe.reference.path == landscape / "reference.gpkg"
    assert recipe.choice.config.trees == 3
    with pytest.raises(RecipeError, match="trees.*must be at least 1"):
        parse({**table, "model": {"name": "random_forest", "trees": 0}}, landscape)


@pytest.mark.slow
def test_a_damaged_provenance_is_one_line(finished, tmp_path, capsys):
    done = finished(FOREST)
    out = done.copied(tmp_path / "out")
    (out / "provenance.json").write_text('{"name": 3')
    assert main(["report", str(done.recipe), "--out", str(out)]) == 1
    assert "provenance.json is damaged" in capsys.readouterr().err


def test_records_of_a_run_are_read_as_written(finished):
    record = Provenance.load(finished(FOREST).out / "provenance.json")
    assert record.model == "random_forest"
    assert {"samples", "train/0", "evaluate/1", "map"} <= set(record.stages)
    assert all(len(stage.key) == 32 for name, stage in record.stages.items() if name != "prepare")


@pytest.mark.parametrize("language", LANGUAGES)
def test_notes_are_sentences_in_every_language(language):
    note = Note.of("never_clear", "s2", n=3, total=2544, share=100 * 3 / 2544)
    text = note.text(language)
    assert "s2" in text
    assert ("0,118" if language == "fr" else "0.118") in text
    assert set(words_of(language)) == set(words_of("en"))


def test_every_command_is_reached_by_its_name():
    for name in COMMANDS:
        command = cli.get_command(None, name)
        assert command is not None
        assert command.name == name
        assert command.help
    assert cli.get_command(None, "nothing") is None


def test_a_command_takes_a_file_and_a_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "hello.py").write_text(
        'import click\n@click.command("hello")\ndef hello():\n    """Greet."""\n    click.echo("hello")\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(COMMANDS, "hello", "hello:hello")
    assert main(["hello"]) == 0
    assert "hello" in capsys.readouterr().out
    assert main(["--help"]) == 0
    assert "Greet." in capsys.readouterr().out


@pytest.mark.slow
def test_a_single_source_network_takes_a_file_and_a_line_and_fuses(recipe, landscape, tmp_path, monkeypatch, capsys):
    """From outside even the line is spared: the name reaches the model and the fusion."""
    (tmp_path / "mean.py").write_text(
        "from dataclasses import dataclass\nfrom bocage.models.base import choose, pixel_footprint, at_map_pixels\n"
        "from bocage.models.heads import SourceEncoder, single_source\n"
        "@dataclass(frozen=True)\nclass Config:\n    source: str = ''\n"
        "class Encoder(SourceEncoder):\n"
        "    def __init__(self, inputs, config):\n"
        "        super().__init__()\n        self.spec = choose(inputs, config.source, 'series', 'mean', 'source')\n"
        "        self.footprint, self.width = pixel_footprint(self.spec), len(self.spec.bands)\n"
        "    def forward(self, batch, shape):\n"
        "        values, _ = at_map_pixels(batch[self.spec.name], self.spec, shape)\n        return values.mean(1)\n"
        "Model = single_source(Encoder)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for k, model in enumerate(
        (
            'name = "mean:"',
            'name = "fusion"\nmembers = [{ network = "mean:", source = "s2" }, { network = "gru", source = "s2", settings = { units = 4 } }]',
        )
    ):
        out = tmp_path / f"run{k}"
        assert main(["run", str(recipe(model, S2, more=NO_IMPORTANCE)), "--out", str(out)]) == 0, (
            capsys.readouterr().err
        )
        assert (out / "report.html").exists()


def test_a_folder_of_another_layout_is_refused(recipe, tmp_path, capsys):
    (tmp_path / "run").mkdir()
    shutil.copy(recipe(), tmp_path / "run/notes.txt")
    assert main(["train", str(recipe()), "--out", str(tmp_path / "run")]) == 1
    assert "was not written by Bocage" in capsys.readouterr().err
