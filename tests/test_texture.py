"""Texture of tree models: Haralick's measures against the paper and scikit-image, masks, positions, state."""

import numpy as np
import pytest
import torch

from bocage.errors import ModelError
from bocage.grid import Ratio
from bocage.models import MODELS, InputSpec, build, lightgbm, random_forest
from bocage.models.texture import MEASURES, Texture, Windows
from bocage.testing.fakes import random_batch

PAN = InputSpec("pan", ("pan",), 1, Ratio(finer=4))
MATRIX = sum(
    np.array(one)
    for one in (
        [[4, 2, 1, 0], [2, 4, 0, 0], [1, 0, 6, 1], [0, 0, 1, 2]],
        [[6, 0, 2, 0], [0, 4, 2, 0], [2, 2, 2, 2], [0, 0, 2, 0]],
        [[2, 1, 3, 0], [1, 2, 1, 0], [3, 1, 0, 2], [0, 0, 2, 0]],
        [[4, 1, 0, 0], [1, 2, 2, 0], [0, 2, 4, 1], [0, 0, 1, 0]],
    )
)
"""The four co-occurrence matrices of the example of Haralick et al. 1973, figure 3: 0°, 90°, 135° and 45°."""
IMAGE = [[0, 0, 1, 1], [0, 0, 1, 1], [0, 2, 2, 2], [2, 2, 3, 3]]


def textured(image, valid=None, levels=8, windows=None, limits=None) -> np.ndarray:
    """The features (10, y, x) of an image whose limits are by default those of its grey levels."""
    values = torch.tensor(np.array(image, np.float32))[None, None, None]
    seen = torch.ones(values.shape[-2:], dtype=torch.bool) if valid is None else torch.tensor(np.array(valid))
    texture = Texture({"pan": PAN}, {"pan": 1}, levels)
    texture.limits[:] = torch.tensor(limits or [0.0, levels])[:, None]
    windows = windows or Windows(min(values.shape[-2:]), 0, 1, (1, 1))
    return texture.columns("pan", values, seen[None, None], windows)[0].numpy()


def measures_of(matrix) -> list[float]:
    """The eight measures of a symmetric matrix, from their formulas."""
    p = matrix / matrix.sum()
    i, j = np.indices(p.shape)
    mean = (i * p).sum()
    variance = ((i - mean) ** 2 * p).sum()
    some = p[p > 0]
    return [
        mean, variance, (p / (1 + (i - j) ** 2)).sum(), ((i - j) ** 2 * p).sum(), (abs(i - j) * p).sum(),
        -(some * np.log(some)).sum(), (p**2).sum(), ((i - mean) * (j - mean) * p).sum() / variance,
    ]  # fmt: skip


def test_the_example_of_the_paper():
    found = textured(IMAGE, levels=4)[:, 0, 0]
    np.testing.assert_allclose(found[:8], measures_of(MATRIX), rtol=1e-5)
    np.testing.assert_allclose(found[8:], [np.mean(IMAGE), np.std(IMAGE)], rtol=1e-5)


@pytest.mark.parametrize(("levels", "size"), [(8, 7), (16, 5), (64, 9)])
def test_measures_are_those_of_scikit_image(levels, size):
    from skimage.feature import graycomatrix, graycoprops

    side = size + 3
    image = np.random.default_rng(size).integers(0, levels, (side, side)).astype(np.uint8)
    image[:size, :size][: size - 1] //= levels  # an almost uniform window
    found = textured(image, levels=levels, windows=Windows(size, 0, 1, (4, 4)))
    names = ("mean", "variance", "homogeneity", "contrast", "dissimilarity", "entropy", "ASM", "correlation")
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    for y, x in np.ndindex(4, 4):
        window = image[y : y + size, x : x + size]
        matrix = graycomatrix(window, [1], angles, levels=levels, symmetric=True).sum(3, keepdims=True)
        theirs = [graycoprops(matrix, name)[0, 0] for name in names]
        np.testing.assert_allclose(found[:8, y, x], theirs, rtol=1e-4, atol=1e-5, err_msg=f"{y}, {x}")


def test_a_uniform_window():
    found = dict(zip(MEASURES, textured(np.full((5, 5), 3.0))[:, 0, 0].tolist(), strict=True))
    assert found == {
        "mean": 3, "variance": 0, "homogeneity": 1, "contrast": 0, "dissimilarity": 0, "entropy": 0, "second moment": 1,
        "correlation": 1, "mean of the pixels": 3, "standard deviation of the pixels": 0,
    }  # fmt: skip


