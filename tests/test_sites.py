"""Several sites in one recipe: one model trained on all, its accuracy at each, and a map of each."""

import json
import shutil
import zipfile
from dataclasses import replace
from types import SimpleNamespace
from xml.etree import ElementTree

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import MappingError, RecipeError, RunFolderError, SamplesError, SceneError, TrainingError
from bocage.evaluation import Predictions
from bocage.grid import Grid, Window
from bocage.jobs.check import check
from bocage.jobs.qgis import project_of
from bocage.jobs.reference_pixels import pixels_of_test
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.mapping import open_delivered
from bocage.recipe import read_recipe
from bocage.run import open_sites
from bocage.run.map_origin import NOT_AT_SITE, NOT_OF_A_RUN, MapOrigin
from bocage.run.map_origin import test_pixels_of as pixels_at
from bocage.scene import Scenes, limited
from bocage.testing import tiny_landscape
from bocage.training.records import Region
from bocage.training.sites import balanced_members
from bocage.view import open_viewed
from bocage.view.pixel import Pixel
from bocage.view.places import polygons_of
from bocage.words import words_of
from conftest import FOREST, Told, copy_of, once

FILL = "fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }"
SERIES = """
[site.sources.s2]
sensor = "series"
variables = {{ red = "{land}/s2/red.tif", nir = "{land}/s2/nir.tif" }}
quality = "{land}/s2/quality.tif"
clear = [4]
scale = 0.0001
indices = ["ndvi"]
{fill}
"""
IMAGE = """
[site.sources.pan]
sensor = "image"
path = "{land}/pan.tif"
bands = ["pan"]
"""
SITE = """
[[site]]
name = "{name}"
{more}
[site.grid]
like = "s2"
{sources}
"""
REFERENCE = """
[site.reference]
path = "{land}/reference.gpkg"
label = "code"
"""
COMMON = """
name = "sites"
[legend]
classes = [
  {{ code = 1, name = "maize", color = "#f2c14e" }},
  {{ code = 2, name = "meadow" }},
  {{ code = 3, name = "water", color = "#2e86ab" }},
]
[split]
{split}
[model]
{model}
[training]
epochs = 3
learning_rate = 0.01
batch_size = 16
{training}
[map]
tile = 32
{mapping}
"""
PATCHES = 'name = "random_forest"\ntrees = 5\npatches = { pan = 5 }'
PATCHWORK = 'name = "patchwork"\npreset = "small"\nfilters = [4, 8]'


def moved(land, crs="EPSG:32631", east=0.0, north=0.0):
    """Move a landscape to another UTM zone or place."""
    for path in (*land.glob("*.tif"), *land.glob("s2/*.tif")):
        with rasterio.open(path, "r+") as dataset:
            dataset.crs = crs
            a = dataset.transform
            dataset.transform = rasterio.Affine(a.a, 0, a.c + east, 0, a.e, a.f + north)
    table = gpd.read_file(land / "reference.gpkg")
    table.geometry = table.geometry.translate(east, north)
    table.set_crs(crs, allow_override=True).to_file(land / "reference.gpkg", engine="pyogrio")


def site(name, sources=(SERIES,), reference=True, fill=FILL, more=""):
    text = SITE.format(name=name, more=more, sources="".join(one.format(land=name, fill=fill) for one in sources))
    return text + (REFERENCE.format(land=name) if reference else "")


def written(folder, *sites, model=FOREST, split="train = 0.5\ndraws = 2", training="", mapping="", name="recipe.toml"):
    path = folder / name
    path.write_text(COMMON.format(model=model, split=split, training=training, mapping=mapping) + "".join(sites))
    return path


@pytest.fixture
def lands(shared, tmp_path):
    """Two landscapes in two UTM zones, of other sizes and numbers of polygons."""

    def make(folder):
        tiny_landscape(folder / "north")
        tiny_landscape(folder / "south", size=40, polygons=4)
        moved(folder / "south", "EPSG:32631")

    return copy_of(once(shared / "lands-of-sites", make), tmp_path / "lands")


def classes(path):
    with rasterio.open(path) as dataset:
        return dataset.read(1), dataset.crs


@pytest.mark.slow
def test_a_model_of_two_sites_is_scored_at_each_and_maps_each(lands, tmp_path):
    path, out = written(lands, site("north"), site("south")), tmp_path / "run"
    finished = run(read_recipe(path), out)
    score = json.loads((out / "score.json").read_text())
    assert set(score["sites"]) == {"north", "south"}
    pooled, *parts = (
        np.array(one["confusion"]["per_draw"]) for one in (score, score["sites"]["north"], score["sites"]["south"])
    )
    assert (pooled == sum(parts)).all()
    assert score["overall_accuracy"]["mean"] > 0.9
    for name, crs, shape in (("north", 32740, (48, 53)), ("south", 32631, (40, 45))):
        codes, found = classes(out / f"map/{name}/classes.tif")
        assert (found.to_epsg(), codes.shape) == (crs, shape)
        assert (out / f"map/{name}/checksums.sha256").exists()
    assert set(finished.maps_on_disk()) == {"north", "south"}
    check_test_pixels_of_sites(out, pooled[0].sum())


