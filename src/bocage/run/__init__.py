"""Recipe → Run: the folder, the opened scene, the stages."""

from bocage.run.folder import RunFolder, input_fingerprints
from bocage.run.lock import COMPARING, held
from bocage.run.opening import claim, open_run, open_scene, prepared
from bocage.run.stages import STAGES, Run, settled

__all__ = [
    "COMPARING", "STAGES", "Run", "RunFolder", "claim", "held", "input_fingerprints", "open_run", "open_scene", "prepared",
    "settled",
]  # fmt: skip
