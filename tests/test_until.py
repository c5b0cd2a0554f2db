"""Maps of a season that is not over: acquisitions until a day, and windows that are kept as scenes arrive."""

import datetime
import json
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import rasterio

from bocage.cli.main import main
from bocage.errors import SceneError
from bocage.grid import Ratio
from bocage.mapping import Mapping, make_map
from bocage.models import InputSpec, build, mixture
from bocage.models.member import Member
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.testing import Place, write_raster
from bocage.training.calibration import Calibration
from bocage.words import words_of
from conftest import FOREST, GRU, S2, Told, written

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
PATCHWORK = 'name = "patchwork"\npreset = "small"'
LTAE = 'name = "ltae"\nheads = 4\nkeys = 4\nwidth = 32\nfeatures = 16'
CNN = 'name = "cnn1d"\nfilters = [4, 8]'
FILES = """
[sources.s2]
sensor = "series"
path = "{folder}/{{date}}.tif"
bands = ["red", "nir"]
scale = 0.0001
nodata = 0
indices = ["ndvi"]
"""
SETTINGS = Mapping(tile=16, layers=("classes", "confidence", "validity"))


def day(month: int, of_month: int, year: int = 2021) -> datetime.date:
    return datetime.date(year, month, of_month)


@pytest.fixture(scope="module")
def model(brief):
    """A model with temperatures of the season, and its scene."""
    made = brief(PATCHWORK, NATIVE)
    days = made.scene.cubes["s2"].days
    season = ((float(days[0]), 3.0), (float(days[-1]), 1.0))
    return replace(made.trained, calibration=Calibration(season=season)), made.scene


class Season:
    """A folder with a file for each date of the tiny landscape, which arrive one by one."""

    def __init__(self, folder, scene, year=2021):
        self.folder, self.year = folder, year
        self.source = scene.cubes["s2"].source
        self.days = [datetime.date(year, d.month, d.day) for d in self.source.times]
        paths = {band: self.source.acquisitions[0].files[band].path for band in ("red", "nir")}
        self.bands = [rasterio.open(path).read() for path in paths.values()]
        (folder / "s2").mkdir(parents=True)
        self.recipe = folder / "recipe.toml"

    def arrives(self, number, columns=slice(None), whole=True):
        """Write the file of a date, valid in some columns; it covers these only, or the whole landscape."""
        pixels = np.stack([band[number] for band in self.bands])
        valid = np.zeros_like(pixels)
        valid[..., columns] = pixels[..., columns]
        start = columns.start or 0
        place = Place() if whole else Place(corner=(Place().corner[0] + 10 * start, Place().corner[1]))
        part = valid if whole else valid[..., columns]
        write_raster(self.folder / f"s2/{self.days[number]}.tif", part, place, nodata=0)

    def scene(self, model=PATCHWORK):
        """Open the scene as it is now."""
        reference = str(self.source.acquisitions[0].files["red"].path.parents[1] / "reference.gpkg")
        self.recipe = written(
            self.folder, model, FILES.format(folder=self.folder / "s2"), **{"reference.gpkg": reference}
        )
        return open_scene(read_recipe(self.recipe))


def contents(folder):
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".tif"}


def confidence(land):
    with rasterio.open(land.files["confidence"]) as dataset:
        return dataset.read(1).astype(float)


def test_acquisitions_after_the_day_are_not_read(model, tmp_path, small_cells):
    trained, scene = model
    season, told = Season(tmp_path / "land", scene), Told()
    for number in range(6):
        season.arrives(number)
    now, late = season.scene(), season.folder / f"s2/{season.days[4]}.tif"
    late.write_bytes(late.read_bytes()[:600])
    land = make_map(trained, now, replace(SETTINGS, until=day(5, 31)), tmp_path / "map", progress=told)
    assert any("until 2021-05-31; the last one is of 2021-05-11" in word for word in told.words)
    item = json.loads((tmp_path / "map/item.json").read_text())
    assert item["properties"]["end_datetime"].startswith("2021-05-11")
    with rasterio.open(land.files["validity"]) as dataset:
        assert (dataset.read(1) == 4).all()


@pytest.mark.slow
def test_the_confidence_is_that_of_the_day(model, tmp_path, small_cells):
    trained, scene = model
    plain = replace(trained, calibration=Calibration())
    early = replace(SETTINGS, until=day(2, 20))
    found, bare = (make_map(one, scene, early, tmp_path / str(k)) for k, one in enumerate((trained, plain)))
    assert confidence(found).mean() < confidence(bare).mean() - 5  # temperature 3 at the first date
    whole, other = (make_map(one, scene, SETTINGS, tmp_path / f"w{k}") for k, one in enumerate((trained, plain)))
    assert np.abs(confidence(whole) - confidence(other)).max() <= 1  # temperature 1 at the last date
    told = Told()
    make_map(plain, scene, early, tmp_path / "said", progress=told)
    assert any("no calibration for a season that is not over" in word for word in told.words)


