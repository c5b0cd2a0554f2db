"""Every shelf, against its contract."""

from pathlib import Path

import numpy as np
import pytest

from bocage.errors import SourceError
from bocage.evaluation import METRICS
from bocage.grid import Ratio
from bocage.mapping import WRITERS
from bocage.models import MODELS, InputSpec
from bocage.models import Member as Seeds
from bocage.models.fusion import Member
from bocage.scene import INDICES
from bocage.scene.indices import computed
from bocage.sources import SENSORS, image, series
from bocage.testing import check_index, check_metric, check_model, check_sensor, check_writer

SERIES = InputSpec("s2", ("red", "nir", "ndvi"), 5, Ratio())
LONG = InputSpec("s2", ("red", "nir"), 14, Ratio())
RADAR = InputSpec("s1", ("vv",), 4, Ratio(coarser=2), regular=False)
SAR = InputSpec("s1", ("vv", "vh"), 4, Ratio())
TWIN = InputSpec("s1", ("vv", "vh"), 5, Ratio())
FINE = InputSpec("fine", ("pan",), 1, Ratio(finer=2))
FINE_SERIES = InputSpec("s2", ("red", "nir"), 3, Ratio(finer=2))
PAN = InputSpec("pan", ("pan",), 1, Ratio())
SHARP = InputSpec("sharp", ("red", "nir"), 1, Ratio())
VHR = InputSpec("vhr", ("red", "nir"), 1, Ratio(finer=3))
MS = InputSpec("ms", ("red", "nir"), 1, Ratio(coarser=4))
MS2 = InputSpec("ms", ("red", "nir"), 1, Ratio(coarser=2))
SPOT = {"pan": InputSpec("pan", ("pan",), 1, Ratio(finer=4)), "ms": InputSpec("ms", ("red", "nir"), 1, Ratio())}
ZONES = InputSpec("regions", ("north", "south", "west"), 1, Ratio())
FINE_ZONES = InputSpec("zones", ("north", "south"), 1, Ratio(finer=2))
NORMS = ("batch", "affine", "group", "layer")
TWO_BRANCHES = {"pan_filters": (4, 5, 6), "ms_filters": (4, 6, 8)}
SMALL_M3 = {"units": 5, "patch": 12, "filters": (3, 4)}
SMALL_TWINNS = {"units": 3, "filters": (3, 4)}
SMALL_SPOT = {"filters": 3, "dense": 5}
SMALL = {"preset": "small", "filters": (3, 4)}
SMALL_UTAE = {"encoder": (4, 4, 6), "decoder": (3, 4, 6), "heads": 2, "keys": 2, "width": 8, "output": 4}
SMALL_DUPLO = {"filters": (3, 4), "date_filters": (2, 3), "units": 4}


def member(network, source="", **settings):
    return Member(network, source, settings)