def check_test_pixels_of_sites(out, count):
    """Check that the map of each site has the test pixels of the site, `count` in all, and what a folder of maps says."""
    found = {name: out / "map" / name for name in ("north", "south")}
    pixels = {name: pixels_of_test(folder, open_delivered(folder)) for name, folder in found.items()}
    assert sum(len(one.mapped) for one in pixels.values()) == count
    for name, one in pixels.items():
        codes, _ = classes(found[name] / "classes.tif")
        at = codes[tuple(one.place.T)]
        assert (at[at > 0] == np.array([1, 2, 3])[one.mapped][at > 0]).all()
        assert (at > 0).mean() > 0.9
    with pytest.raises(MappingError, match=r"holds several maps. Give the folder of one: .*north, .*south$"):
        open_delivered(out)
    with pytest.raises(MappingError, match=r"holds several maps"):
        open_delivered(out / "map")
    labelled = {name: len(MapOrigin.of(folder).labelled("row")) for name, folder in found.items()}
    assert labelled == pd.read_parquet(out / "samples.parquet")["site"].value_counts().to_dict()
    shutil.copytree(found["north"], out.parent / "copy")
    assert pixels_at(out.parent / "copy") == NOT_OF_A_RUN
    table = pd.read_parquet(out / "samples.parquet")
    table.assign(site="south").to_parquet(out / "samples.parquet")
    assert pixels_at(found["north"]) == NOT_AT_SITE


@pytest.mark.slow
def test_the_report_of_sites_names_the_last_day_of_the_maps(lands, tmp_path):
    path, out = written(lands, site("north"), site("south"), mapping="until = 2021-04-30\nsets = 0.7"), tmp_path / "run"
    run(read_recipe(path), out)
    page, w = (out / "report.html").read_text(encoding="utf-8"), words_of("en")
    assert w["note_map_until"].format(day="2021-04-30") in page
    assert w["sets_until"].format(day="2021-04-30") in page
    notes = json.loads((out / "report.json").read_text(encoding="utf-8"))["notes"]
    assert w["note_map_until"].format(day="2021-04-30") in notes


def opened(path, out, **more):
    return open_sites(read_recipe(path), out, **more)


def test_samples_of_sites_have_polygons_blocks_and_places_of_their_own(lands, tmp_path):
    samples = opened(written(lands, site("north"), site("south")), tmp_path / "run").joined
    assert samples.sites == ("north", "south")
    north, south = (np.flatnonzero(samples.at(name)) for name in samples.sites)
    assert (len(north), len(south)) == (3 * 5 * 16, 3 * 4 * 16)
    for values in (samples.polygon, samples.block):
        assert not set(values[north]) & set(values[south])
    assert np.abs(samples.place[north].mean(0) - samples.place[south].mean(0)).max() > 1e7, "no leakage between sites"
    alone = opened(written(lands, site("north")), tmp_path / "alone").joined
    members = np.arange(len(north))
    for one, other in zip(samples.cuts["s2"].read(north), alone.cuts["s2"].read(members), strict=True):
        assert np.array_equal(one, other)


def test_a_draw_has_training_and_test_polygons_of_every_class_at_every_site(lands, tmp_path):
    samples = opened(written(lands, site("north"), site("south")), tmp_path / "run").joined
    for k in range(samples.draws):
        draw = samples.draw(k)
        for name in samples.sites:
            for part in (draw.train, draw.test):
                assert len(np.unique(samples.label[part[samples.at(name)[part]]])) == 3
        assert not set(samples.polygon[draw.train]) & set(samples.polygon[draw.test])


