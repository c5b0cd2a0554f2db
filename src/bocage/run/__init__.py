"""Recipe → Run: the folder, the opened scene, the stages."""

from bocage.run.folder import Inputs, RunFolder
from bocage.run.lock import COMPARING, held
from bocage.run.opening import claim, open_run, open_scene, prepared
from bocage.run.stages import STAGES, Run, settled

__all__ = [
    "COMPARING", "STAGES", "Inputs", "Run", "RunFolder", "claim", "held", "open_run", "open_scene", "prepared",
    "settled",
]  # fmt: skip
