"""Summary of a run: five statements computed from its results."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bocage.evaluation import Score, spread_of
from bocage.evaluation.trust import COVERAGES, NEAR
from bocage.grid import Grid
from bocage.report.material import Material
from bocage.report.sections.split import probe_of
from bocage.samples import Split
from bocage.words import number, spread, whole, words_of


def summary(made: Material) -> list[str]:
    """Return five statements: subject, accuracy, best and weakest class, confidence, and spatial leakage.

    Without a test part, the second and last one says that nothing was tested.
    """
    w = words_of(made.language)
    if not made.score.tests:
        return [_overview(made, w), w["s_untested"]]
    return [
        _overview(made, w),
        _accuracy(made, w),
        _classes(made, w),
        _confidence(made, w),
        _leakage(made, w),
    ]


def _overview(made: Material, w: Mapping[str, str]) -> str:
    language = made.language
    model, sources = model_name(made), ", ".join(made.samples.cuts)
    if made.land is None or made.areas is None:
        n = whole(len(made.scene.ids or ()), language)
        return w["s_table"].format(model=model, classes=len(made.samples.legend.classes), n=n, sources=sources)
    values = {"classes": len(made.samples.legend.classes), "area": number(made.areas.total / 100, language, 2)}
    return w["s_map"].format(model=model, sources=sources, **values, **size(made.scene.grid, language))


def _accuracy(made: Material, w: Mapping[str, str]) -> str:
    language = made.language
    accuracy, deviation = spread_of(made.score.values("overall_accuracy"))
    kappa = spread_of(made.score.values("kappa"))[0]
    units = w["units_fold"] if made.score.design.get("folds") else w[f"units_{made.score.design['drawn']}"]
    values = {"units": units, "oa": made.percent(accuracy), "kappa": number(kappa, language, 2)}
    if deviation is None:
        return w["s_accuracy_one"].format(**values)
    return w["s_accuracy"].format(draws=made.draws, std=made.percent(deviation), **values)


def _classes(made: Material, w: Mapping[str, str]) -> str:
    language, names = made.language, made.score.names
    scores = [spread_of(column)[0] for column in made.score.per_class("f1").T]
    known = [k for k, score in enumerate(scores) if score is not None]
    best, worst = max(known, key=lambda k: scores[k] or 0), min(known, key=lambda k: scores[k] or 0)
    values = {
        "best": names[best],
        "best_f": number(scores[best], language, 2),
        "worst": names[worst],
        "worst_f": number(scores[worst], language, 2),
    }
    wrong = made.score.matrix.counts - np.diag(made.score.matrix.right)
    if not wrong.any():
        return w["s_classes_perfect"].format(**values)
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return w["s_classes"].format(reference=names[int(row)], mapped=names[int(column)], **values)


def _confidence(made: Material, w: Mapping[str, str]) -> str:
    """Return mean confidence, accuracy, and accuracy of the most confident 80 % of the pixels, as means of the draws."""
    trust = made.score.trust
    claimed = float(np.mean([np.dot(draw.after.confidence, draw.after.share) for draw in trust]))
    right, kept = (float(np.mean([draw.accuracy_at[k] for draw in trust])) for k in (-1, COVERAGES.index(0.8)))
    values = {"claimed": claimed, "right": right, "kept": kept}
    return w["s_confidence"].format(**{key: made.percent(value) for key, value in values.items()})


def _leakage(made: Material, w: Mapping[str, str]) -> str:
    probe = probe_of(made)
    if probe is None:
        return w["s_no_probe"]
    key = "s_leak" if probe[0] >= probe[1] - NEAR else "s_no_leak"
    return w[key].format(probe=made.percent(probe[0]))


def size(grid: Grid, language: str) -> dict[str, Any]:
    """Return rows, columns and pixel size (metres) of the map, formatted for a sentence."""
    gsd = number(grid.metres[0], language, 2).rstrip("0").rstrip(".,")
    return {"height": whole(grid.shape[0], language), "width": whole(grid.shape[1], language), "gsd": gsd}


def model_name(made: Material) -> str:
    """Return the name of the model; for a mixture, the number of its members and their names."""
    provenance = made.provenance
    if provenance.networks == 1:
        return provenance.model
    return words_of(made.language)["mean_of_models"].format(n=provenance.networks, members=provenance.model)


def subject(made: Material) -> str:
    """Return the subject of the report: a map, or the time series of a table."""
    w = words_of(made.language)
    if made.scene.ids is not None:
        return w["report_table"].format(n=whole(len(made.scene.ids), made.language))
    return w["report_map"].format(crs=made.scene.grid.crs_name, **size(made.scene.grid, made.language))


def headline(score: Score, language: str) -> list[tuple[str, str]]:
    """Return the name and value of each metric of a score; empty if nothing was tested."""
    w = words_of(language)
    if not score.tests:
        return []
    return [(w.get(f"metric_{m}", m), spread(*spread_of(score.values(m)), language)) for m in score.metrics]


def how(score: Score, split: Split, mapped: int, language: str) -> str:
    """Return a description of how the accuracy was measured; empty if it was not. `mapped` is the draw that made the map."""
    w, design, draws = words_of(language), score.design, len(score.matrices)
    if not score.tests:
        return ""
    if split.site:
        return w["how_sites"].format(draws=draws)
    if fixed := design.get("fixed"):
        train, test = (", ".join(fixed[part]) for part in ("train", "test"))
        return w["how_fixed"].format(field=fixed["field"], train=train, test=test)
    if design.get("folds"):
        return w["how_folds"].format(draws=draws, by=_fold_field(split, w))
    scatter = w["spread_draws"].format(draws=draws) if draws > 1 else w["spread_one"]
    share = round(100 * float(design["test_share"]))
    block = number(design.get("block"), language, 0)
    text = w[f"how_{design['drawn']}"].format(share=share, spread=scatter, mapped=mapped + 1, block=block)
    if design.get("buffer"):
        text += " " + w["how_buffer"].format(buffer=number(design["buffer"], language, 0))
    return text


def untested(made: Material) -> str:
    """Return the warning that the accuracy is not known, and what to do; empty if the model was tested."""
    if made.score.tests:
        return ""
    key = (
        "untested_table"
        if made.scene.ids is not None
        else "untested_sampled"
        if made.estimates.sample
        else "untested_map"
    )
    return words_of(made.language)[key]


def _fold_field(split: Split, w: Mapping[str, str]) -> str:
    """Return a description of how the folds were formed."""
    return w["folds_field"].format(field=split.fold) if split.fold else w["folds_dealt"]
