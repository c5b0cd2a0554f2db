"""Coverage of the prediction sets of a run on its test polygons."""

from bocage.evaluation import Covered, Predictions, Promised
from bocage.layout import RunLayout
from bocage.mapping import Mapping
from bocage.training import read_conformal


def promised_by(layout: RunLayout, draws: int, settings: Mapping) -> Promised | None:
    """Return the coverage of the sets on the test polygons; None without sets, calibration polygons or test polygons."""
    if settings.sets is None:
        return None
    found = []
    for split in map(layout.split, range(draws)):
        conformal, tested = read_conformal(split.model), Predictions.from_parquet(split.test)
        if conformal is not None and tested.probabilities.size:  # earlier versions stored neither
            least = conformal.least(settings.sets, settings.sets_by)
            found.append(Covered.of(tested, least, conformal))
    return Promised(settings.sets, settings.sets_by, tuple(found)) if found else None