@pytest.mark.slow
@pytest.mark.parametrize("split", ["train = 0.5\ndraws = 2", 'site = "leave-one-out"'])
def test_each_site_is_viewed_with_its_split_and_its_errors(lands, tmp_path, split):
    """The last polygon of the north is of a class that is dropped, so that numbers of polygons of the south are shifted."""
    table = gpd.read_file(lands / "north/reference.gpkg")
    odd = table.iloc[[-1]].assign(code=4, geometry=table.geometry.iloc[[-1]].translate(0, -60).to_numpy())
    gpd.pd.concat([table, odd]).to_file(lands / "north/reference.gpkg", engine="pyogrio")
    path = written(lands, site("north"), site("south"), split=f'rare = "drop"\n{split}', mapping="draw = 1")
    path.write_text(path.read_text().replace("classes = [", 'classes = [\n  { code = 4, name = "fallow" },'))
    out = tmp_path / "run"
    run(read_recipe(path), out, ("train", "evaluate"))
    joined = opened(path, out).joined
    draw, tested, seen = joined.draw(1), Predictions.from_parquet(RunLayout(out).split(1).test), 0
    for name in ("north", "south"):
        viewed = open_viewed(out, site=name)
        here = np.flatnonzero(joined.at(name))
        assert np.array_equal(viewed.samples.row, joined.row[here])
        for part, members in draw.parts.items():
            mine = viewed.samples.parts[part]
            assert np.array_equal(viewed.samples.column[mine], joined.column[members[joined.at(name)[members]]])
        own = viewed.tested
        assert np.isin(own.polygon, viewed.samples.polygon[viewed.samples.parts["test"]]).all()
        seen += len(own)
        assert "view_no_polygons" not in [key for key, _ in viewed.missing]
        features = [f["properties"] for f in polygons_of(viewed)["features"]]
        assert {f["part"] for f in features if f["tested"]} <= {"test"}
        assert sum(f["tested"] for f in features) == len(own)
        assert sum(f["wrong"] for f in features) == (~own.right).sum()
        used = {f["part"] for f in features if f["class"] != "fallow"}
        assert used <= ({"test"} if "site" in split and name == "south" else {"train", "validation", "test"})
    assert seen == len(tested)


def test_one_site_is_left_out_at_a_time(lands, tmp_path):
    path = written(lands, site("north"), site("south"), split='site = "leave-one-out"')
    samples = opened(path, tmp_path / "run").joined
    assert samples.folds == ("north", "south")
    for k, name in enumerate(samples.sites):
        draw, here = samples.draw(k), samples.at(name)
        assert here[draw.test].all()
        assert len(draw.test) == here.sum()
        assert not here[np.concatenate([draw.train, draw.validation])].any()
        assert len(draw.validation)


@pytest.mark.slow
def test_leave_one_out_is_scored_by_site(lands, tmp_path):
    path = written(lands, site("north"), site("south"), split='site = "leave-one-out"')
    run(read_recipe(path), tmp_path / "run", ("train", "evaluate"))
    score = json.loads((tmp_path / "run/score.json").read_text())
    assert score["overall_accuracy"]["per_draw"] == [
        score["sites"][name]["overall_accuracy"]["mean"] for name in ("north", "south")
    ]
    assert score["design"]["stratified_by"] == "site"
    probed = [(draw["neighbour"], draw["leaks"]) for draw in score["trust"]]
    assert probed == [(None, False)] * 2, "no training polygon is on the ground of the tested site"


def test_another_order_of_the_sites_is_another_training(lands, tmp_path):
    """The order of the sites numbers the polygons: models of one order have been trained on test polygons of the other."""
    out, north, south = tmp_path / "run", site("north"), site("south")
    run(read_recipe(written(lands, north, south, split="draws = 1")), out, ("train",))
    swapped = read_recipe(written(lands, south, north, split="draws = 1"))
    with pytest.raises(RunFolderError, match=r"differs in: order of the sites\)"):
        run(swapped, out, ("evaluate",))
    with pytest.raises(RunFolderError, match="'train/0' is not complete for this recipe"):
        run(swapped, out, ("evaluate",), overwrite=True)
    mapped_only = site("east", reference=False).replace("east/", "north/")
    assert read_recipe(written(lands, mapped_only, north, south)).order_of_sites == ("north", "south")


def test_sites_have_the_same_number_of_training_samples_in_an_epoch(lands, tmp_path):
    opened_run = opened(written(lands, site("north"), site("south")), tmp_path / "run")
    samples, settings = opened_run.joined, opened_run.recipe.choice.training
    every, generator = np.arange(len(samples.label)), np.random.default_rng(0)
    chosen = balanced_members(every, samples.chips, settings, generator)
    counts = np.bincount(samples.site[chosen])
    assert counts.tolist() == [216, 216]
    assert set(chosen[samples.site[chosen] == 1]) == set(every[samples.at("south")]), "none of a small site is left out"
    as_is = replace(settings, sites="as is")
    assert balanced_members(every, samples.chips, as_is, generator) is every