MODEL_CASES = {
    "cnn1d": [({"s2": LONG}, {"filters": (4, 5), "norm": norm}) for norm in NORMS],
    "convlstm": [({"s2": SERIES}, {"units": 3}), ({"s1": RADAR}, {"units": 3, "patch": 3})],
    "dmil": [
        ({"pan": PAN, "ms": MS}, {"pan_filters": (3, 4, 5), "codes": (6, 4), "dense": (6, 5)}),
        ({"pan": PAN, "ms": MS2}, {"pan_filters": (3, 4, 5), "codes": (6, 4), "dense": (6, 5), "patch": 24, "reconstruction": 0.0}),
    ],
    "duplo": [
        ({"s2": SERIES}, SMALL_DUPLO),
        ({"s1": RADAR}, SMALL_DUPLO | {"norm": "affine", "auxiliary": 0.0}),
        ({"s2": FINE_SERIES}, SMALL_DUPLO | {"norm": "layer"}),
    ],
    "fusion": [
        ({"s1": RADAR, "s2": SERIES}, {"members": (member("gru", "s1", units=4), member("tempcnn", "s2", filters=3, dense=4))}),
        ({"s1": SAR, "s2": SERIES}, {"members": (member("duplo", "s1", **SMALL_DUPLO), member("ltae", "s2", heads=2, width=8)), "auxiliary": 0.3}),
        ({"s1": SAR, "s2": SERIES}, {"strategy": "decision", "members": (member("lstm", "s1", units=4), member("convlstm", "s2", units=3))}),
        ({"s1": TWIN, "s2": SERIES}, {"strategy": "early", "members": (member("gru", units=4),)}),
    ],
    "gru": [
        ({"s2": SERIES}, {"units": 6}),
        ({"s1": RADAR}, {"units": 6}),
        ({"s2": SERIES}, {"units": 6, "day_of_year": "yes"}),
        ({"s2": SERIES}, {"units": 6, "attention": False}),
    ],
    "lightgbm": [({"s2": SERIES, "s1": RADAR, "fine": FINE}, {"rounds": 3, "min_leaf": 2}), ({"s2": SERIES}, {"rounds": 3, "patches": {"s2": 3}}), ({"s2": SERIES, "pan": SPOT["pan"]}, {"rounds": 3, "min_leaf": 2, "texture": {"pan": 7}})],
    "lstm": [({"s2": SERIES}, {"units": 6}), ({"s1": RADAR}, {"units": 6})],
    "ltae": [
        ({"s2": SERIES}, {"heads": 2, "keys": 3, "width": 8, "features": 5}),
        ({"s1": RADAR}, {"heads": 2, "keys": 3, "width": 8, "features": 5, "norm": "affine"}),
    ],
    "m3fusion": [
        ({"s2": SERIES, "vhr": VHR}, SMALL_M3),
        ({"s2": SERIES, "vhr": VHR}, SMALL_M3 | {"auxiliary": 0.0, "attention": False, "norm": "affine"}),
        ({"s1": RADAR, "fine": FINE}, SMALL_M3 | {"norm": "group"}),
        ({"s2": SERIES, "vhr": VHR}, SMALL_M3 | {"use": "series"}),
        ({"s2": SERIES, "vhr": VHR}, SMALL_M3 | {"use": "vhr", "norm": "layer", "patch": 13}),
    ],
    "mixture": [
        ({"s2": SERIES}, {"members": (Seeds("gru", {"units": 4}, 2), Seeds("tempcnn", {"filters": 3, "dense": 4}))}),
        ({"s1": RADAR, "s2": SERIES, "vhr": VHR, "ms": MS}, {"members": (Seeds("patchwork", SMALL, 2),)}),
        (
            {"s2": RADAR, "pan": PAN, "ms": MS},
            {"members": (Seeds("patchwork", SMALL), Seeds("random_forest", {"trees": 3, "sources": ("s2",)}), Seeds("lightgbm", {"rounds": 3, "min_leaf": 2, "gaps": "linear"}))},
        ),
        ({"s2": SERIES, "ms": MS}, {"members": (Seeds("duplo", SMALL_DUPLO | {"source": "s2"}), Seeds("patchwork", SMALL | {"sources": ("ms",)}))}),
    ],
    "multiresolcc": [
        ({"pan": PAN, "ms": MS}, TWO_BRANCHES),
        ({"pan": PAN, "ms": MS2}, TWO_BRANCHES | {"patch": 24, "norm": "affine"}),
        ({"pan": PAN, "ms": MS}, TWO_BRANCHES | {"patch": 36, "pan_kernel": 7, "norm": "group"}),
        ({"pan": PAN, "ms": MS}, TWO_BRANCHES | {"use": "pan"}),
        ({"pan": PAN, "ms": MS}, TWO_BRANCHES | {"use": "ms", "norm": "layer"}),
    ],
    "multiresolcc_pansharpened": [({"sharp": SHARP}, {"filters": (4, 5, 6)}), ({"sharp": SHARP}, {"filters": (4, 5, 6), "patch": 25, "norm": "affine"})],
    "patchwork": [
        ({"s1": RADAR, "s2": SERIES, "vhr": VHR, "ms": MS}, {"preset": "small", "filters": (3, 4), "sensor_dropout": 0.5}),
        ({"s2": FINE_SERIES}, {"preset": "small", "shares": True}),
        ({"s2": SERIES, "pan": PAN}, {"preset": "small", "filters": (3, 4), "sources": ("pan",)}),
    ],
    "random_forest": [
        ({"s2": SERIES, "s1": RADAR, "fine": FINE}, {"trees": 5}),
        ({"s2": SERIES, "pan": PAN, "ms": MS}, {"trees": 5, "patches": {"pan": 4, "ms": 1}}),
        ({"s2": SERIES, "s1": RADAR, "pan": SPOT["pan"], "fine": FINE}, {"trees": 5, "texture": {"pan": 9, "fine": 2, "s1": 4}}),
        ({"pan": PAN, "vhr": VHR}, {"trees": 5, "patches": {"pan": 3}, "texture": {"vhr": 2, "pan": 6}, "grey_levels": 16}),
    ],
    "regional": [
        ({"s2": SERIES, "regions": ZONES}, {"member": Seeds("gru", {"units": 4})}),
        ({"s1": RADAR, "s2": SERIES, "zones": FINE_ZONES}, {"source": "zones", "member": Seeds("patchwork", SMALL | {"sensor_dropout": 0.5})}),
        ({"s2": SERIES, "pan": PAN, "regions": ZONES}, {"member": Seeds("random_forest", {"trees": 3})}),
        ({"pan": PAN, "ms": MS, "regions": ZONES}, {"member": Seeds("multiresolcc", TWO_BRANCHES)}),
    ],
    "s1s2vhsr": [
        ({"s1": SAR, "s2": LONG, **SPOT}, SMALL_SPOT),
        ({"s1": RADAR, "s2": LONG}, SMALL_SPOT | {"pan": "", "s1_patch": 7, "norm": "affine"}),
        ({"s2": LONG, **SPOT}, SMALL_SPOT | {"s1": "", "norm": "layer", "targets": "labels"}),
        ({"s1": SAR}, SMALL_SPOT | {"s2": "", "pan": ""}),
    ],
    "tempcnn": [({"s2": SERIES}, {"filters": 4, "dense": 6, "norm": norm}) for norm in NORMS]
    + [({"s2": SERIES}, {"filters": 4, "dense": 6, "kernel": 3, "dropout": 0.2, "dense_dropout": 0.5})],
    "twinns": [
        ({"s1": SAR, "s2": SERIES}, SMALL_TWINNS),
        ({"s1": RADAR, "s2": SERIES}, SMALL_TWINNS | {"patch": 7, "norm": "affine"}),
        ({"s1": SAR, "s2": SERIES}, SMALL_TWINNS | {"use": "first"}),
        ({"s1": SAR, "s2": SERIES}, SMALL_TWINNS | {"use": "second", "branches": "convgru", "attention": False}),
        ({"s1": SAR, "s2": SERIES}, SMALL_TWINNS | {"branches": "cnn", "auxiliary": 0.0, "norm": "group"}),
    ],
    "unet": [
        ({"s2": SERIES}, {"width": 3, "depth": 2}),
        ({"fine": FINE}, {"width": 3, "depth": 1, "norm": "affine"}),
        ({"s1": RADAR, "pan": PAN}, {"source": "s1", "width": 2, "depth": 2, "norm": "group"}),
    ],
    "utae": [
        ({"s2": SERIES}, SMALL_UTAE),
        ({"s1": RADAR}, SMALL_UTAE | {"norm": "layer"}),
        ({"s2": FINE_SERIES}, SMALL_UTAE | {"encoder": (4, 6), "decoder": (3, 6), "norm": "batch"}),
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "case"), [(name, i) for name in MODELS for i in range(len(MODEL_CASES[name]))])
def test_model(name: str, case: int) -> None:
    architecture = MODELS.get(name)
    inputs, settings = MODEL_CASES[name][case]
    check_model(architecture, inputs, architecture.Config(**settings))


