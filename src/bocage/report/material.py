"""Results of a run, as input of its report."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from bocage.errors import EvaluationError
from bocage.evaluation import Adjusted, Corrected, Predictions, Promised, Score, SeasonScore
from bocage.layout import RunLayout
from bocage.mapping import Areas, LandCoverMap
from bocage.progress import Progress
from bocage.provenance import Plan, Provenance
from bocage.report.settings import Reporting
from bocage.samples import Draw, Samples
from bocage.scene import Scene
from bocage.training import Importance
from bocage.words import Note, number


@dataclass(frozen=True)
class Estimates:
    """Estimated areas and accuracies over the whole map."""

    area: Adjusted | Corrected | None = None
    """From the test polygons of the draw that made the map: with intervals if they are a probability sample."""
    sample: Adjusted | None = None
    """From a labelled validation sample."""
    file: str = ""
    """File name of the validation sample."""
    refused: Corrected | None = None
    """A correction that is not reported, because its model does not give the mapped areas."""

    def checked(self, progress: Progress) -> "Estimates":
        """Return the estimates without a correction whose model does not fit, with a message."""
        if not isinstance(self.area, Corrected):
            return self
        try:
            self.area.check()
        except EvaluationError as error:
            progress.say(f"No areas are estimated: {error}")
            return replace(self, area=None, refused=self.area)
        return self


@dataclass(frozen=True)
class Material:
    """Input of the sections of a report."""

    layout: RunLayout
    scene: Scene
    samples: Samples
    score: Score
    mapped: int
    """Index of the draw whose model made the map, from 0."""
    tested: Predictions
    """Predictions of that model on its test pixels."""
    provenance: Provenance
    settings: Reporting = field(default_factory=Reporting)
    land: LandCoverMap | None = None
    truth: Score | None = None
    """Accuracy of the map against a truth raster."""
    estimates: Estimates = Estimates()
    importance: Importance | None = None
    until: datetime.date | None = None
    """Last day of the series of the map; None: all acquisitions."""
    season: SeasonScore | None = None
    """Accuracy against the cut-off of the series; None if ``bocage season`` did not measure it for this training."""
    by_region: Mapping[str, Score] = field(default_factory=dict)
    """Region → score of its test pixels; empty without a source of regions."""
    promised: Promised | None = None
    """Coverage of the prediction sets; None without sets."""

    @property
    def language(self) -> str:
        """Language of the report."""
        return self.settings.language

    @property
    def areas(self) -> Areas | None:
        """Mapped pixels and hectares of every class; None where there is no map."""
        return self.land.areas if self.land else None

    @property
    def draw(self) -> Draw:
        """Return the draw whose model made the map."""
        return self.samples.draw(self.mapped)

    @property
    def draws(self) -> int:
        """Number of draws or folds."""
        return len(self.score.matrices)

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the sources, the reference and the season of the map."""
        early = (Note.of("map_until", day=str(self.until)),) if self.until else ()
        return (*self.scene.notes, *self.samples.notes, *early)

    @property
    def plan(self) -> Plan | None:
        """Estimated cost, if ``bocage plan`` wrote one."""
        return Plan.load(self.layout.plan)

    def percent(self, share: float | None) -> str | None:
        """Return a share (0 to 1) as a percentage with one decimal, in the language of the report; None for None."""
        return None if share is None else number(100 * share, self.language, 1)