def test_masked_pixels_and_their_pairs_do_not_count():
    valid = np.ones((4, 4), bool)
    valid[:, 3], valid[3] = False, False
    found = textured(np.where(valid, IMAGE, 1e6), valid, levels=4)
    np.testing.assert_allclose(found, textured(np.array(IMAGE)[:3, :3], levels=4), rtol=1e-6)
    assert np.isnan(textured(IMAGE, np.zeros((4, 4), bool))).all()
    valid[:] = False
    valid[1, 2] = True  # a pixel without a neighbour has no pair
    alone = textured(IMAGE, valid, levels=4)[:, 0, 0]
    assert np.isnan(alone[:8]).all()
    assert alone[8:].tolist() == [1, 0]


def test_values_beyond_the_training_range_have_the_outer_grey_levels():
    image = np.array([[-50.0, 0.1], [0.9, 70.0]])
    beyond = textured(image, levels=2, limits=[0.0, 1.0])[:8]
    assert beyond.tolist() == textured([[0, 0], [1, 1]], levels=2)[:8].tolist()
    flat = textured(image, limits=[0.5, 0.5])
    assert np.isfinite(flat).all(), "a band with one value in the training pixels"


@pytest.mark.parametrize("size", [3, 4, 6, 9])
def test_the_window_is_centred_on_the_map_pixel(size):
    """One bright pixel of PAN in the map pixel's centre; the standard deviation is above 0 where the window contains it."""
    model = build(MODELS.get("random_forest"), {"pan": PAN}, 2, random_forest.Config(texture={"pan": size}))
    foot = model.footprints["pan"]
    assert foot.size >= 4, "the map pixel is in the footprint"
    batch = random_batch({"pan": PAN}, model.footprints, torch.Generator().manual_seed(0), size=1)
    batch["pan"].valid[:] = True
    spread = np.zeros((foot.size, foot.size), bool)
    model.texture.limits[1] = 1
    for y, x in np.ndindex(spread.shape):
        batch["pan"].values[:] = 0
        batch["pan"].values[..., y, x] = 1
        spread[y, x] = model.table.rows(batch)[0, -1] > 0
    rows = np.flatnonzero(spread.any(1)) - foot.before
    assert spread.sum() == size**2
    assert abs((rows[0] + rows[-1] + 1) / 2 - PAN.ratio.finer / 2) <= 0.5


@pytest.mark.parametrize(("module", "few"), [(random_forest, {"trees": 3}), (lightgbm, {"rounds": 2, "min_leaf": 2})])
def test_limits_are_percentiles_of_the_training_pixels_and_part_of_the_state(module, few):
    config = module.Config(texture={"pan": 5}, **few)
    model = module.Model({"pan": PAN}, 2, config)
    batch = random_batch({"pan": PAN}, model.footprints, torch.Generator().manual_seed(1), size=40)
    model.fit(batch, torch.arange(40) % 2, 0)
    pixels = batch["pan"].values[:, :, 0][batch["pan"].valid].numpy()
    np.testing.assert_allclose(model.state_dict()["texture.limits"][:, 0], np.percentile(pixels, [2, 98]), rtol=1e-5)
    assert not [key for key in module.Model({"pan": PAN}, 2, module.Config()).state_dict() if "texture" in key]
    state = model.state_dict() | {"texture.limits": torch.tensor([[1.0], [0.0]])}
    with pytest.raises(ModelError, match="a lower limit is above its upper limit"):
        module.Model({"pan": PAN}, 2, config).load_state_dict(state)


def test_texture_names_a_source_of_the_model():
    two = {"pan": PAN, "s2": InputSpec("s2", ("red",), 3, Ratio())}
    with pytest.raises(ModelError, match=r"model\.texture names 'pan', which is not in model\.sources"):
        random_forest.Model(two, 2, random_forest.Config(sources=("s2",), texture={"pan": 7}))
    with pytest.raises(ModelError, match="no source is called vhr"):
        random_forest.Model(two, 2, random_forest.Config(texture={"vhr": 7}))
    with pytest.raises(ValueError, match="'texture' must be at least 2"):
        random_forest.Config(texture={"pan": 1})
    with pytest.raises(ValueError, match="'grey_levels' must be at least 2"):
        lightgbm.Config(texture={"pan": 3}, grey_levels=1)