def test_native_dates_of_sites_are_aligned_by_day(lands, tmp_path):
    """A site with fewer acquisitions, on other days: the rest of its series has no valid date."""
    for path in (lands / "south/s2").glob("*.tif"):
        with rasterio.open(path) as dataset:
            values, profile, days = dataset.read(), dataset.profile, dataset.descriptions
        with rasterio.open(path, "w", **{**profile, "count": 4}) as dataset:
            dataset.write(values[:4])
            dataset.descriptions = [day.replace("-11", "-21") for day in days[:4]]
    path = written(lands, site("north", fill=""), site("south", fill=""), model=PATCHWORK)
    samples = opened(path, tmp_path / "run").joined
    cut, south = samples.cuts["s2"], np.flatnonzero(samples.at("south"))[:5]
    values, valid = cut.read(south)
    assert values.shape[1] == 6
    assert valid[:, :4].any()
    assert not valid[:, 4:].any()
    days = cut.days_of(np.array([0, *south]))
    assert (days[1, :4] - days[0, :4]).tolist() == [10] * 4
    assert (days[1, 4:] == days[1, 3]).all()


@pytest.mark.slow
def test_a_site_without_a_source_is_trained_scored_and_mapped(lands, tmp_path):
    path = written(lands, site("north", (SERIES, IMAGE), fill=""), site("south", fill=""), model=PATCHWORK)
    out = tmp_path / "run"
    finished = run(read_recipe(path), out, ("train", "evaluate", "map"))
    pan, south = finished.joined.cuts["pan"], np.flatnonzero(finished.joined.at("south"))
    assert not pan.read(south)[1].any()
    score = json.loads((out / "score.json").read_text())
    assert score["sites"]["south"]["confusion"]["per_draw"]
    assert (classes(out / "map/south/classes.tif")[0] > 0).any()


WINDOWED = "window = 16\nsteps = [100, 200]"


@pytest.mark.slow
@pytest.mark.parametrize(("model", "more"), [('name = "unet"\nwidth = 4\ndepth = 1', ()), (PATCHWORK, (IMAGE,))])
def test_a_training_on_windows_of_sites(lands, tmp_path, model, more, small_cells):
    """One network learns from the windows of all sites, of which one may lack a source; each map is that of the test pixels."""
    north, south = site("north", (SERIES, *more), fill=""), site("south", fill="")
    if not more:
        north, south = site("north"), site("south")
    split, out = "train = 0.5\ndraws = 1", tmp_path / "run"
    path = written(lands, north, south, model=model, split=split, training=WINDOWED)
    samples = run(read_recipe(path), out, ("train", "evaluate", "map")).joined
    score = json.loads((out / "score.json").read_text())
    assert min(one["overall_accuracy"]["mean"] for one in score["sites"].values()) > 0.9
    tested = Predictions.from_parquet(RunLayout(out).split(0).test)
    for name in samples.sites:
        own = tested.take(samples.at(name)[samples.draw(0).test])
        codes, _ = classes(out / f"map/{name}/classes.tif")
        assert np.mean(codes[own.row, own.column] == own.predicted + 1) > 0.99


def test_windows_of_sites_hold_the_pixels_of_their_own_scene(lands, tmp_path):
    path = written(lands, site("north"), site("south"), model='name = "unet"\nwidth = 4\ndepth = 1', training=WINDOWED)
    finished = opened(path, tmp_path / "run")
    samples = finished.joined
    windows = samples.windows
    assert not set(windows.number[samples.at("north")]) & set(windows.number[samples.at("south")])
    for i in np.r_[np.flatnonzero(samples.at("north"))[::40], np.flatnonzero(samples.at("south"))[::40]]:
        cube = finished.scenes[samples.sites[samples.site[i]]].cubes["s2"]
        block = cube.read(Window(int(samples.row[i]), int(samples.column[i]), 1, 1))
        values, valid = (array[0] for array in windows.cuts["s2"].read(windows.number[i : i + 1]))
        before = (values.shape[-1] - 16) // 2
        y, x = windows.row[i] + before, windows.column[i] + before
        assert np.array_equal(values[..., y, x], (block.values * block.valid[:, None])[..., 0, 0])
        assert np.array_equal(valid[..., y, x], block.valid[..., 0, 0])
        alone, _ = samples.cuts["s2"].read(np.array([i]))
        assert np.array_equal(alone[0, ..., 0, 0], values[..., y, x])


def test_a_window_larger_than_the_map_of_a_site_names_the_site(lands, tmp_path):
    path = written(
        lands, site("north"), site("south"), model='name = "unet"\nwidth = 4\ndepth = 1', training="window = 48"
    )
    with pytest.raises(SamplesError, match=r"Site 'south': \[training\] window is 48, but the map has 40 x 45"):
        opened(path, tmp_path / "run")


def test_a_network_that_needs_all_sources_refuses_a_site_without_one(lands, tmp_path):
    path = written(lands, site("north", (SERIES, IMAGE)), site("south"))
    with pytest.raises(
        TrainingError, match="The site 'south' has no source 'pan', and random_forest needs all sources"
    ):
        opened(path, tmp_path / "run")


