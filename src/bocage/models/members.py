"""The shelf of all models except ``mixture`` and ``regional``, whose members they can be."""

from bocage.models import dmil, fusion, lightgbm, m3fusion, multiresolcc, patchwork, random_forest, s1s2vhsr, twinns
from bocage.models.base import Architecture, no_architecture
from bocage.models.single import SINGLE
from bocage.shelf import Shelf

MEMBERS: Shelf[Architecture] = Shelf(
    "model",
    "models",
    {
        **SINGLE.things,
        "dmil": dmil,
        "fusion": fusion,
        "lightgbm": lightgbm,
        "m3fusion": m3fusion,
        "multiresolcc": multiresolcc,
        "patchwork": patchwork,
        "random_forest": random_forest,
        "s1s2vhsr": s1s2vhsr,
        "twinns": twinns,
    },
    no_architecture,
)
