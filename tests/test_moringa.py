"""Classification of objects: `bocage run` segments first, and everything after is that of any model."""

import json

import numpy as np
import pandas as pd
import pytest
import rasterio

from bocage.cli import main
from bocage.errors import RecipeError, RunFolderError, SourceError
from bocage.jobs.check import check
from bocage.jobs.finish import finish
from bocage.jobs.run import run
from bocage.jobs.segment import segment
from bocage.layout import RunLayout
from bocage.provenance import Provenance
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.testing.fakes import write_raster
from conftest import PAN_MS, S2, Told, written

OBJECTS = '[sources.objects]\nsensor = "objects"\n'
SEGMENT = '[segment]\nsources = ["pan"]\nids = "ids.tif"\n'
FOREST = 'name = "random_forest"\ntrees = 20\nsources = ["objects"]'


def squares(shape=(48, 53)):
    """Objects that are rectangles within the stripes of the tiny landscape, with numbers in no order."""
    y, x = np.indices(shape)
    numbers = (y // 6) * 20 + x // 6 + 1
    return ((numbers * 37) % 1009 + 5).astype(np.int32)


@pytest.fixture
def chain(landscape):
    def prepare(segment=SEGMENT, more="", sources=S2 + PAN_MS + OBJECTS, **replaced):
        write_raster(landscape / "ids.tif", squares()[None])
        return written(landscape, FOREST, sources, "pan", more=segment + more, **replaced)

    return prepare


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run to the end, which is not changed."""
    from bocage.testing import tiny_landscape

    folder = tmp_path_factory.mktemp("moringa")
    land = tiny_landscape(folder / "land")
    write_raster(land / "ids.tif", squares()[None])
    recipe = written(land, FOREST, S2 + PAN_MS + OBJECTS, "pan", more=SEGMENT)
    told = Told()
    run(read_recipe(recipe), folder / "out", progress=told)
    return recipe, folder / "out", told


@pytest.mark.slow
def test_a_run_segments_first_and_all_pixels_of_an_object_have_one_class(done):
    recipe, out, told = done
    layout = RunLayout(out)
    assert list(Provenance.load(layout.provenance).stages)[:3] == ["prepare", "segment", "features"]
    with rasterio.open(layout.objects.ids) as dataset:
        ids, nodata = dataset.read(1), dataset.nodata
        assert (dataset.dtypes, nodata) == (("uint32",), 0)
    first = np.unique(ids, return_index=True)[1]
    assert np.array_equal(np.unique(ids), np.arange(1, len(first) + 1))
    assert (np.diff(first) > 0).all()  # numbers in the order of the first pixels
    given = squares()
    assert len(np.unique(given * 10_000 + ids)) == len(np.unique(given)) == len(first)
    with rasterio.open(layout.map.path / "classes.tif") as dataset:
        codes = dataset.read(1)
    assert set(np.unique(codes).tolist()) == {1, 2, 3}
    assert all(len(np.unique(codes[ids == one])) == 1 for one in range(1, len(first) + 1))
    score = json.loads(layout.score.read_text())
    assert score["overall_accuracy"]["mean"] > 0.9
    assert layout.report.exists()


def test_the_features_are_those_of_all_sources(done):
    table = pd.read_parquet(RunLayout(done[1]).objects.table)
    names = {"pan_pan_mean", "pan_pan_texture_entropy", "ms_nir_std", "ms_red_contrast", "area_ha"}
    assert names <= set(table)
    assert len([name for name in table if name.startswith("s2_ndvi_2021")]) == 2 * len(
        [name for name in table if name.startswith("s2_nir_2021") and name.endswith("_mean")]
    )
    assert not table.isna().any().any()


def test_a_run_that_is_complete_is_kept(done):
    recipe, out, _ = done
    told = Told()
    run(read_recipe(recipe), out, progress=told)
    assert "map: up to date" in told.words
    assert not [word for word in told.words if "objects:" in word]


def test_votes_by_the_objects_of_the_run_change_nothing(done, tmp_path):
    import shutil

    recipe, out, _ = done
    copy = shutil.copytree(out, tmp_path / "out")
    other = recipe.with_name("votes.toml")
    other.write_text(recipe.read_text() + '\n[finish]\nwithin = "objects"\nformats = []\n')
    told = Told()
    finish(read_recipe(other), copy, progress=told)
    assert not [word for word in told.words if "cannot be opened" in word], "the objects are those of this folder"
    with rasterio.open(copy / "map/voted.tif") as one, rasterio.open(copy / "map/classes.tif") as two:
        assert np.array_equal(one.read(1), two.read(1))


@pytest.mark.slow
def test_other_objects_need_overwrite_and_repeat_what_depends_on_them(done, tmp_path):
    import shutil

    recipe, out, _ = done
    copy, land = shutil.copytree(out, tmp_path / "out"), shutil.copytree(recipe.parent, tmp_path / "land")
    ids = squares()
    ids[:6, :12] = 5
    write_raster(land / "ids.tif", ids[None])
    told = Told()
    run(read_recipe(land / recipe.name), copy, progress=told, overwrite=True)
    assert any(word.startswith("71 objects: ") for word in told.words)
    assert "map: up to date" not in told.words
    with rasterio.open(copy / "map/classes.tif") as dataset:
        assert len(np.unique(dataset.read(1)[:6, :12])) == 1


def test_changed_settings_of_the_features_are_refused_without_overwrite(done, tmp_path):
    import shutil

    recipe, out, _ = done
    copy = shutil.copytree(out, tmp_path / "out")
    other = recipe.with_name("fewer.toml")
    other.write_text(recipe.read_text() + '\n[segment.features]\nsources = ["pan"]\n')
    with pytest.raises(RunFolderError, match="differs in: segment"):
        run(read_recipe(other), copy)


def test_segment_is_a_command_and_the_run_keeps_its_objects(chain, tmp_path, capsys):
    recipe, out = chain(), tmp_path / "out"
    assert main(["segment", str(recipe), "--out", str(out)]) == 0
    assert "objects: " in capsys.readouterr().out
    told = Told()
    run(read_recipe(recipe), out, ("train",), told)
    assert not [word for word in told.words if "objects: " in word]
    assert (out / "splits/0/model/trained.json").exists()


def test_a_killed_table_of_features_is_repeated_and_the_objects_are_kept(chain, tmp_path, monkeypatch):
    recipe, out = chain(), tmp_path / "out"

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bocage.objects.features.write_features", killed)
    with pytest.raises(KeyboardInterrupt):
        segment(read_recipe(recipe), out)
    monkeypatch.undo()
    with pytest.raises(SourceError, match=r"objects.parquet does not exist. Run 'bocage segment' first"):
        open_scene(read_recipe(recipe), out=out)
    told = Told()
    segment(read_recipe(recipe), out, told)
    assert "segment: up to date" in told.words
    assert RunLayout(out).objects.table.exists()


def test_check_before_the_segmentation_and_after(chain, tmp_path):
    recipe, out = chain(), tmp_path / "out"
    before = check(recipe, out)
    assert any("the objects are not segmented yet" in str(f.what) for f in before.findings)
    assert before.scene is None
    segment(read_recipe(recipe), out)
    after = check(recipe, out)
    assert after.scene is not None
    assert [f.severity for f in after.findings if str(f.where) == "objects"] == ["note"]  # the share of valid pixels


def test_objects_of_another_folder(chain, tmp_path):
    recipe = chain()
    segment(read_recipe(recipe), tmp_path / "first")
    other = recipe.with_name("other.toml")
    text = recipe.read_text().replace(SEGMENT, "")
    other.write_text(text.replace(OBJECTS, f'{OBJECTS}path = "{tmp_path}/first/objects"\nfeatures = ["pan_*"]\n'))
    run(read_recipe(other), tmp_path / "second", ("train",))
    scene = open_scene(read_recipe(other))
    assert all(band.startswith("pan_pan") for band in scene.cubes["objects"].bands)
    assert not RunLayout(tmp_path / "second").objects.path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({SEGMENT: ""}, "the section \\[segment\\] is missing"),
        ({'sources = ["pan"]': 'sources = ["pam"]'}, "no source is called 'pam'. Did you mean 'pan'"),
        (
            {'like = "pan"': 'like = "objects"'},
            "'objects' has the objects of this run; name a source that is segmented",
        ),
    ],
    ids=["no section", "unknown source", "grid of the objects"],
)
def test_recipes_that_cannot_segment_are_refused(chain, change, message):
    recipe, text = chain(), ""
    text = recipe.read_text()
    for old, new in change.items():
        text = text.replace(old, new)
    recipe.write_text(text)
    with pytest.raises(RecipeError, match=message):
        read_recipe(recipe)


@pytest.mark.parametrize(
    ("ids", "corner", "message"),
    [
        (
            np.ones((1, 9, 9), np.float32),
            (338_000.0, 7_668_000.0),
            "of float32. Give a raster of one band of whole numbers",
        ),
        (np.ones((1, 9, 9), np.uint8), (900_000.0, 7_668_000.0), "is outside the map"),
        (np.zeros((1, 9, 9), np.int16) - 1, (338_000.0, 7_668_000.0), "has no object on the map"),
    ],
    ids=["float", "elsewhere", "empty"],
)
def test_rasters_without_objects_are_refused(chain, tmp_path, ids, corner, message):
    from bocage.testing.fakes import Place

    recipe = chain()
    write_raster(recipe.parent / "ids.tif", ids, Place(10.0, corner))
    with pytest.raises(SourceError, match=message):
        segment(read_recipe(recipe), tmp_path / "out")


@pytest.mark.slow
def test_a_recipe_with_a_section_but_without_the_source_keeps_its_folder(finished, tmp_path):
    one = finished()
    out = one.copied(tmp_path / "run")
    recipe = one.recipe.with_name(f"segment-{tmp_path.name}.toml")
    write_raster(recipe.parent / "ids.tif", squares()[None])
    recipe.write_text(one.recipe.read_text() + '\n[segment]\nids = "ids.tif"\n')
    segment(read_recipe(recipe), out)
    told = Told()
    run(read_recipe(recipe), out, progress=told)
    assert "map: up to date" in told.words


@pytest.mark.slow
def test_the_chain_with_its_own_segmentation(chain, tmp_path):
    recipe, out = chain('[segment]\nclusters = 8\nminimum = 6\nsources = ["pan"]\n'), tmp_path / "out"
    told = Told()
    run(read_recipe(recipe), out, ("train", "evaluate", "map"), told)
    with rasterio.open(RunLayout(out).objects.ids) as dataset:
        ids = dataset.read(1)
    count = int(ids.max())
    assert 3 <= count < ids.size / 6
    assert any(word.startswith(f"{count} objects: ") for word in told.words)
    assert len(pd.read_parquet(RunLayout(out).objects.table)) == count
    with rasterio.open(RunLayout(out).map.path / "classes.tif") as dataset:
        codes = dataset.read(1)
    assert all(len(np.unique(codes[ids == one])) == 1 for one in range(1, count + 1))
    assert not RunLayout(out).objects.scratch.exists()


@pytest.mark.slow
def test_models_are_compared_on_the_objects_of_the_run(chain, tmp_path):
    rival = '[[compare]]\nlabel = "trees"\nmodel = { name = "random_forest", sources = ["objects"], trees = 5 }\n'
    recipe, out = chain(more=rival), tmp_path / "out"
    assert main(["compare", str(recipe), "--out", str(out)]) == 0
    assert not (out / "compare/trees/objects").exists()
    assert (out / "comparison.csv").exists()
    told = Told()
    run(read_recipe(recipe), out, ("train",), told)
    assert "train/0: up to date" in told.words
