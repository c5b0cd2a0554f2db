"""Pictures of the map, of the imagery below it, of confidence and novelty, and warnings about the colours."""

from collections.abc import Sequence
from typing import Any, Protocol

from bocage.errors import BocageError
from bocage.layout import RunLayout
from bocage.legend import PALETTE, Legend
from bocage.mapping import LandCoverMap, share_beyond
from bocage.report import figures
from bocage.report.imagery import best_source, composite, reduced
from bocage.report.marginalia import locator, scale_bar
from bocage.report.palette import alike
from bocage.scene import Scene
from bocage.words import sentence, words_of

MOST_PAIRS = 10
"""Number of pairs of classes with similar colours that a warning lists."""


class Pictured(Protocol):
    """What the pictures need of a report: the map, and the scene if its imagery is shown."""

    @property
    def layout(self) -> RunLayout:
        """Paths of the folder of the page."""

    @property
    def land(self) -> LandCoverMap | None:
        """The map."""

    @property
    def language(self) -> str:
        """Language of the page."""

    @property
    def scene(self) -> Scene | None:
        """The scene."""

    def percent(self, share: float | None) -> str | None:
        """Return a share (0 to 1) as a percentage in the language of the page."""


def picture(made: Pictured) -> dict[str, Any] | None:
    """Return the pictures of the map, the imagery, the confidence and the novelty; None without a readable map."""
    if made.land is None or not made.land.is_readable:
        return None
    found: dict[str, Any] = {
        "picture": figures.map_picture(made.land.files["classes"], made.land.legend),
        "file": str(made.land.files["classes"].relative_to(made.layout.path)),
        "unclassified": without_class(made.land, made.language),
        "imagery": None,
        "confidence": None,
        "novelty": None,
        "source": "",
        "bands": "",
        "bar": scale_bar(made.land.grid, made.language),
        "where": locator(made.land.grid, made.language),
    }
    if "confidence" in made.land.files:
        found["confidence"] = figures.confidence_picture(made.land.files["confidence"])
    if "novelty" in made.land.files:
        found["novelty"] = figures.novelty_picture(made.land.files["novelty"])
        found["beyond"] = made.percent(share_beyond(made.land))
    if made.scene is None:
        return found
    name = best_source(made.scene)
    try:
        shown, bands = composite(made.scene.cubes[name].source, reduced(made.scene.grid, figures.LONGEST // 2))
    except BocageError:  # the imagery may have moved since the run; the report shows the map without it
        return found
    return found | {"imagery": figures.image(shown), "source": name, "bands": ", ".join(bands)}


def without_class(land: LandCoverMap, language: str) -> str:
    """Return what to say of the pixels of a map without a class; empty if there are few."""
    return land.unclassified.text(language) if land.unclassified else ""


def palette_warnings(legend: Legend, language: str) -> list[str]:
    """Return a warning for each kind of vision that confuses colours of the legend, and one for a palette that repeats."""
    w = words_of(language)
    colors, given = dict(zip(legend.names, legend.colors, strict=True)), {c.name: c.color for c in legend.classes}
    repeated, by_vision = set[str](), dict[str, list[str]]()
    for pair in alike(legend.names, legend.colors):
        if colors[pair.first] == colors[pair.second] and not (given[pair.first] and given[pair.second]):
            repeated |= {pair.first, pair.second}
        else:
            by_vision.setdefault(pair.vision, []).append(f"{pair.first} – {pair.second}")
    notes = [
        w["palette_warning"].format(how=w[f"vision_{vision}"], pairs=_some(pairs, language))
        for vision, pairs in by_vision.items()
    ]
    if not repeated:
        return notes
    return [sentence("palette_repeats", language, n=len(repeated), colors=len(PALETTE), classes=len(colors)), *notes]


def _some(pairs: Sequence[str], language: str) -> str:
    """Return the first pairs, and the number of the others."""
    shown, others = ", ".join(pairs[:MOST_PAIRS]), len(pairs) - MOST_PAIRS
    return sentence("palette_others", language, pairs=shown, n=others) if others > 0 else shown
