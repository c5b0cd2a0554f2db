"""Recipe → Run: the folder, the opened scene, the stages."""

from typing import TYPE_CHECKING

from bocage.later import later

if TYPE_CHECKING:
    from bocage.run.doctor import examine
    from bocage.run.folder import Inputs, RunFolder, has_results
    from bocage.run.left_out import missed_at_sites
    from bocage.run.lock import COMPARING, held
    from bocage.run.map_origin import (
        EDITED,
        NOT_EVALUATED,
        NOT_TESTED,
        OTHER_MODEL,
        MapOrigin,
        drawn_units,
        test_pixels_of,
        test_predictions_of,
        tested_at,
    )
    from bocage.run.objects import segment_first, segment_objects
    from bocage.run.opened import open_chosen, open_scene, placed
    from bocage.run.opening import claim, open_run, prepared
    from bocage.run.regions import RegionChoice, map_region
    from bocage.run.sites import SitesRun, open_sites
    from bocage.run.stages import STAGES, Run, settled
    from bocage.run.trained_on import Evaluated, TrainedOn

__all__ = [
    "COMPARING", "EDITED", "NOT_EVALUATED", "NOT_TESTED", "OTHER_MODEL", "STAGES", "Evaluated", "Inputs", "MapOrigin",
    "RegionChoice", "Run", "RunFolder", "SitesRun", "TrainedOn", "claim", "drawn_units", "examine", "has_results", "held",
    "map_region", "missed_at_sites", "open_chosen", "open_run", "open_scene", "open_sites", "placed", "prepared",
    "segment_first", "segment_objects", "settled", "test_pixels_of", "test_predictions_of", "tested_at",
]  # fmt: skip

later(__name__)
