import pytest
import skops.io
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
    layers,
    multiresolcc,
    random_forest,
    window_positions,
)
from bocage.models.base import repeat_to
from bocage.testing import random_batch
from test_contracts import MODEL_CASES

PAN = InputSpec("pan", ("pan",), 1, Ratio())
MS = InputSpec("ms", ("blue", "green", "red", "nir"), 1, Ratio(coarser=4))
VHR = {"pan": PAN, "ms": MS}


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def conv(inside, outside, size):
    """A convolution with biases, and scale and shift of the normalisation behind it."""
    return inside * outside * size + 3 * outside


def gru_cell(inside, units):
    """Three gates, PyTorch's two biases each."""
    return 3 * units * (inside + units + 2)


ATTENTION = 1024 * 1024 + 2 * 1024
STREAM = [
    3 * 64 * (bands + 64) * 9 + 3 * 64 + 64 * 64 + 2 * 64  # ConvGRU and attention
    + conv(bands * dates, 256, 9) + conv(256, 512, 9) + conv(512, 512, 1) + conv(1024, 512, 1)
    for bands, dates in ((2, 24), (16, 34))
]  # fmt: skip
SIZES = {
    "multiresolcc": 7_403_528,  # the released code's, 8 classes; 7 411 213 for 13
    "m3fusion": 8_391_960 + 3_072,  # published layers, 8 classes; 8 407 335 for 13; and PyTorch's second bias
    "gru": 3_197_952 + 3_072 + 1_050_624 + 8 * 1025,
    "lstm": 4 * 512 * (16 + 512 + 2) + 8 * 513,
    "cnn1d": conv(16, 256, 7) + conv(256, 512, 3) + conv(512, 512, 3) + conv(1024, 512, 1) + 8 * 513,
    "convlstm": 4 * 64 * (16 + 64) * 9 + 4 * 64 + 8 * 65,
    "tempcnn": conv(16, 64, 5) + 2 * conv(64, 64, 5) + conv(64 * 34, 256, 1) + 8 * 257,
    "ltae": 17 * 256 + 2 * 256 + 256 * 128 + 16 * 8 + 257 * 128 + 2 * 128 + 8 * 129,
    "duplo": conv(16 * 34, 256, 9) + conv(256, 512, 9) + conv(16, 32, 9) + conv(32, 64, 9) + gru_cell(64, 1024)
    + ATTENTION + 8 * (513 + 1025 + 1537),
    "multiresolcc_pansharpened": conv(4, 128, 9) + conv(128, 256, 9) + conv(256, 512, 9) + 8 * 513,
    "dmil": conv(1, 64, 9) + conv(64, 128, 9) + conv(128, 256, 9) + 257 * 256 + 257 * 128 + 129 * 256 + 256 * 256 + 4
    + conv(384, 256, 1) + conv(256, 256, 1) + 8 * 257,
    "twinns": sum(STREAM) + 8 * (2 * 577 + 1153),
    "s1s2vhsr": conv(16, 128, 5) + conv(128, 128, 3) + conv(128, 256, 3) + conv(256, 256, 1)
    + conv(48, 128, 9) + conv(128, 128, 9) + conv(128, 256, 9) + conv(256, 256, 1)
    + conv(1, 128, 49) + conv(128, 256, 25) + conv(260, 256, 9) + conv(256, 256, 9) + conv(256, 256, 1)
    + conv(256, 512, 1) + conv(512, 512, 1) + 8 * 513 + 3 * 8 * 257,
    "fusion": sum(gru_cell(bands, 1024) + ATTENTION for bands in (2, 16)) + 8 * 2049,
    "patchwork": sum((2 * bands + 1) * 64 + 8 * 64 + 2 * 64 * 8 * 4 + 64 * 8 + 128 for bands in (2, 16))
    + conv(2, 16, 9) + conv(16, 32, 9) + 65 * 64 + 128 + 3 * (64 + 64 * 64) + 64 * 64 + 128 + 65 * 64 + 4 * 8 * 65,
    "unet": conv(1, 64, 9) + conv(64, 64, 9) + sum(conv(w, 2 * w, 9) + conv(2 * w, 2 * w, 9) + 8 * w * w + w + conv(2 * w, w, 9)
    + conv(w, w, 9) for w in (64, 128, 256, 512)) + 8 * 65,
    "utae": conv(16, 64, 9) + conv(64, 64, 9) + 2 * (conv(64, 64, 16) + 2 * conv(64, 64, 9))
    + conv(64, 64, 16) + conv(64, 128, 9) + conv(128, 128, 9)
    + 2 * 128 + 129 * 256 + 256 * 64 + 64 + 257 * 128 + 4 * 128
    + sum(conv(64, 64, 1) + conv(i, o, 16) + conv(o + 64, o, 9) + conv(o, o, 9) for i, o in ((128, 64), (64, 32), (32, 32)))
    + conv(32, 32, 9) + 32 * 8 * 9 + 8,
    "random_forest": 0,
    "lightgbm": 0,
}  # fmt: skip
SIZES["mixture"] = SIZES["gru"] + SIZES["tempcnn"]
SIZES["regional"] = 2 * SIZES["gru"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("name", "case"), [("patchwork", 0), ("ltae", 0), ("cnn1d", 2), ("multiresolcc", 2)])
def test_gradients_are_finite_in_half_precision_without_a_source(name, case, dtype):
    """Attention over masked dates only, and group normalisation of equal channels, left the range of float16."""
    architecture, (inputs, settings) = MODELS.get(name), MODEL_CASES[name][case]
    torch.manual_seed(0)
    model = build(architecture, inputs, 3, architecture.Config(**settings))
    for missing in model.footprints:
        batch = random_batch(inputs, model.footprints, torch.Generator().manual_seed(1), size=6)
        batch[missing].valid[:3] = False
        model.zero_grad()
        with torch.autocast("cpu", dtype):
            loss = model.loss(batch, torch.arange(6) % 3, torch.nn.functional.cross_entropy)
        torch.autograd.backward(loss)
        bad = [n for n, p in model.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()]
        assert not bad, f"without {missing}"


