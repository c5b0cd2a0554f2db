"""The shelf of all models, and that of all except ``mixture`` and ``regional``, whose members they can be."""

from bocage.models.card import Architecture, no_architecture
from bocage.models.known import known
from bocage.models.single import NAMES as SINGLE
from bocage.shelf import Shelf

NAMES = (
    *SINGLE, "dmil", "fusion", "lightgbm", "m3fusion", "multiresolcc", "patchwork", "random_forest", "s1s2vhsr", "twinns"
)  # fmt: skip
MEMBERS: Shelf[Architecture] = Shelf("model", "models", {**known(NAMES)}, no_architecture)
MODELS: Shelf[Architecture] = Shelf("model", "models", {**known((*NAMES, "mixture", "regional"))}, no_architecture)
