"""Parcels that a network learns: depths of samples, the loss, exact layers of the map, objects from them, and what is refused."""

from dataclasses import replace

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from scipy.ndimage import label
from shapely.geometry import box
from torch.nn import functional

from bocage.errors import RecipeError, SamplesError, SceneError, TrainedError
from bocage.grid import Grid, Ratio
from bocage.jobs.finish import finish
from bocage.jobs.map import map_with
from bocage.jobs.run import run
from bocage.jobs.segment import segment
from bocage.layout import RunLayout
from bocage.legend import ClassSet, LandClass, nomenclature
from bocage.mapping import Computing, Mapping, Workers, make_map
from bocage.models import MODELS, Delineating, InputSpec, Positions, build
from bocage.objects import Segmenting
from bocage.objects.parcels import Outlines, delineate
from bocage.objects.scratch import scratch
from bocage.progress import QUIET
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Pixels, depths
from bocage.testing import random_batch, tiny_landscape
from bocage.testing.fakes import Place, write_raster
from bocage.training import Trained
from bocage.training.outlines import outline_loss, targets, with_outlines
from test_windows import PATCHWORK, UNET, windowed

LEGEND = nomenclature(
    [LandClass(1, "maize", parent="crops"), LandClass(2, "meadow"), LandClass(3, "forest"), LandClass(9, "crops")]
)


def square(number: int, side: int, code: int, at: tuple[int, int] = (0, 0)) -> Pixels:
    y, x = np.indices((side, side)).reshape(2, -1).astype(np.int32)
    own = np.full(side * side, number, np.int32)
    return Pixels(y + np.int32(at[0]), x + np.int32(at[1]), np.full(side * side, code, np.int16), own)


def together(*parts: Pixels) -> Pixels:
    return Pixels(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("row", "column", "label", "polygon")))


def test_depths_of_a_square():
    """0 on the outline, 1 in the middle; two parcels that touch have their own outlines, and order does not matter."""
    pixels = together(square(4, 5, 0), square(2, 5, 1, (0, 5)), square(7, 3, 2, (5, 0)))
    order = np.random.default_rng(0).permutation(len(pixels))
    back = np.argsort(order)
    found = depths(pixels.take(order), LEGEND, ["maize", "meadow"])[back]
    ring = [[0, 0, 0, 0, 0], [0, 0.5, 0.5, 0.5, 0], [0, 0.5, 1, 0.5, 0], [0, 0.5, 0.5, 0.5, 0], [0, 0, 0, 0, 0]]
    assert np.array_equal(found[:25].reshape(5, 5), ring)
    assert np.array_equal(found[25:50].reshape(5, 5), ring)
    assert (found[50:] == -1).all()


def test_a_parent_without_a_code_names_the_classes_below_it():
    legend = nomenclature([LandClass(1, "maize", parent="crops"), LandClass(2, "forest", parent="trees")])
    found = depths(together(square(1, 3, 0), square(2, 3, 1, (3, 0))), legend, ["crops"])
    assert found.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0] + [-1] * 9
    assert legend.names_of_levels == ("maize", "crops", "forest", "trees")


def test_depths_of_coarser_classes_and_sets():
    """A coarser class of parcels only is a parcel; a set of parcels and others is unknown."""
    legend = LEGEND.with_sets([ClassSet(("meadow", "forest")), ClassSet(("maize", "meadow"))])
    pixels = together(square(0, 3, -2), square(1, 3, -3, (0, 9)), square(2, 3, -4, (9, 0)), square(3, 3, 2, (9, 9)))
    found = depths(pixels, legend, ["crops", "meadow"]).reshape(4, 9)
    assert found[0].max() == found[2].max() == 1
    assert np.isnan(found[1]).all()
    assert (found[3] == -1).all()


def test_depths_that_cannot_be_learnt():
    with pytest.raises(
        SamplesError, match=r"no class is called 'maze'.*maize.*The classes are: maize, crops, meadow, forest"
    ):
        depths(square(0, 5, 0), LEGEND, ["maze"])
    with pytest.raises(SamplesError, match="no polygon of maize is wider than two map pixels. Use a finer"):
        depths(square(0, 2, 0), LEGEND, ["maize"])
    with pytest.raises(SamplesError, match="no polygon of meadow has a labelled pixel"):
        depths(square(0, 5, 0), LEGEND, ["meadow"])