def test_bands_that_a_site_lacks_are_not_used(lands, tmp_path):
    south = site("south").replace('red = "south/s2/red.tif", ', "").replace('indices = ["ndvi"]\n', "")
    told = Told()
    samples = opened(written(lands, site("north"), south), tmp_path / "run", progress=told).joined
    assert samples.cuts["s2"].bands == 1
    said = "Source 's2': Bands that are not at all sites, and are not used: red, ndvi (missing at south)."
    assert any(text.startswith(said) for text in told.words)


def test_check_reports_what_sites_do_not_have_in_common(lands):
    south = site("south").replace('red = "south/s2/red.tif", ', "").replace('indices = ["ndvi"]\n', "")
    path = written(lands, site("north"), south)
    found = {one.what.code: one for one in check(path).findings}
    assert found["bands_unused"].severity == "warning"
    assert found["bands_unused"].what.text("fr").endswith("non utilisées\u00a0: red, ndvi (manquent à\u00a0: south).")
    written(lands, site("north", (SERIES, IMAGE)), site("south"))
    errors = [str(one.what) for one in check(path).findings if one.severity == "error"]
    assert any("The site 'south' has no source 'pan', and random_forest needs all" in text for text in errors), errors


@pytest.mark.slow
def test_a_site_with_more_bands_than_the_model_is_scored_and_mapped(lands, tmp_path, capsys):
    south = site("south").replace('red = "south/s2/red.tif", ', "").replace('indices = ["ndvi"]\n', "")
    path = written(lands, site("north"), south, mapping='sites = ["north"]')
    run(read_recipe(path), tmp_path / "run", ("train", "map"))
    elsewhere = ["--model", str(tmp_path / "run"), "--site", "north"]
    assert main(["evaluate", str(path), *elsewhere, "--out", str(tmp_path / "score")]) == 0
    assert "the model does not use 'red', 'ndvi'" in " ".join(capsys.readouterr().err.split())
    assert main(["map", str(path), *elsewhere, "--out", str(tmp_path / "map")]) == 0, capsys.readouterr().err
    own, again = (classes(path) for path in sorted(tmp_path.rglob("classes.tif")))
    assert np.array_equal(own[0], again[0])


def test_sites_whose_bands_do_not_meet_are_refused(lands, tmp_path):
    north = site("north").replace(', nir = "north/s2/nir.tif"', "").replace('red = "north', 'swir = "north')
    north = north.replace('indices = ["ndvi"]\n', "")
    south = site("south").replace('indices = ["ndvi"]\n', "")
    with pytest.raises(SceneError, match=r"no band in common \(north: swir; south: red, nir\)"):
        opened(written(lands, north, south), tmp_path / "run")


def test_a_source_of_another_resolution_is_refused(lands, tmp_path):
    south = site("south", (SERIES, IMAGE)).replace("south/pan.tif", "south/ms.tif").replace('["pan"]', '["pan", "-"]')
    path = written(lands, site("north", (SERIES, IMAGE)), south)
    with pytest.raises(TrainingError, match=r"Source 'pan': ratio to the map .* at the site 'north', but"):
        opened(path, tmp_path / "run")


def test_a_map_of_another_resolution_is_refused_with_a_remedy(lands, tmp_path):
    north, south = (
        site(name, (SERIES, IMAGE)).replace("pan.tif", "ms.tif").replace('["pan"]', '["pan", "-"]')
        for name in ("north", "south")
    )
    path = written(lands, north, south.replace('like = "s2"', 'like = "pan"'))
    with pytest.raises(TrainingError, match=r"ratio to the map .* Give all sites a map of the same resolution"):
        opened(path, tmp_path / "run")


def test_dates_read_by_position_are_at_the_same_time_of_the_year(lands, tmp_path):
    later = FILL.replace("2021-02-01", "2021-03-01").replace("2021-07-31", "2021-08-28")
    path = written(lands, site("north"), site("south", fill=later))
    with pytest.raises(TrainingError, match="first date 2021-02-01 at the site 'north', but 2021-03-01 at 'south'"):
        opened(path, tmp_path / "run")


@pytest.mark.parametrize("model", [FOREST, f"{FOREST}\nmembers = 2"])
def test_trees_need_the_same_number_of_dates_at_all_sites(lands, tmp_path, model):
    """Alone or as members of a mixture."""
    north, south = site("north", fill=""), site("south", fill="period = [2021-04-01, 2021-07-31]")
    with pytest.raises(TrainingError, match="number of dates .* at the site 'north', but .* at 'south'"):
        opened(written(lands, north, south, model=model), tmp_path / "run")


