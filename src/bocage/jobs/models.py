"""``bocage models``: what the networks take, cost, and come from.

Counting builds every published network, which takes half a minute and a gigabyte; so the counts are stored in
``facts.json`` beside this file, and a test compares them with the networks. After a change: ``python -m bocage.jobs.models``.
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
    title: str
    paper: str
    takes: str
    masks: str
    parameters: int | None
    """For 10 classes; None where the size depends on the samples (trees)."""
    multiply_adds: float | None
    """Per map pixel, in the middle of a large window."""
    footprint: str
    dense: str
    """"exact" or "patches"."""
    reconstruction: bool
    published: bool
    """Whether the training of its authors is known (``preset = "published"``)."""


def stored_facts() -> list[Facts]:
    """Return the facts of every network of the shelf, as they were counted; PyTorch is not imported."""
    text = resources.files("bocage").joinpath("jobs", STORE).read_text(encoding="utf-8")
    return [Facts(**one) for one in json.loads(text)]


def counted_facts() -> list[Facts]:
    """Build every network of the shelf for its published example, and count."""
    from bocage.models import MODELS, card_of
    from bocage.models.facts import size_of

    found = []
    for name in MODELS:
        architecture = MODELS.get(name)
        card, size = card_of(architecture), size_of(architecture)
        title = (architecture.__doc__ or name).strip().splitlines()[0]
        found.append(
            Facts(
                name, title, card.paper, card.takes, card.masks, size.parameters, size.multiply_adds, size.footprint,
                card.dense, card.reconstruction, card.published is not None,
            )
        )  # fmt: skip
    return found


if __name__ == "__main__":
    rows = [asdict(one) for one in counted_facts()]
    Path(__file__).with_name(STORE).write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