def test_the_loss_is_0_for_the_targets_and_leaves_unknown_pixels_out():
    depth = torch.tensor([0.0, 0.5, 1.0, -1.0, torch.nan])
    wanted = targets(depth[:4])
    assert wanted.tolist() == [[1, 1, 0], [1, 0, 0.5], [1, 0, 1], [0, 0, 0]]
    logits = torch.cat([torch.logit(wanted.clamp(1e-6, 1 - 1e-6)), torch.full((1, 3), 9.0)])
    assert float(outline_loss(logits, depth)) == pytest.approx(0, abs=1e-3)
    assert float(outline_loss(-logits, depth)) > 0.5
    assert torch.equal(outline_loss(logits, depth), outline_loss(logits[:4], depth[:4]))
    nothing = torch.zeros(2, 3, requires_grad=True)
    outline_loss(nothing, torch.full((2,), torch.nan)).backward()
    assert not nothing.grad.any()


def test_the_loss_of_published_form():
    """Tanimoto similarity with that of the complement, for one output by hand: p = 0.5 everywhere, half of the targets are 1."""
    logits, depth = torch.zeros(4, 3), torch.tensor([1.0, 1.0, -1.0, -1.0])
    one = 1.0 / (4 * 0.25 + 2 - 1.0)  # Σpt / (Σp² + Σt² − Σpt), the same for the complement
    boundary = 0.5 * (0.0 + 2.0 / (4 * 0.25 + 4 - 2.0))  # no pixel is on a boundary
    assert float(outline_loss(logits, depth)) == pytest.approx(1 - (one + boundary + one) / 3, abs=1e-4)


@pytest.mark.parametrize("name", ["unet", "patchwork"])
def test_classes_and_outputs_share_the_network(name):
    """The logits of the classes are the first channels; the loss of auxiliary heads has the depths of their own pixels."""
    spec = {"s2": InputSpec("s2", ("red", "nir"), 4, Ratio(), regular=name == "unet")}
    architecture = MODELS.get(name)
    config = architecture.Config(**({"width": 3, "depth": 1} if name == "unet" else {"preset": "small"}))
    torch.manual_seed(0)
    model = build(architecture, spec, 3, config, parcels=True).eval()
    assert isinstance(model, Delineating)
    batch = random_batch(
        spec, model.window_footprints, torch.Generator().manual_seed(1), size=2, positions=8, masked=0.3
    )
    whole = random_batch(spec, model.footprints, torch.Generator().manual_seed(1), size=1, positions=8)
    with torch.no_grad():
        logits, outlines = model.both(whole)
        assert torch.equal(logits, model(whole))
        assert logits.shape[1] == outlines.shape[1] == 3
        assert 0 < float(outlines.min()) < float(outlines.max()) < 1
        assert model.dense(batch).shape[1] == 3
    at = Positions(torch.tensor([0, 1, 1]), torch.tensor([2, 3, 5]), torch.tensor([1, 7, 0]))
    labels, depth = torch.tensor([2, 0, 1]), torch.tensor([0.0, 1.0, -1.0])
    joint = with_outlines(functional.cross_entropy, 3, labels, depth)
    loss = model.loss_at(batch, at, torch.arange(3), joint)
    plain = model.loss_at(batch, at, torch.arange(3), lambda out, i: functional.cross_entropy(out[:, :3], labels[i]))
    assert float(loss.detach()) > float(plain.detach())
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def parcels_beside(land, thin: bool = False):
    """Polygons of 7 x 9 pixels that cover each stripe of a tiny landscape; the third class is no parcel."""
    with rasterio.open(land / "truth.tif") as file:
        left, top, (height, width) = file.transform.c, file.transform.f, file.shape
    rows, step = [], -(-width // 3)
    for k, name in enumerate(("a", "b", "c")):
        for y in range(0, height - 8, 9):
            for x in range(0, step - 6, 7):
                west, north = left + 10 * (k * step + x), top - 10 * y
                rows.append(
                    {"code": k + 1, "name": name, "geometry": box(west, north - 90, west + (20 if thin else 70), north)}
                )
    gpd.GeoDataFrame(rows, crs="EPSG:32740").to_file(land / "parcels.gpkg")


def recipe_of(land, model=UNET, more="", names='["maize", "meadow"]', **replaced):
    said = {
        "[training]\nwindow = 16": f"[training]\nparcels = {names}\nwindow = 16",
        'path = "reference.gpkg"': 'path = "parcels.gpkg"',
    }
    path = windowed(land, model, **{"draws = 2": "draws = 1", **replaced})
    text = path.read_text()
    for old, new in said.items():
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text + more)
    return path