def test_a_class_of_no_site_is_refused(lands, tmp_path):
    path = written(lands, site("north"), site("south"))
    path.write_text(path.read_text().replace('code = 3, name = "water"', 'code = 9, name = "rice"'))
    text = path.read_text().replace('label = "code"', 'label = "code"\nunknown = "reject"')
    path.write_text(text)
    with pytest.raises(SamplesError, match=r"'rice' \(0\)"):
        opened(path, tmp_path / "run")


@pytest.mark.parametrize(
    ("sites", "more", "message"),
    [
        (("north", "north"), {}, "two sites are called 'north'"),
        (("north", "North"), {}, "two sites are called 'North'"),
        (("north",), {"mapping": 'sites = ["east"]'}, "no site is called 'east'"),
        (("north",), {"mapping": 'precision = "bfloat16"'}, "map.precision: not available"),
        (("north", "south"), {"split": 'site = "leave-one-out"\nfolds = 3'}, "cannot be combined"),
        ((), {"split": 'site = "leave-one-out"'}, "the recipe has no tables"),
        (("north",), {"split": 'field = "part"\ntrain = ["a"]\ntest = ["b"]'}, "split.field: not available"),
        (("north",), {"split": "train = 1\ndraws = 1"}, "split.train: not available"),
    ],
)
def test_recipes_that_are_refused(tmp_path, sites, more, message):
    with pytest.raises(RecipeError, match=message) as error:
        read_recipe(written(tmp_path, *map(site, sites), **more))
    assert str(error.value).count(message) <= 1, "once, not once for each site"


def test_a_recipe_with_sites_has_no_sources_of_its_own(tmp_path):
    path = written(tmp_path, site("north"))
    path.write_text('[grid]\nlike = "s2"\n' + path.read_text().replace('name = "sites"\n', ""))
    with pytest.raises(RecipeError, match=r"move \[grid\] into each site, as \[site.grid\]"):
        read_recipe(path)
    path.write_text("site = []\n" + written(tmp_path).read_text())
    with pytest.raises(RecipeError, match=r"write a table \[\[site\]\] for each site"):
        read_recipe(path)
    path = written(tmp_path, site("north", reference=False))
    with pytest.raises(RecipeError, match="no site has reference polygons"):
        read_recipe(path)
    path = written(tmp_path, site("north") + 'refrence = "x"\n')
    with pytest.raises(RecipeError, match=r"site.0.reference.refrence: unknown key"):
        read_recipe(path)


def test_the_recipe_of_one_site(lands):
    recipe = read_recipe(written(lands, site("north"), site("south", reference=False)))
    part = recipe.at("north")
    assert (part.name, part.sites, part.grid.like) == ("sites-north", (), "s2")
    assert part.reference.path == lands / "north/reference.gpkg"
    with pytest.raises(RecipeError, match=r"\[site.reference\] is missing"):
        recipe.at("south")
    with pytest.raises(RecipeError, match="The sites are: north, south"):
        recipe.at("east")


@pytest.fixture
def mapped(lands, tmp_path):
    """A run of two sites with polygons and one without, trained and mapped."""
    shutil.copytree(lands / "north", lands / "east")
    moved(lands / "east", "EPSG:32740", east=5000)
    (lands / "east/reference.gpkg").unlink()
    path = written(lands, site("north"), site("south"), site("east", reference=False), split="draws = 1")
    run(read_recipe(path), tmp_path / "run", ("train", "evaluate", "map"))
    return path, tmp_path / "run"


@pytest.mark.slow
def test_nothing_of_one_site_is_read_to_map_another(mapped, lands, capsys):
    path, out = mapped
    before = (out / "map/north/classes.tif").read_bytes()
    shutil.rmtree(out / "map/north")
    shutil.rmtree(lands / "south")
    assert main(["map", str(path), "--out", str(out), "--site", "north"]) == 0, capsys.readouterr().err
    assert (out / "map/north/classes.tif").read_bytes() == before
    assert "north/classes.tif" in capsys.readouterr().out
    assert main(["map", str(path), "--out", str(out), "--site", "south"]) == 1
    assert main(["map", str(path), "--out", str(out)]) == 1


@pytest.mark.slow
def test_a_changed_file_of_the_site_asks_for_a_training(mapped, lands, capsys):
    path, out = mapped
    with rasterio.open(lands / "north/s2/red.tif", "r+") as dataset:
        dataset.write(dataset.read() + 1)
    arguments = ["map", str(path), "--out", str(out), "--site", "north"]
    assert main(arguments) == 1
    assert "inputs of north" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 1
    assert "the stage 'train/0' is not complete for this recipe" in capsys.readouterr().err