@pytest.mark.parametrize("name", ["image", "series"])  # products: test_products.py; catalogues: test_stac.py
def test_sensor(name: str, landscape: Path) -> None:
    settings = {
        "image": image.Settings(landscape / "ms.tif"),
        "series": series.Settings({"red": landscape / "s2/red.tif"}, quality=landscape / "s2/quality.tif", clear=(4,)),
    }
    check_sensor(SENSORS.get(name), settings[name])


@pytest.mark.parametrize("name", list(INDICES))
def test_index(name: str) -> None:
    check_index(INDICES.get(name))


def test_an_index_cannot_change_its_bands_and_has_finite_values(tmp_path, monkeypatch):
    """The band was changed in silence, and a value that is not finite ended the run with an unexpected error."""
    (tmp_path / "careless.py").write_text(
        "import numpy as np\n\n\n"
        "def ratio(red, nir):\n    return nir / red\n\n\n"
        "def inside(red, nir):\n    if red.ndim > 2:\n        red *= 0\n    return nir - red\n\n\n"
        "def one(red, nir):\n    return nir - red if red.ndim == 2 else 1.0\n\n\n"
        "def wave(red, nir):\n    return nir + 1j * red\n\n\n"
        "def soil(red, nir, ground=0.5):\n    return nir - red + ground\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    red, nir = (np.array(values, np.float32).reshape(1, 1, 3) for values in ((0, 0, 0.5), (0, 1, 0.25)))
    with np.errstate(all="ignore"):
        assert computed("careless:ratio", {"red": red, "nir": nir}).ravel().tolist() == [0, 0, 0.5]
    assert computed("careless:soil", {"red": red, "nir": nir}).ravel().tolist() == [0.5, 1.5, 0.25]
    for name, message in (("inside", "raises ValueError"), ("one", "shape \\(\\)"), ("wave", "type complex")):
        with pytest.raises(SourceError, match=f"careless:{name} .*{message}"):
            computed(f"careless:{name}", {"red": red, "nir": nir})
    assert red.ravel().tolist() == [0, 0, 0.5]


@pytest.mark.parametrize("name", list(METRICS))
def test_metric(name: str) -> None:
    check_metric(METRICS.get(name))


@pytest.mark.parametrize("name", list(WRITERS))
def test_writer(name: str, tmp_path: Path) -> None:
    check_writer(WRITERS.get(name), tmp_path)


def test_checks_can_fail() -> None:
    """A check that accepts anything proves nothing."""

    def one_band(red):
        """No source."""
        return red / red

    with pytest.raises(AssertionError, match="DOI"):
        check_index(one_band)

    def unbounded(red, nir):
        """Ratio, −1 to 1 (doi:10.1000/1)."""
        return (nir - red) / (nir + red + 1e-9)

    with pytest.raises(AssertionError, match="range"):
        check_index(unbounded)

    def disagreement(matrix):
        """Higher is better, it says."""
        return -float(matrix.right.sum()) / max(matrix.total, 1)

    with pytest.raises(AssertionError, match="direction"):
        check_metric(disagreement)
