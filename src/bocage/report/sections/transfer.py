"""What is known of a map without reference data: areas, confidence, novelty, the training of the model, an adaptation."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.days import date_of
from bocage.mapping import Sureness, sureness
from bocage.report.sections.summary import size
from bocage.report.transfer import Adaptation, Dates, TransferMaterial
from bocage.words import number, percent, sentence, whole, words_of

NEAR = 1.0
"""Distance up to which two scenes are at the same place, in km."""


@dataclass(frozen=True)
class Estimate:
    """Accuracy of a map as the model itself estimates it, and the novelty of the mapped area."""

    found: Sureness
    weight: NDArray[np.float64]
    """Hectares of a pixel of each class (K,)."""

    @classmethod
    def of(cls, made: TransferMaterial) -> "Estimate | None":
        """Return the estimate; None without a readable map."""
        if made.land is None or made.areas is None or not made.land.is_readable:
            return None
        return cls(sureness(made.land), made.areas.hectares / np.maximum(made.areas.pixels, 1))

    @cached_property
    def accuracy(self) -> float | None:
        """Mean calibrated confidence of the map, 0 to 1."""
        return self.found.mean(self.weight)

    @cached_property
    def beyond(self) -> float | None:
        """Share of the mapped area that is unlike the training data, 0 to 1."""
        return self.found.share_beyond(self.weight)

    def as_dict(self) -> dict[str, Any]:
        """Return all numbers, for ``report.json``."""
        return {
            "estimated_accuracy": self.accuracy, "estimated_accuracy_per_class": self.found.means,
            "novel_share": self.beyond, "novel_share_per_class": self.found.unlike,
            "mean_confidence_novel": self.found.mean_beyond(self.weight),
            "mean_confidence_not_novel": self.found.mean_inside(self.weight),
        }  # fmt: skip


def sentences(made: TransferMaterial, estimate: Estimate | None) -> list[str]:
    """Return the summary: subject, estimated accuracy, novelty, effect of an adaptation."""
    w, language, found = words_of(made.language), made.language, []
    if made.land and made.areas:
        values = {"classes": len(made.legend.classes), "area": number(made.areas.total / 100, language, 2)}
        sources = ", ".join(use.name for use in made.transfer.sources if use.trained and use.scene)
        grid = size(made.land.grid, language)
        found.append(w["s_map"].format(model=made.transfer.model, sources=sources, **values, **grid))
    if estimate:
        accuracy = made.percent(estimate.accuracy)
        found.append(w["t_estimate"].format(value=accuracy) if accuracy else w["t_no_estimate"])
        found.append(_novelty(made, estimate))
    found += _expected(made)
    if made.adapted:
        found += _adapted(made, made.adapted) if made.changed else [w["t_kept"]]
    return found


def _expected(made: TransferMaterial) -> list[str]:
    """Return the accuracy of the model without adaptation on random pixels, with its interval, and the change of agreement."""
    w, judgement = words_of(made.language), made.judgement
    if judgement is None or not (judgement.expected and judgement.fall and judgement.here):
        return []
    expected, fall = judgement.expected, judgement.fall
    values = {"value": expected.accuracy, "low": expected.low, "high": expected.high}
    texts = {name: made.percent(value) for name, value in values.items()}
    n = whole(judgement.here.pixels, made.language)
    error = w["t_error_sites"].format(n=expected.sites) if expected.sites else w["t_error_benchmark"]
    points = number(100 * abs(fall.value), made.language, 1)
    change = w["t_fall" if fall.value > 0 else "t_rise"].format(points=points, error=made.percent(fall.error))
    return [w["t_expected_before" if made.changed else "t_expected"].format(n=n, error=error, **texts), change]


def _novelty(made: TransferMaterial, estimate: Estimate) -> str:
    w = words_of(made.language)
    if estimate.beyond is None:
        return w["t_no_novelty"]
    inside, beyond = (
        made.percent(value) or "–"
        for value in (estimate.found.mean_inside(estimate.weight), estimate.found.mean_beyond(estimate.weight))
    )
    return w["t_novelty"].format(share=made.percent(estimate.beyond), inside=inside, beyond=beyond)


def _adapted(made: TransferMaterial, adapted: Adaptation) -> list[str]:
    w, change = words_of(made.language), adapted.change
    found = [w["t_changed"].format(share=made.percent(change.changed), n=whole(change.pixels, made.language))]
    if made.land:
        return found
    before, after = made.percent(change.before.mean) or "–", made.percent(change.after.mean) or "–"
    found.append(w["t_estimate_drawn"].format(before=before, after=after))
    if change.beyond is not None:
        found.append(w["t_beyond_drawn"].format(share=made.percent(change.beyond)))
    return found


def cautions(made: TransferMaterial) -> list[str]:
    """Return the known biases of what the page estimates."""
    w = words_of(made.language)
    return [w["t_bias"], *([w["t_bias_adapted"]] if made.changed else [])]


def areas(made: TransferMaterial, estimate: Estimate | None) -> list[dict[str, Any]]:
    """Return a row for each class: area that was mapped, mean confidence, share unlike the training data."""
    if made.areas is None:
        return []
    language, nothing = made.language, [None] * len(made.legend.classes)
    means, unlike = (estimate.found.means, estimate.found.unlike) if estimate else (nothing, nothing)
    return [
        {
            "code": made.legend.codes[k], "name": name, "color": made.legend.colors[k],
            "area": number(made.areas.hectares[k], language, 1), "share": percent(made.areas.shares[k], language),
            "confidence": percent(means[k], language), "unlike": percent(unlike[k], language),
        }
        for k, name in enumerate(made.legend.names)
    ]  # fmt: skip


def training(made: TransferMaterial) -> dict[str, Any]:
    """Return what the model was trained on: place, dates of each source, sources and classes that are missing."""
    w, trained, language = words_of(made.language), made.trained, made.language
    uses = made.transfer.sources
    notes = [
        w["t_missing"].format(names=", ".join(names)) if (names := _names(uses, scene=False)) else "",
        w["t_unused"].format(names=", ".join(names)) if (names := _names(uses, scene=True)) else "",
        w["t_lacking"].format(names=", ".join(made.transfer.lacking)) if made.transfer.lacking else "",
        w["t_until"].format(day=made.until) if made.until else "",
    ]
    return {
        "place": _place(made),
        "rows": [
            (use.name, _dates(use.trained, language, "t_not_used"), _dates(use.scene, language, "t_absent"))
            for use in uses
        ],
        "notes": [note for note in notes if note],
        "model": w["t_model"].format(model=trained.model, folder=trained.folder),
        "adapted": " ".join(_adapted_to(made)),
    }


def _adapted_to(made: TransferMaterial) -> list[str]:
    text = words_of(made.language)["t_adapted_to"]
    return [text.format(name=made.changed.transfer.asked.name)] if made.changed else []


def _names(uses: Any, scene: bool) -> list[str]:
    """Return the sources of the scene alone, or of the training alone."""
    return [use.name for use in uses if (use.trained is None) == scene and (use.scene is None) != scene]


def _place(made: TransferMaterial) -> str:
    w, trained, language = words_of(made.language), made.trained, made.language
    if trained.trained_at is None:
        return w["t_place_unknown"]
    east, north = trained.trained_at
    place = w["t_place"].format(
        latitude=number(abs(north), language, 2), longitude=number(abs(east), language, 2),
        pole=w["t_north"] if north >= 0 else w["t_south"], side=w["t_east"] if east >= 0 else w["t_west"],
    )  # fmt: skip
    if made.distance is None:
        return place
    if made.distance < NEAR:
        return f"{place} {w['t_same_place']}"
    return f"{place} {w['t_distance'].format(distance=whole(made.distance, language))}"


def _dates(dates: Dates | None, language: str, absent: str) -> str:
    if dates is None:
        return words_of(language)[absent]
    count = sentence("t_dates", language, n=dates.count)
    if dates.days is None:
        return count
    first, last = (date_of(day).isoformat() for day in dates.days)
    return f"{first} ({count})" if first == last else f"{first} – {last} ({count})"


def adaptation(made: TransferMaterial) -> dict[str, Any] | None:
    """Return what an adaptation used and changed, by class; None without one, or if it kept the model."""
    if made.changed is None:
        return None
    w, language, change = words_of(made.language), made.language, made.changed.change
    rows = [
        {
            "name": name, "color": made.changed.legend.colors[k],
            "rounds": [whole(one.predicted[k], language) for one in change.rounds],
            "labelled": whole(change.rounds[-1].labelled[k], language),
            "shares": [percent(one.share[k], language) for one in (change.before, change.after)],
            "confidences": [percent(one.confidence[k], language) for one in (change.before, change.after)],
        }
        for k, name in enumerate(made.changed.legend.names)
    ]  # fmt: skip
    rounds = [w["t_round"].format(number=k + 1) for k in range(len(change.rounds))]
    return {"rows": rows, "rounds": rounds, "about": w["t_adapted_about"].format(n=whole(change.pixels, language))}
