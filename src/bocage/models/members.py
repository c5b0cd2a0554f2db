"""The shelf of all models, and that of the models that can be members of ``mixture`` and ``regional``."""

from bocage.models.card import Architecture, no_architecture
from bocage.models.known import known
from bocage.models.single import NAMES as SINGLE
from bocage.shelf import Shelf

NAMES = (
    *SINGLE, "dmil", "fusion", "lightgbm", "m3fusion", "multiresolcc", "patchwork", "random_forest", "s1s2vhsr", "twinns"
)  # fmt: skip
SEGMENTING = ("unet", "utae")
"""Networks that are trained on windows; they are no members of others."""
MEMBERS: Shelf[Architecture] = Shelf("model", "models", {**known(NAMES)}, no_architecture)
MODELS: Shelf[Architecture] = Shelf(
    "model", "models", {**known((*NAMES, *SEGMENTING, "mixture", "regional"))}, no_architecture
)