def layers_of(path):
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.slow
@pytest.mark.parametrize("model", [UNET, PATCHWORK])
def test_a_run_with_parcels(tmp_path, model, small_cells):
    """The layer is written, is that of any tiling, and the outlines are learnt; the objects are delineated from it."""
    land = tiny_landscape(tmp_path / "land")
    parcels_beside(land)
    path = recipe_of(
        land, model, "[segment]\nparcels = true\nextent = 0.55\ncore = 0.2\n[finish]\nwithin = \"objects\"\nformats = []\n",
        **{"epochs = 4": "epochs = 40\nsteps = [0, 100]\ncalibrate = false", "train = 0.5": "train = 0.7"},
    )  # fmt: skip
    out, recipe = tmp_path / "out", read_recipe(path)
    assert "parcels" in recipe.map.layers
    with pytest.raises(RecipeError, match=r"segment.parcels: .*parcels.tif is missing: .* run 'bocage run' first"):
        segment(recipe, out)
    run(recipe, out, ("train", "map"))
    layout = RunLayout(out)
    layer = layers_of(layout.map.path / "parcels.tif")
    with rasterio.open(layout.map.path / "parcels.tif") as file:
        assert file.descriptions == ("extent", "boundary", "distance")
        assert file.scales == (0.01, 0.01, 0.01)
    assert layer.max() <= 100
    truth = layers_of(land / "truth.tif")[0]
    assert layer[0][truth < 3].mean() > layer[0][truth == 3].mean() + 20, "water is no parcel"
    trained, scene = Trained.load(layout.split(0).model.path), open_run(recipe, out).scene
    for tile, threads in ((16, 1), (23, 3)):
        made = make_map(
            trained,
            scene,
            replace(recipe.map, tile=tile),
            tmp_path / f"{tile}",
            Computing(workers=Workers(threads=threads)),
        )
        assert np.array_equal(layers_of(made.files["parcels"]), layer), tile
    map_with(read_recipe(windowed(land, model, name="elsewhere.toml")), layout.split(0).model.path, tmp_path / "there")
    assert np.array_equal(layers_of(tmp_path / "there/map/parcels.tif"), layer)
    segment(recipe, out)
    ids = layers_of(layout.objects.ids)[0]
    assert ids.shape == truth.shape
    assert (ids[truth < 3] > 0).mean() > (ids[truth == 3] > 0).mean() + 0.2
    finish(recipe, out)
    assert layers_of(layout.map.path / "voted.tif").shape[1:] == truth.shape


def test_a_model_without_parcels_has_no_such_layer(landscape, tmp_path):
    path = windowed(landscape, PATCHWORK, **{"epochs = 4": "epochs = 1\ncalibrate = false\nsteps = [0, 1]"})
    recipe, out = read_recipe(path), tmp_path / "out"
    run(recipe, out, ("train",))
    trained, scene = Trained.load(RunLayout(out).split(0).model.path), open_run(recipe, out).scene
    with pytest.raises(TrainedError, match=r"trained without parcels, .* Train again with \[training\] parcels"):
        make_map(trained, scene, Mapping(layers=("classes", "parcels")), tmp_path / "map")


