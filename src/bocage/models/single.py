"""Registry of single-source networks: an encoder of one source and a linear head. ``fusion`` combines them by name."""

from bocage.models import cnn1d, convlstm, duplo, gru, lstm, ltae, multiresolcc_pansharpened, tempcnn
from bocage.models.base import Architecture, no_architecture
from bocage.shelf import Shelf

SINGLE: Shelf[Architecture] = Shelf(
    "single-source network",
    "single-source networks",
    {
        "cnn1d": cnn1d,
        "convlstm": convlstm,
        "duplo": duplo,
        "gru": gru,
        "lstm": lstm,
        "ltae": ltae,
        "multiresolcc_pansharpened": multiresolcc_pansharpened,
        "tempcnn": tempcnn,
    },
    no_architecture,
)
