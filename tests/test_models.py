import pytest
import torch

from bocage.errors import ModelError
from bocage.grid import Ratio, Window
from bocage.models import (
    MODELS,
    Footprint,
    InputSpec,
    SourceTensor,
    build,
    gru,
    multiresolcc,
    random_forest,
    window_positions,
)
from bocage.testing import random_batch

PAN = InputSpec("pan", ("pan",), 1, Ratio())
MS = InputSpec("ms", ("blue", "green", "red", "nir"), 1, Ratio(coarser=4))
VHR = {"pan": PAN, "ms": MS}
S2 = {"s2": InputSpec("s2", tuple(f"b{i}" for i in range(16)), 34, Ratio())}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(("classes", "published"), [(8, 7_403_528), (13, 7_411_213)])
def test_multiresolcc_has_the_published_size(classes, published):
    assert parameters(build("multiresolcc", VHR, classes, multiresolcc.Config())) == published


def test_gru_has_the_published_size():
    """3 197 952 + PyTorch's second bias for the GRU, 1 050 624 for the attention, and the head."""
    model = build("gru", S2, 13, gru.Config())
    assert parameters(model.gru) == 3_197_952 + 3_072
    assert parameters(model.attention) == 1_050_624
    assert parameters(model.head) == 13 * 1025


