"""``bocage models``: inputs, size, cost and source of every network.

Counting parameters builds every published network, which takes several seconds and imports PyTorch. The counts are therefore
stored in ``facts.json``, next to this file, and a test compares them with the networks. After a change of a network, update
the file with ``python -m bocage.jobs.models``.
"""

import json
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

STORE = "facts.json"


@dataclass(frozen=True)
class Facts:
    """One line of ``bocage models``."""

    name: str
    """Name on the shelf ``MODELS``."""
    title: str
    """First line of the documentation of the network."""
    paper: str
    """Publication of the network."""
    takes: str
    """Inputs of the network."""
    masks: str
    """Handling of masked values."""
    parameters: int | None
    """Number of parameters for 10 classes; None if it depends on the samples (decision trees)."""
    multiply_adds: float | None
    """Number of multiply-add operations per map pixel, at the centre of a large window."""
    footprint: str
    """Footprint in each source."""
    dense: str
    """Inference on windows: "exact" or "patches"."""
    reconstruction: bool
    """Whether layer sizes that are not published were chosen in this package."""
    published: bool
    """Whether the training of the authors is known (``preset = "published"``)."""


def stored_facts() -> list[Facts]:
    """Return the stored facts of every network on the shelf; PyTorch is not imported."""
    text = resources.files("bocage").joinpath("jobs", STORE).read_text(encoding="utf-8")
    return [Facts(**entry) for entry in json.loads(text)]


def counted_facts() -> list[Facts]:
    """Build every network on the shelf for its published example, and count its parameters and operations."""
    from bocage.models import MODELS, card_of
    from bocage.models.facts import size_of

    facts = []
    for name in MODELS:
        architecture = MODELS.get(name)
        card, size = card_of(architecture), size_of(architecture)
        title = (getattr(architecture, "module", architecture).__doc__ or name).strip().splitlines()[0]
        facts.append(
            Facts(
                name, title, card.paper, card.takes, card.masks, size.parameters, size.multiply_adds, size.footprint,
                card.dense, card.reconstruction, card.published is not None,
            )
        )  # fmt: skip
    return facts


if __name__ == "__main__":
    rows = [asdict(entry) for entry in counted_facts()]
    Path(__file__).with_name(STORE).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