@pytest.mark.parametrize("name", list(MODELS))
def test_networks_have_their_published_size(name):
    """Layer by layer from the papers; of published totals, those of MultiResoLCC and M3Fusion."""
    architecture = MODELS.get(name)
    assert parameters(architecture.Model(architecture.CARD.example, 8, architecture.Config())) == SIZES[name]


@pytest.mark.parametrize(("name", "published"), [("multiresolcc", 7_411_213), ("m3fusion", 8_407_335 + 3_072)])
def test_sizes_for_13_classes(name, published):
    architecture = MODELS.get(name)
    assert parameters(architecture.Model(architecture.CARD.example, 13, architecture.Config())) == published


@pytest.mark.slow
def test_multiresolcc_dense_equals_patches_at_the_published_size():
    """Every position of a scene whose sizes are not multiples of 4, with batch normalisation that does something."""
    torch.manual_seed(0)
    model = build(MODELS.get("multiresolcc"), VHR, 8, multiresolcc.Config()).eval()
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


LOGITS = {
    "cnn1d": [[-0.586556, -0.060078], [-0.589509, -0.058207]],
    "convlstm": [[0.128947, -0.047408], [0.189523, -0.004171]],
    "dmil": [[-0.533367, 0.056886], [-0.533369, 0.056886]],
    "duplo": [[-0.42325, -0.263278], [-0.405251, -0.290969]],
    "fusion": [[0.098224, 0.03537], [0.148044, -0.007826]],
    "gru": [[0.509553, 0.160847], [0.541885, 0.218029]],
    "lstm": [[0.005099, -0.647677], [-0.092484, -0.338133]],
    "ltae": [[-0.408475, -0.587373], [-0.410969, -0.576823]],
    "m3fusion": [[-0.485609, -0.34404], [-0.510215, -0.329747]],
    "mixture": [[-0.535159, -0.880866], [-0.576653, -0.825024]],
    "multiresolcc": [[-0.808934, -0.259213], [-0.835746, -0.273341]],
    "multiresolcc_pansharpened": [[-0.946982, 0.216398], [-0.947942, 0.215036]],
    "patchwork": [[-1.178264, -0.864574], [-1.181194, -0.864879]],
    "regional": [[-0.436263, -1.039723], [-0.645295, -0.743404]],
    "s1s2vhsr": [[-0.861766, -0.294058], [-0.861763, -0.294057]],
    "tempcnn": [[-0.509029, 0.018576], [-0.486848, -0.0026]],
    "twinns": [[0.513308, 0.233695], [0.493308, 0.215471]],
    "unet": [[-0.251533, 0.090668], [-0.251082, 0.092539]],
    "utae": [[-0.010588, 0.396564], [-0.010709, 0.396562]],
}


@pytest.mark.parametrize("name", [name for name in MODELS if name not in ("random_forest", "lightgbm")])
def test_pinned_logits(name):
    """A change of any of these changes every map: it belongs in the changelog under Changed results."""
    inputs, settings = MODEL_CASES[name][0]
    model = MODELS.get(name).Model(inputs, 2, MODELS.get(name).Config(**settings)).eval()
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
    model = build(MODELS.get("gru"), spec, 3, gru.Config(units=5)).eval()
    values, days = torch.randn(1, 6, 2, 1, 1), torch.arange(6)[None] * 12 + 18000
    valid = torch.tensor([True, False, True, True, False, True])[None, :, None, None]
    kept = valid.flatten()
    with torch.no_grad():
        masked = model({"s2": SourceTensor(values, valid, days)})
        absent = model({"s2": SourceTensor(values[:, kept], valid[:, kept], days[:, kept])})
    assert torch.allclose(masked, absent, atol=1e-6)


def test_native_dates_tell_the_season():
    spec = {"s2": InputSpec("s2", ("red", "nir"), 3, Ratio(), regular=False)}
    model = build(MODELS.get("gru"), spec, 3, gru.Config(units=5)).eval()
    values, valid = torch.randn(1, 3, 2, 1, 1), torch.ones(1, 3, 1, 1, dtype=torch.bool)
    with torch.no_grad():
        early, late = (
            model({"s2": SourceTensor(values, valid, torch.tensor([[d, d + 10, d + 20]]))}) for d in (18000, 18180)
        )
    assert not torch.allclose(early, late, atol=1e-4)