def test_multiresolcc_dense_equals_patches_at_the_published_size():
    """Every position of a scene whose sizes are not multiples of 4, with batch normalisation that does something."""
    torch.manual_seed(0)
    model = build("multiresolcc", VHR, 8, multiresolcc.Config()).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    height, width = 13, 10
    pan = torch.randn(1, 1, 1, height + 31, width + 31)
    ms = torch.randn(1, 1, 4, -(-height // 4) + 7, -(-width // 4) + 7)

    def tensor(values):
        return SourceTensor(
            values, torch.ones(values.shape[0], 1, *values.shape[3:], dtype=torch.bool), torch.zeros(values.shape[0], 1)
        )

    with torch.inference_mode():
        dense = model({"pan": tensor(pan), "ms": tensor(ms)})[0, :, :height, :width]
        worst = 0.0
        for i in range(height):
            for j in range(width):
                y, x = i // 4, j // 4
                patch = model(
                    {"pan": tensor(pan[..., i : i + 32, j : j + 32]), "ms": tensor(ms[..., y : y + 8, x : x + 8])}
                )
                worst = max(worst, float((patch[0, :, 0, 0] - dense[:, i, j]).abs().max()))
    assert worst < 1e-4


PINNED = {
    "gru": ({"s2": InputSpec("s2", ("red", "nir"), 5, Ratio())}, gru.Config(units=4)),
    "multiresolcc": (VHR, multiresolcc.Config(pan_filters=(2, 3, 4), ms_filters=(3, 4, 5))),
}
LOGITS = {
    "gru": [[0.576373, -0.002840], [0.593892, -0.143036]],
    "multiresolcc": [[-0.465521, 0.636151], [-0.466364, 0.636952]],
}


@pytest.mark.parametrize("name", list(PINNED))
def test_pinned_logits(name):
    """A change of any of these changes every map: it belongs in the changelog under Changed results."""
    inputs, config = PINNED[name]
    model = MODELS.get(name).Model(inputs, 2, config).eval()
    with torch.no_grad():
        for i, (_, parameter) in enumerate(sorted(model.named_parameters())):
            values = torch.arange(parameter.numel(), dtype=torch.float32)
            parameter.copy_((torch.sin(values * 0.37 + i) * 0.4).reshape(parameter.shape))
        batch = random_batch(inputs, model.footprints, torch.Generator().manual_seed(11), size=2)
        logits = model(batch)[:, :, 0, 0]
    assert torch.allclose(logits, torch.tensor(LOGITS[name]), atol=1e-5), logits.tolist()


def test_masked_dates_are_as_if_they_had_not_been_taken():
    torch.manual_seed(1)
    spec = {"s2": InputSpec("s2", ("red", "nir"), 6, Ratio(), regular=False)}
    model = build("gru", spec, 3, gru.Config(units=5)).eval()
    values, days = torch.randn(1, 6, 2, 1, 1), torch.arange(6)[None] * 12 + 18000
    valid = torch.tensor([True, False, True, True, False, True])[None, :, None, None]
    kept = valid.flatten()
    with torch.no_grad():
        masked = model({"s2": SourceTensor(values, valid, days)})
        absent = model({"s2": SourceTensor(values[:, kept], valid[:, kept], days[:, kept])})
    assert torch.allclose(masked, absent, atol=1e-6)


def test_native_dates_tell_the_season():
    spec = {"s2": InputSpec("s2", ("red", "nir"), 3, Ratio(), regular=False)}
    model = build("gru", spec, 3, gru.Config(units=5)).eval()
    values, valid = torch.randn(1, 3, 2, 1, 1), torch.ones(1, 3, 1, 1, dtype=torch.bool)
    with torch.no_grad():
        early, late = (
            model({"s2": SourceTensor(values, valid, torch.tensor([[d, d + 10, d + 20]]))}) for d in (18000, 18180)
        )
    assert not torch.allclose(early, late, atol=1e-4)


def test_chunks_of_pixels_change_nothing(monkeypatch):
    torch.manual_seed(2)
    spec = {"s2": InputSpec("s2", ("red", "nir"), 4, Ratio())}
    model = build("gru", spec, 3, gru.Config(units=5)).eval()
    batch = random_batch(spec, model.footprints, torch.Generator().manual_seed(0), size=1, positions=9)
    with torch.no_grad():
        whole = model(batch)
        monkeypatch.setattr(gru, "ELEMENTS", 4 * 5 * 7)
        assert torch.allclose(model(batch), whole, atol=1e-6)


def test_models_refuse_what_they_cannot_use():
    two = {"a": InputSpec("a", ("x",), 3, Ratio()), "b": InputSpec("b", ("x",), 3, Ratio())}
    with pytest.raises(ModelError, match="found 2"):
        build("gru", two, 3, gru.Config())
    with pytest.raises(ModelError, match="no source is called 'c'"):
        build("gru", two, 3, gru.Config(source="c"))
    with pytest.raises(ModelError, match="no source is called 'pan'"):
        build("multiresolcc", two, 3, multiresolcc.Config())
    swapped = {"pan": PAN, "ms": InputSpec("ms", ("red",), 1, Ratio(finer=2))}
    with pytest.raises(ModelError, match=r"\[grid\] like"):
        build("multiresolcc", swapped, 3, multiresolcc.Config())
    with pytest.raises(ModelError, match="multiple of the ratio"):
        build("multiresolcc", VHR, 3, multiresolcc.Config(patch=30))
    with pytest.raises(ModelError, match="has not been fitted"):
        model = build("random_forest", two, 3, random_forest.Config())
        model(random_batch(two, model.footprints, torch.Generator()))
    with pytest.raises(ModelError, match="must be values"):
        SourceTensor(torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 4, 5), torch.zeros(1, 2))


def test_damaged_trees_are_refused():
    spec = {"a": InputSpec("a", ("x", "y"), 3, Ratio())}
    model = build("random_forest", spec, 3, random_forest.Config(trees=2))
    model.fit(random_batch(spec, model.footprints, torch.Generator().manual_seed(0), size=30), torch.arange(30) % 3, 0)
    random_forest._check(model.forest)
    model.forest.estimators_[0].tree_.children_left[0] = 10_000
    with pytest.raises(ModelError, match="outside its tree"):
        random_forest._check(model.forest)


def test_footprints_and_aligned_windows():
    assert Footprint(8, 4).window(Window(4, 8, 5, 9), Ratio(coarser=4)) == Window(-3, -2, 9, 10)
    assert Footprint(12, 4).window(Window(2, 3, 2, 1), Ratio(finer=4)) == Window(4, 8, 16, 12)
    assert window_positions(Window(5, 9, 3, 3), VHR) == Window(4, 8, 4, 4)