@pytest.mark.slow
def test_another_year_has_the_days_of_the_year(model, tmp_path, small_cells):
    trained, scene = model
    maps = []
    for year in (2021, 2025):
        season = Season(tmp_path / str(year), scene, year)
        for number in range(2):
            season.arrives(number)
        maps.append(make_map(trained, season.scene(), SETTINGS, tmp_path / f"map{year}"))
    assert trained.for_scene(season.scene()).later == 1461
    assert np.abs(confidence(maps[0]) - confidence(maps[1])).max() <= 1


@pytest.mark.parametrize(
    ("first", "later"),
    [
        (day(2, 11), 0),
        (day(3, 1, 2025), 1461),
        (day(7, 1, 2025), 1461),  # within the training season, which ends on 11 July
        (day(12, 1, 2025), 1826),  # nearer to the season of the next year
        (day(2, 1, 2020), -365),
    ],
)
def test_the_season_of_a_scene_is_moved_by_whole_years(model, first, later):
    trained, scene = model
    cube = scene.cubes["s2"]
    days = (first - datetime.date(1970, 1, 1)).days
    acquisitions = cube.source.acquisitions[:1]
    time = datetime.datetime.combine(first, datetime.time(), datetime.UTC).replace(tzinfo=None)
    source = replace(cube.source, acquisitions=tuple(replace(one, time=time) for one in acquisitions))
    moved = replace(scene, cubes={"s2": replace(cube, source=source)})
    assert moved.cubes["s2"].days.tolist() == [days]
    assert trained.for_scene(moved).later == later


@pytest.mark.slow
@pytest.mark.parametrize(
    ("whole", "said"), [(True, "have no data of the new acquisitions: kept"), (False, "are there already")]
)
def test_windows_without_new_data_are_kept(model, tmp_path, small_cells, monkeypatch, whole, said):
    """The fourth date covers the west only: as a smaller file, or as a file of the whole landscape without data in the east."""
    trained, scene = model
    season, told = Season(tmp_path / "land", scene), Told()
    for number in range(3):
        season.arrives(number)
    make_map(trained, season.scene(), SETTINGS, tmp_path / "map")
    season.arrives(3, slice(0, 10), whole)
    now, ran = season.scene(), []
    monkeypatch.setattr("bocage.mapping.work.infer", _spy("bocage.mapping.predict", "infer", ran, 2))
    make_map(trained, now, SETTINGS, tmp_path / "map", progress=told)
    assert any(said in word for word in told.words), told.words
    assert ran
    assert {window.x for window in ran} == {0}, "only windows in the west are computed"
    ran.clear()
    make_map(trained, now, SETTINGS, tmp_path / "fresh")
    assert {window.x for window in ran} != {0}
    assert contents(tmp_path / "map") == contents(tmp_path / "fresh")
    ran.clear()
    make_map(trained, now, SETTINGS, tmp_path / "map")
    assert not ran, "what is kept is recorded"
    season.arrives(2, slice(20, 30))  # another content of an earlier date
    make_map(trained, season.scene(), SETTINGS, tmp_path / "map")
    make_map(trained, season.scene(), SETTINGS, tmp_path / "other")
    assert contents(tmp_path / "map") == contents(tmp_path / "other")


@pytest.mark.slow
@pytest.mark.parametrize("whole", [True, False])
def test_an_earlier_date_changes_all_windows_of_a_network_that_counts_days_from_the_first(
    brief, tmp_path, small_cells, whole
):
    """L-TAE counts days from the first date of the series, which here has data in the west only and arrives last."""
    made = brief(LTAE, NATIVE)
    season = Season(tmp_path / "land", made.scene)
    for number in range(1, 5):
        season.arrives(number)
    make_map(made.trained, season.scene(LTAE), SETTINGS, tmp_path / "map")
    season.arrives(0, slice(0, 10), whole)
    for name in ("map", "fresh"):
        make_map(made.trained, season.scene(LTAE), SETTINGS, tmp_path / name)
    assert contents(tmp_path / "map") == contents(tmp_path / "fresh")


@pytest.mark.parametrize(
    ("model", "changed"), [(LTAE, True), (PATCHWORK, False), (CNN, True), (GRU, False), (FOREST, True)]
)
def test_networks_that_masked_dates_change(model, changed):
    settings = tomllib.loads(model)
    member = Member(settings.pop("name"), settings)
    inputs = {"s2": InputSpec("s2", ("red", "nir"), 12, Ratio(), regular=False)}
    network = build(member.architecture, inputs, 3, member.config)
    mixed = mixture.Model(inputs, 3, mixture.Config((member, Member("gru", {"units": 4}))))
    assert bool(network.by_every_date) is bool(mixed.by_every_date) is changed