@pytest.mark.slow
def test_a_site_without_polygons_is_mapped_and_not_scored(mapped):
    path, out = mapped
    assert (classes(out / "map/east/classes.tif")[0] == classes(out / "map/north/classes.tif")[0]).all()
    assert set(json.loads((out / "score.json").read_text())["sites"]) == {"north", "south"}


@pytest.mark.slow
def test_what_is_current_is_not_made_again(mapped, lands, capsys):
    path, out = mapped
    area = gpd.read_file(lands / "south/reference.gpkg").iloc[:1]
    area.geometry = area.geometry.buffer(60)
    area.to_file(lands / "area.gpkg", engine="pyogrio")
    path.write_text(path.read_text().replace('name = "south"\n', 'name = "south"\nregion = "area.gpkg"\n'))
    written_at = (out / "score.json").stat().st_mtime_ns
    assert main(["run", str(path), "--out", str(out), "--overwrite"]) == 0
    assert (out / "score.json").stat().st_mtime_ns == written_at, "the same score is not written again"
    said = capsys.readouterr().err
    for stage in ("train/0", "evaluate/0", "map/north", "map/east"):
        assert f"{stage}: up to date" in said
    assert "map/south: up to date" not in said
    codes = classes(out / "map/south/classes.tif")[0]
    assert 0 < (codes > 0).sum() < codes.size
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 6, "a map and a confidence of each site"
    assert page.count("area corrected by the model") == 2, "of the sites with test polygons"
    assert "The areas of these sites are not corrected: east." in page
    assert "Expected calibration error on the test pixels" in page
    numbers = json.loads((out / "report.json").read_text())
    assert set(numbers["area_model"]) == {"north", "south"}
    for site_, found in numbers["area_model"].items():
        assert sum(one["area_share"] for one in found["per_class"].values()) == pytest.approx(1, abs=1e-6), site_
    assert 0 <= numbers["confidence"]["error"] <= 1
    assert set(numbers["importance"]) == {"north", "south"}
    assert set(numbers["importance"]["north"]) == {"s2"}
    assert 0.2 < numbers["importance"]["north"]["s2"] <= 1, "it is the only source"
    assert main(["report", str(path), "--out", str(out)]) == 0
    path.write_text(path.read_text().replace("[map]", '[report]\nlanguage = "fr"\n[map]\nsets = 0.5'))
    assert main(["run", str(path), "--out", str(out), "--overwrite"]) == 0
    assert "Exactitude par site" in (out / "report.html").read_text()
    assert "Ensembles de prédiction" in (out / "report.html").read_text()


def test_a_page_of_several_sites_is_refused_before_the_checks(tmp_path, monkeypatch, capsys):
    path, page = written(tmp_path, site("north"), site("south")), tmp_path / "check.html"
    monkeypatch.setattr("bocage.jobs.check._checked", lambda *_, **__: pytest.fail("checked"))
    assert main(["check", str(path), "--html", str(page)]) == 2
    assert "give --site NAME, of north, south" in capsys.readouterr().err
    assert not page.exists()
    path.write_text("name =")
    assert main(["check", str(path), "--html", str(page)]) == 1, "a damaged recipe is a finding"
    assert page.exists()


@pytest.mark.slow
def test_commands_that_take_one_site(lands, tmp_path, capsys):
    path = written(lands, site("north"), site("south"))
    assert main(["adapt", str(tmp_path), "--scene", str(path)]) == 1
    assert "several sites (north, south)" in capsys.readouterr().err
    assert main(["check", str(path)]) == 0, capsys.readouterr().out
    found = capsys.readouterr().out
    assert "north: " in found
    assert main(["check", str(path), "--html", str(tmp_path / "check.html")]) == 2
    assert main(["check", str(path), "--site", "south", "--html", str(tmp_path / "check.html")]) == 0
    run(read_recipe(written(lands, site("north"), name="north.toml", split="draws = 1")), tmp_path / "run", ("train",))
    capsys.readouterr()
    arguments = ["--model", str(tmp_path / "run"), "--site", "south", "--out", str(tmp_path / "there")]
    assert main(["evaluate", str(path), *arguments]) == 0, capsys.readouterr().err
    assert "All reference polygons" in capsys.readouterr().out
    arguments[-1] = str(tmp_path / "map")
    assert main(["map", str(path), *arguments]) == 0, capsys.readouterr().err
    with zipfile.ZipFile(tmp_path / "map/qgis/project.qgz") as archive:
        project = archive.read("project.qgs").decode()
    assert "../map/classes.tif" in project, "the map is that of one site, in a folder without sites"
    assert (tmp_path / "map/qgis/s2.vrt").exists()
    assert main(["report", str(tmp_path / "map")]) == 0
    assert "without imagery" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--region", "--region-layer", "--where"])
