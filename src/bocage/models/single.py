"""Registry of single-source networks: an encoder of one source and a linear head. ``fusion`` combines them by name."""

from bocage.models.card import Architecture, no_architecture
from bocage.models.known import known
from bocage.shelf import Shelf

NAMES = ("cnn1d", "convlstm", "duplo", "gru", "lstm", "ltae", "multiresolcc_pansharpened", "tempcnn")
SINGLE: Shelf[Architecture] = Shelf(
    "single-source network", "single-source networks", {**known(NAMES)}, no_architecture
)