def _spy(module, name, calls, position):
    import importlib

    real = getattr(importlib.import_module(module), name)

    def spied(*arguments, **more):
        calls.append(arguments[position])
        return real(*arguments, **more)

    return spied


@pytest.mark.slow
def test_gap_filled_maps_are_made_again(brief, tmp_path, small_cells):
    """A filled value depends on all dates: a new one changes every window that it touches."""
    made = brief(FOREST)
    land, told = make_map(made.trained, made.scene, SETTINGS, tmp_path / "map"), Told()
    make_map(made.trained, made.scene, replace(SETTINGS, until=day(4, 30)), tmp_path / "map", progress=told)
    assert any("were made from other inputs or settings" in word for word in told.words)
    assert not any("kept" in word for word in told.words)
    assert land.files["classes"].exists()


@pytest.mark.slow
def test_days_that_cannot_be_are_refused(model, brief, tmp_path, small_cells):
    trained, scene = model
    with pytest.raises(SceneError, match="No acquisition until 2021-01-31: the first date of the series is 2021-02-11"):
        make_map(trained, scene, replace(SETTINGS, until=day(1, 31)), tmp_path / "early")
    assert not (tmp_path / "early").exists()
    told = Told()
    make_map(trained, scene, replace(SETTINGS, until=day(12, 31)), tmp_path / "late", progress=told)
    assert any("until 2021-12-31; the last one is of 2021-07-11" in word for word in told.words)
    recurrent = brief(GRU, NATIVE)  # takes any number of dates, one included
    make_map(recurrent.trained, recurrent.scene, replace(SETTINGS, until=day(2, 28)), tmp_path / "gru")
    convolved = brief('name = "tempcnn"\nfilters = 8', NATIVE)
    told = Told()
    with pytest.raises(
        SceneError, match="trained on 6 dates, found 2 until 2021-03-31; tempcnn needs the same number.*'fill'"
    ):
        make_map(
            convolved.trained, convolved.scene, replace(SETTINGS, until=day(3, 31)), tmp_path / "cnn", progress=told
        )
    assert not told.words, "nothing is said of a map that is refused"


@pytest.mark.slow
def test_the_command_maps_beside_the_map_of_the_run(finished, tmp_path, capsys):
    base = finished()
    out = base.copied(tmp_path / "run")
    before = (out / "map/classes.tif").read_bytes()
    command = ["map", str(base.recipe), "--out", str(out)]
    assert main([*command, "--until", "2021-04-30"]) == 0
    folder = out / "maps/until-2021-04-30"
    assert (folder / "classes.tif").exists()
    assert (out / "map/classes.tif").read_bytes() == before
    assert main([*command, "--until", "2021-04-30"]) == 0
    assert "region/until-2021-04-30: up to date" in capsys.readouterr().err
    assert main([*command, "--until", "2021-05-31", "--name", "until-2021-04-30"]) == 1
    assert "has a map of another region or day (until 2021-04-30)" in capsys.readouterr().err
    assert main([*command, "--until", "2021-01-31"]) == 1
    assert "the first date of the series is 2021-02-11" in capsys.readouterr().err
    assert not (out / "maps/until-2021-01-31").exists()
    assert main([*command, "--until", "May"]) == 2
    elsewhere = ["map", str(base.recipe), "--model", str(out), "--out", str(tmp_path / "next"), "--until", "2021-04-30"]
    assert main(elsewhere) == 0
    with rasterio.open(tmp_path / "next/map/classes.tif") as one, rasterio.open(folder / "classes.tif") as other:
        assert np.array_equal(one.read(1), other.read(1))
    page = (tmp_path / "next/report.html").read_text(encoding="utf-8")
    assert words_of("en")["t_until"].format(day="2021-04-30") in page


@pytest.mark.slow
def test_the_report_says_what_is_not_known_of_a_map_until_a_day(finished):
    out = finished(FOREST, "until = 2021-04-30\nsets = 0.7").out
    page, w = (out / "report.html").read_text(encoding="utf-8").replace("&#39;", "'"), words_of("en")
    assert w["note_map_until"].format(day="2021-04-30") in page
    assert w["sets_until"].format(day="2021-04-30") in page
    assert 'id="area"' not in page
    assert w["shares_only"] in page
    assert w["shares_about"] not in page
    whole = (finished(FOREST, "sets = 0.7").out / "report.html").read_text(encoding="utf-8")
    assert w["shares_about"] in whole
    assert w["sets_until"].format(day="2021-04-30") not in whole