def test_a_region_is_given_at_its_site(option, tmp_path, capsys):
    path = written(tmp_path, site("north"), site("south"))
    assert main(["map", str(path), option, "area"]) == 2
    assert "give each [[site]] its region" in capsys.readouterr().err
    path = written(tmp_path, site("north", more='region = "area.gpkg"\nregion_layer = "communes"'), site("south"))
    found = read_recipe(path).at("north").map
    assert (found.region, found.region_layer) == (tmp_path / "area.gpkg", "communes")
    path = written(tmp_path, site("north", more='region_layer = "communes"'), site("south"))
    with pytest.raises(RecipeError, match="select polygons of 'region'"):
        read_recipe(path)


def test_finish_takes_one_site(tmp_path, capsys):
    assert main(["finish", str(written(tmp_path, site("north"), site("south")))]) == 1
    assert "several sites (north, south)" in capsys.readouterr().err


def test_limited_cubes_read_their_bands_only(lands, tmp_path):
    scene = opened(written(lands, site("north")), tmp_path / "run").scenes["north"]
    window = scene.grid.crop(scene.grid.window).window
    every = scene.cubes["s2"].read(window).values
    some = limited(scene, {"s2": ("ndvi", "red")}).cubes["s2"]
    assert some.bands == ("ndvi", "red")
    assert np.array_equal(some.read(window).values, every[:, [2, 0]])
    with pytest.raises(SceneError, match="lacks the band 'blue'"):
        limited(scene, {"s2": ("blue",)})
    assert Scenes({"north": scene}).meeting() == {"s2": ("red", "nir", "ndvi")}


def test_a_part_of_the_footprints_of_sites(lands, tmp_path):
    samples = opened(
        written(lands, site("north", (SERIES, IMAGE)), site("south", (SERIES, IMAGE)), model=PATCHES), tmp_path / "run"
    ).joined
    cut, members = samples.cuts["pan"], np.array([0, 300])
    inner = cut.within(1, cut.size - 2)
    for whole, part in zip(cut.read(members), inner.read(members), strict=True):
        assert np.array_equal(part, whole[..., 1:-1, 1:-1])


def test_sites_are_viewed_one_at_a_time(mapped):
    path, out = mapped
    viewed = open_viewed(out)
    assert viewed.site == "north"
    assert viewed.notes("en") == []
    south = open_viewed(out, site="south")
    assert south.grid.crs_name == "EPSG:32631"
    assert south.layers["classes"].path == RunLayout(out).site("south").map.layer("classes", ".tif")
    assert len(polygons_of(south)["features"]) > 0
    assert Pixel(south, 3, 3).described()["code"] in (*south.legend.codes, None)
    east = open_viewed(out, site="east")
    assert (east.samples, east.is_tested) == (None, False)
    assert polygons_of(east)["features"] == []
    assert east.grid.shape == viewed.grid.shape
    with pytest.raises(RecipeError, match="no site is called 'west'"):
        open_viewed(out, site="west")


def test_the_qgis_project_has_a_group_for_each_site(mapped):
    out, told = mapped[1], Told()
    project = project_of(out, progress=told)
    with zipfile.ZipFile(project) as archive:
        tree = ElementTree.fromstring(archive.read("project.qgs")).find("layer-tree-group")
    groups = {group.get("name"): [one.get("name") for one in group] for group in tree}
    assert groups == {
        "north": ["Reference", "Map", "Quality", "Imagery"], "south": ["Reference", "Map", "Quality", "Imagery"],
        "east": ["Map", "Quality", "Imagery"],
    }  # fmt: skip
    sources = {layer.get("source") for layer in tree.iter("layer-tree-layer")}
    assert {"../map/south/classes.tif", "./sites-south/reference.gpkg", "./sites-east/s2.vrt"} <= sources
    table = gpd.read_file(out / "qgis/sites-south/reference.gpkg")
    assert table.crs.to_epsg() == 32631
    assert {"train", "test"} <= set(table.part)
    assert told.words == []


def test_the_region_of_sites_beside_the_antimeridian_is_small():
    west = Grid.from_bounds("EPSG:32760", 1000, (750_000, 7_800_000, 950_000, 8_000_000))
    east = Grid.from_bounds("EPSG:32701", 1000, (250_000, 7_800_000, 350_000, 8_000_000))
    for grids in ((west, east), (east, west)):
        region = Region.of(SimpleNamespace(by_site={k: SimpleNamespace(grid=grid) for k, grid in enumerate(grids)}))
        assert region.bounds[2] - region.bounds[0] == pytest.approx(181.58 - 179.36, abs=0.05)
        assert region.centre == pytest.approx((-179.53, -18.96), abs=0.1)