def test_chunks_of_pixels_change_nothing(monkeypatch):
    torch.manual_seed(2)
    spec = {"s2": InputSpec("s2", ("red", "nir"), 4, Ratio())}
    model = build(MODELS.get("gru"), spec, 3, gru.Config(units=5)).eval()
    batch = random_batch(spec, model.footprints, torch.Generator().manual_seed(0), size=1, positions=9)
    with torch.no_grad():
        whole = model(batch)
        monkeypatch.setattr(layers, "ELEMENTS", 4 * 5 * 7)
        assert torch.allclose(model(batch), whole, atol=1e-6)


def test_models_refuse_what_they_cannot_use():
    two = {"a": InputSpec("a", ("x",), 3, Ratio()), "b": InputSpec("b", ("x",), 3, Ratio())}
    with pytest.raises(ModelError, match="found 2"):
        build(MODELS.get("gru"), two, 3, gru.Config())
    with pytest.raises(ModelError, match="no source is called 'c'"):
        build(MODELS.get("gru"), two, 3, gru.Config(source="c"))
    with pytest.raises(ModelError, match="no source is called 'pan'"):
        build(MODELS.get("multiresolcc"), two, 3, multiresolcc.Config())
    swapped = {"pan": PAN, "ms": InputSpec("ms", ("red",), 1, Ratio(finer=2))}
    with pytest.raises(ModelError, match=r"\[grid\] like"):
        build(MODELS.get("multiresolcc"), swapped, 3, multiresolcc.Config())
    with pytest.raises(ModelError, match="multiple of the ratio"):
        build(MODELS.get("multiresolcc"), VHR, 3, multiresolcc.Config(patch=30))
    with pytest.raises(ModelError, match="has not been fitted"):
        model = build(MODELS.get("random_forest"), two, 3, random_forest.Config())
        model(random_batch(two, model.footprints, torch.Generator()))
    with pytest.raises(ModelError, match="must be values"):
        SourceTensor(torch.zeros(1, 2, 3, 4, 4), torch.zeros(1, 2, 4, 5), torch.zeros(1, 2))


def test_damaged_trees_are_refused():
    spec = {"a": InputSpec("a", ("x", "y"), 3, Ratio())}
    model = build(MODELS.get("random_forest"), spec, 3, random_forest.Config(trees=2))
    model.fit(random_batch(spec, model.footprints, torch.Generator().manual_seed(0), size=30), torch.arange(30) % 3, 0)
    other = build(MODELS.get("random_forest"), spec, 3, random_forest.Config(trees=2))
    other.set_extra_state(model.get_extra_state())
    model.forest.estimators_[0].tree_.children_left[0] = 10_000
    damaged = torch.frombuffer(bytearray(skops.io.dumps(model.forest)), dtype=torch.uint8)
    with pytest.raises(ModelError, match="outside its tree"):
        other.set_extra_state(damaged)


def test_footprints_and_aligned_windows():
    assert Footprint(8, 4).window(Window(4, 8, 5, 9), Ratio(coarser=4)) == Window(-3, -2, 9, 10)
    assert Footprint(12, 4).window(Window(2, 3, 2, 1), Ratio(finer=4)) == Window(4, 8, 16, 12)
    assert window_positions(Window(5, 9, 3, 3), VHR) == Window(4, 8, 4, 4)


def test_coarse_pixels_are_repeated_over_the_window_only():
    """A pixel of a climate grid covers 11 km: repeated in full over map pixels of 1 m, it would fill the memory."""
    source = torch.rand(2, 3, 3, 4)
    for c in (1, 2, 7):
        whole = source.repeat_interleave(c, -2).repeat_interleave(c, -1)
        for height, width in ((1, 1), (c, c + 1), (2 * c + 1, 4 * c), (5 * c, 5 * c)):
            assert torch.equal(repeat_to(source, Ratio(coarser=c), (height, width)), whole[..., :height, :width])
    assert repeat_to(source, Ratio(coarser=100_000), (2, 3)).equal(source[..., :1, :1].expand(2, 3, 2, 3))


def test_the_segmenting_networks_have_their_published_size():
    """U-Net: 31 030 658 weights for one band and 2 classes, without normalisation. U-TAE: 1.1 million for PASTIS."""
    unet, utae = MODELS.get("unet"), MODELS.get("utae")
    widths = [64, 128, 256, 512, 1024]
    norms = 2 * 2 * (sum(widths) + sum(widths[:-1]))
    assert parameters(unet.Model({"pan": PAN}, 2, unet.Config())) - norms == 31_030_658
    pastis = {"s2": InputSpec("s2", tuple("abcdefghij"), 40, Ratio(), regular=False)}
    assert round(parameters(utae.Model(pastis, 20, utae.Config())) / 1e6, 1) == 1.1
