"""Every shelf, against its contract."""

from pathlib import Path

import pytest

from bocage.evaluation import METRICS
from bocage.grid import Ratio
from bocage.mapping import WRITERS
from bocage.models import MODELS, InputSpec
from bocage.scene import INDICES
from bocage.sources import SENSORS, image, series
from bocage.testing import check_index, check_metric, check_model, check_sensor, check_writer

SERIES = InputSpec("s2", ("red", "nir", "ndvi"), 5, Ratio())
RADAR = InputSpec("s1", ("vv",), 4, Ratio(coarser=2), regular=False)
FINE = InputSpec("fine", ("pan",), 1, Ratio(finer=2))
PAN = InputSpec("pan", ("pan",), 1, Ratio())
MS = InputSpec("ms", ("red", "nir"), 1, Ratio(coarser=4))
MS2 = InputSpec("ms", ("red", "nir"), 1, Ratio(coarser=2))
MODEL_CASES = {
    "random_forest": [({"s2": SERIES, "s1": RADAR, "fine": FINE}, {"trees": 5})],
    "gru": [({"s2": SERIES}, {"units": 6}), ({"s1": RADAR}, {"units": 6}), ({"s2": SERIES}, {"units": 6, "day_of_year": "yes"})],
    "multiresolcc": [
        ({"pan": PAN, "ms": MS}, {"pan_filters": (4, 5, 6), "ms_filters": (4, 6, 8), "patch": 32}),
        ({"pan": PAN, "ms": MS2}, {"pan_filters": (4, 5, 6), "ms_filters": (4, 6, 8), "patch": 24, "norm": "affine"}),
        ({"pan": PAN, "ms": MS}, {"pan_filters": (4, 5, 6), "ms_filters": (4, 6, 8), "patch": 36, "pan_kernel": 7}),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", list(MODELS))
def test_model(name: str) -> None:
    architecture = MODELS.get(name)
    for inputs, settings in MODEL_CASES[name]:
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

    def disagreement(matrix):
        """Higher is better, it says."""
        return -float(matrix.right.sum()) / max(matrix.total, 1)

    with pytest.raises(AssertionError, match="direction"):
        check_metric(disagreement)