@pytest.mark.parametrize(
    ("more", "replaced", "said"),
    [
        ("", {'path = "parcels.gpkg"': 'path = "truth.tif"'}, "training.parcels: the reference is a raster of class codes"),
        ("", {"\nwindow = 16": "\nwindow = 0"}, "'parcels' needs a training on windows: set 'window', for example 64"),
        ("", {'"meadow"]': '"medow"]'}, "training.parcels: no class is called 'medow'. Did you mean 'meadow'"),
        ("", {'parcels = ["maize", "meadow"]': ""}, "no such"),
        ("[segment]\nparcels = true\nids = \"truth.tif\"", {}, "'parcels' are delineated on the map, 'ids' are read"),
        ("[segment]\nparcels = true\n[sources.o]\nsensor = \"objects\"", {}, "needs the source of objects first; remove one"),
    ],
)  # fmt: skip
def test_recipes_that_cannot_have_parcels(landscape, more, replaced, said):
    path = recipe_of(landscape, PATCHWORK, more)
    text = path.read_text()
    for old, new in replaced.items():
        text = text.replace(old, new)
    if said == "no such":
        text = text.replace("tile = 32", 'tile = 32\nlayers = ["classes", "parcels"]') + "[segment]\nparcels = true\n"
    path.write_text(text)
    if said != "no such":
        with pytest.raises(RecipeError, match=said):
            read_recipe(path)
        return
    with pytest.raises(RecipeError) as caught:
        read_recipe(path)
    assert "map.layers: the layer 'parcels' needs training.parcels" in str(caught.value)
    assert "segment.parcels: parcels are learnt from the reference" in str(caught.value)


def fields(shape=(97, 118), side=14):
    """Numbers of square parcels with a border of no parcel on the right, and the layer that a perfect network gives."""
    y, x = np.indices(shape)
    number = np.where(x < shape[1] - 9, 1 + (y // side) * 20 + x // side, 0)
    pixels = Pixels(
        *(
            a.ravel().astype(t)
            for a, t in ((y, np.int32), (x, np.int32), (np.where(number, 0, 2), np.int16), (number, np.int32))
        )
    )
    depth = depths(pixels, LEGEND, ["maize"]).reshape(shape)
    return number, np.stack([depth >= 0, depth == 0, depth.clip(0)]) * 100


def delineated(layer, folder, tile=512, **settings):
    grid = Grid.of("EPSG:32740", Affine(10, 0, 300000, 0, -10, 7650000), layer.shape[1:])
    path = folder / "parcels.tif"
    write_raster(path, np.rint(layer).astype(np.uint8), Place(10.0, (300000, 7650000)), nodata=255)
    with scratch(folder / f"scratch{tile}") as temporary:
        found = delineate(Outlines(path, grid, Segmenting(parcels=True, tile=tile, **settings)), temporary, QUIET)
        ids = np.zeros(layer.shape[1:], np.uint32)
        for window, numbers in found.tiles:
            ids[window.slices] = numbers
    assert found.count == ids.max()
    return ids


def test_parcels_of_a_perfect_network(tmp_path):
    """Every parcel is one object, whole to its outline, numbered by its first pixel; nothing grows out of the extent."""
    number, layer = fields()
    ids = delineated(layer, tmp_path)
    assert np.array_equal(ids > 0, number > 0)
    assert len(np.unique(np.stack([ids.ravel(), number.ravel()]), axis=1).T) == len(np.unique(number))
    first = np.unique(ids[ids > 0], return_index=True)[1]
    assert (np.diff(first) > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_parcels_do_not_depend_on_tiles(tmp_path, seed):
    """Noise, gaps without data, seeds across the borders of tiles: pixel by pixel as in one piece."""
    rng = np.random.default_rng(seed)
    number, layer = fields()
    layer = (layer + rng.normal(0, 12, layer.shape)).clip(0, 100)
    layer[:, rng.random(number.shape) < 0.03] = 255
    whole = delineated(layer, tmp_path)
    assert 10 < whole.max() < 200
    for tile in (19, 64):
        assert np.array_equal(delineated(layer, tmp_path, tile), whole), tile


def test_small_seeds_are_left_out(tmp_path):
    layer = np.zeros((3, 20, 30))
    layer[0, 2:9, 2:9] = layer[0, 12:18, 12:18] = 100
    layer[2, 3:5, 3:5], layer[2, 13, 13:16] = 90, 90
    ids = delineated(layer, tmp_path)
    assert label(ids > 0)[1] == 1
    assert (ids > 0).sum() == 49
    with pytest.raises(
        SceneError, match=r"no 4 connected pixels have an extent of 0.5 and a distance of 0.95 .*Reduce"
    ):
        delineated(layer, tmp_path, core=0.95)
