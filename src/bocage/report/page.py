"""The report of a run: ``report.html`` and, with every number in it, ``report.json``."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import BocageError
from bocage.evaluation import Adjusted, Predictions, Score, spread_of
from bocage.evaluation.trust import COVERAGES, NEAR
from bocage.mapping import LandCoverMap
from bocage.report import examples, figures
from bocage.report.imagery import best_source, composite, reduced
from bocage.report.palette import alike
from bocage.report.render import number, render, spread, words_of
from bocage.report.settings import Reporting
from bocage.samples import Draw, Samples
from bocage.scene import Scene
from bocage.training import Importance


@dataclass(frozen=True)
class Material:
    """What a run has made, for its report."""

    folder: Path
    scene: Scene
    samples: Samples
    score: Score
    draw: Draw
    """The draw whose model made the map."""
    mapped: int
    """Its number, from 0."""
    tested: Predictions
    """What that model said of its test pixels."""
    provenance: Mapping[str, Any]
    settings: Reporting = field(default_factory=Reporting)
    land: LandCoverMap | None = None
    counts: NDArray[np.int64] | None = None
    """Map pixels of every class."""
    truth: Score | None = None
    area: Adjusted | None = None
    sample: tuple[str, Adjusted] | None = None
    """File of a labelled validation sample, and what it says."""
    importance: Importance | None = None

    @property
    def hectares(self) -> float:
        """Of the mapped area, no data left out."""
        height, width = self.scene.grid.metres
        return float(self.counts.sum()) * height * width / 1e4 if self.counts is not None else 0.0


def write_report(made: Material) -> Path:
    """Write ``report.html`` and ``report.json`` in the run's folder, and return the page's path."""
    language = made.settings.language
    w = words_of(language)
    draws = len(made.score.matrices)
    curves = [made.folder / f"splits/{k}/curves.csv" for k in range(draws)]
    sentences = summary(made)
    provenance = made.provenance
    context = {
        "name": provenance["name"],
        "subject": _subject(made),
        "model": str(provenance.get("model", "")),
        "started": provenance["started"][:16].replace("T", " "),
        "sentences": sentences,
        "headline": _headline(made.score, language),
        "truth": _headline(made.truth, language) if made.truth else None,
        "how": _how(made),
        "notes": [*made.scene.notes, *made.samples.notes],
        "palette": _palette_warnings(made),
        "map": _map(made),
        "classes": _classes(made),
        "matrix": _matrix(made),
        "pairs": examples.worst(made),
        "side": number(examples.SIDE * made.scene.grid.metres[0], language, 0),
        "split": _split(made),
        "leak": _leak(made),
        "curves": figures.curves_picture(curves, w),
        "waiting": _percent(figures.waiting_share(curves), language),
        "confidence": _confidence(made),
        "area": _area(made.area, made, ""),
        "sample": _area(made.sample[1], made, made.sample[0]) if made.sample else None,
        "importance": _importance(made),
        "rejections": [
            {**asdict(r), "reason": w.get(f"reason: {r.reason}", r.reason)} for r in made.samples.rejections
        ],
        "costs": _costs(made),
        "planned": _plan(made.folder) is not None,
        "versions": list(provenance["versions"].items()),
        "recipe": (made.folder / "recipe.toml").read_text(encoding="utf-8"),
        "inputs": sorted(provenance["inputs"].items()),
    }
    _write_json(made, sentences)
    return render("page.html", language, made.folder / "report.html", context)


def _write_json(made: Material, sentences: list[str]) -> None:
    plan = _plan(made.folder)
    said = {
        "name": made.provenance["name"],
        "model": made.provenance.get("model"),
        "summary": sentences,
        "score": made.score.as_dict(),
        "truth": made.truth.as_dict() if made.truth else None,
        "mapped_pixels": None
        if made.counts is None
        else dict(zip(made.samples.legend.names, made.counts.tolist(), strict=True)),
        "mapped_hectares": made.hectares or None,
        "area": made.area.as_dict() if made.area else None,
        "sample": {"file": made.sample[0], **made.sample[1].as_dict()} if made.sample else None,
        "importance": asdict(made.importance) if made.importance else None,
        "split": {f"{part}_pixels": len(getattr(made.draw, part)) for part in ("train", "validation", "test")}
        | {"left_out": made.draw.left_out},
        "rejections": [asdict(r) for r in made.samples.rejections],
        "notes": [*made.scene.notes, *made.samples.notes],
        "palette": [asdict(pair) for pair in alike(made.samples.legend.names, made.samples.legend.colors)],
        "stages": made.provenance["stages"],
        "plan": plan,
        "versions": dict(made.provenance["versions"]),
        "inputs": dict(made.provenance["inputs"]),
    }  # fmt: skip
    path = made.folder / "report.json"
    partial = path.with_name(".report.json.part")
    partial.write_text(json.dumps(said, indent=1, ensure_ascii=False), encoding="utf-8")
    os.replace(partial, path)


def summary(made: Material) -> list[str]:
    """Five sentences made from the numbers: what, how right, on which classes, how sure, and whether to believe it."""
    language = made.settings.language
    w = words_of(language)
    return [
        _what(made, w),
        _how_right(made, w),
        _which_classes(made, w),
        _how_sure(made, w),
        _whether_believed(made, w),
    ]


def _what(made: Material, w: Mapping[str, str]) -> str:
    language = made.settings.language
    model, sources = str(made.provenance.get("model", "")), ", ".join(made.samples.cuts)
    if made.land is None:
        n = len(made.scene.ids or ())
        return w["s_table"].format(model=model, classes=len(made.samples.legend.classes), n=n, sources=sources)
    told = {"classes": len(made.samples.legend.classes), "area": number(made.hectares / 100, language, 2)}
    return w["s_map"].format(model=model, sources=sources, **told, **_size(made))


def _how_right(made: Material, w: Mapping[str, str]) -> str:
    language = made.settings.language
    accuracy, deviation = spread_of(made.score.values("overall_accuracy"))
    kappa = spread_of(made.score.values("kappa"))[0]
    units = w["units_fold"] if made.score.design.get("fold") is not None else w[f"units_{made.score.design['drawn']}"]
    told = {"units": units, "oa": _percent(accuracy, language), "kappa": number(kappa, language, 2)}
    if deviation is None:
        return w["s_accuracy_one"].format(**told)
    return w["s_accuracy"].format(draws=len(made.score.matrices), std=_percent(deviation, language), **told)


def _which_classes(made: Material, w: Mapping[str, str]) -> str:
    language, names = made.settings.language, made.score.names
    values = [spread_of(column)[0] for column in made.score.per_class("f1").T]
    known = [k for k, value in enumerate(values) if value is not None]
    best, worst = max(known, key=lambda k: values[k] or 0), min(known, key=lambda k: values[k] or 0)
    told = {
        "best": names[best],
        "best_f": number(values[best], language, 2),
        "worst": names[worst],
        "worst_f": number(values[worst], language, 2),
    }
    wrong = made.score.matrix.counts - np.diag(made.score.matrix.right)
    if not wrong.any():
        return w["s_classes_perfect"].format(**told)
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return w["s_classes"].format(reference=names[int(row)], mapped=names[int(column)], **told)


def _how_sure(made: Material, w: Mapping[str, str]) -> str:
    """Mean confidence, accuracy, and accuracy of the most confident 80 %, each averaged over the draws."""
    language, trust = made.settings.language, made.score.trust
    claimed = float(np.mean([np.dot(one.after.confidence, one.after.share) for one in trust]))
    right, kept = (float(np.mean([one.accuracy_at[k] for one in trust])) for k in (-1, COVERAGES.index(0.8)))
    told = {"claimed": claimed, "right": right, "kept": kept}
    return w["s_confidence"].format(**{key: _percent(value, language) for key, value in told.items()})


def _whether_believed(made: Material, w: Mapping[str, str]) -> str:
    probe = _probe(made)
    if probe is None:
        return w["s_no_probe"]
    key = "s_leak" if probe[0] >= probe[1] - NEAR else "s_no_leak"
    return w[key].format(probe=_percent(probe[0], made.settings.language))


def _probe(made: Material) -> tuple[float, float] | None:
    """Mean accuracy of the nearest neighbour, and of the model, over the draws; None without coordinates."""
    known = [(one.neighbour, one.accuracy_at[-1]) for one in made.score.trust if one.neighbour is not None]
    if not known:
        return None
    return float(np.mean([a for a, _ in known])), float(np.mean([b for _, b in known]))


def _percent(value: float | None, language: str) -> str | None:
    return None if value is None else number(100 * value, language, 1)


def _subject(made: Material) -> str:
    w = words_of(made.settings.language)
    if made.scene.ids is not None:
        return w["report_table"].format(n=len(made.scene.ids))
    return w["report_map"].format(crs=made.scene.grid.crs_name, **_size(made))


def _size(made: Material) -> dict[str, Any]:
    """Rows, columns and pixel size of the map, in words."""
    grid, language = made.scene.grid, made.settings.language
    gsd = number(grid.metres[0], language, 2).rstrip("0").rstrip(".,")
    return {"height": grid.shape[0], "width": grid.shape[1], "gsd": gsd}


def _headline(score: Score, language: str) -> list[tuple[str, str]]:
    w = words_of(language)
    return [(w.get(f"metric_{m}", m), spread(*spread_of(score.values(m)), language)) for m in score.metrics]


def _how(made: Material) -> str:
    w, design, draws = words_of(made.settings.language), made.score.design, len(made.score.matrices)
    if design.get("fold") is not None:
        return w["how_folds"].format(draws=draws, by=design["stratified_by"])
    scatter = w["spread_draws"].format(draws=draws) if draws > 1 else w["spread_one"]
    share = round(100 * float(design["test_share"]))
    block = number(design.get("block"), made.settings.language, 0)
    text = w[f"how_{design['drawn']}"].format(share=share, spread=scatter, mapped=made.mapped + 1, block=block)
    if design.get("buffer"):
        text += " " + w["how_buffer"].format(buffer=number(design["buffer"], made.settings.language, 0))
    return text


def _palette_warnings(made: Material) -> list[str]:
    w, legend = words_of(made.settings.language), made.samples.legend
    by_vision: dict[str, list[str]] = {}
    for pair in alike(legend.names, legend.colors):
        by_vision.setdefault(pair.vision, []).append(f"{pair.first} – {pair.second}")
    return [
        w["palette_warning"].format(how=w[f"vision_{vision}"], pairs=", ".join(pairs))
        for vision, pairs in by_vision.items()
    ]


def _map(made: Material) -> dict[str, Any] | None:
    """The map, the imagery to lay it on, and the confidence."""
    if made.land is None:
        return None
    found: dict[str, Any] = {
        "picture": figures.map_picture(made.land.files["classes"], made.land.legend),
        "file": f"map/{made.land.files['classes'].name}",
        "imagery": None,
        "confidence": None,
        "novelty": None,
        "source": "",
        "bands": "",
    }
    if "confidence" in made.land.files:
        found["confidence"] = figures.confidence_picture(made.land.files["confidence"])
    if "novelty" in made.land.files:
        picture, beyond = figures.novelty_picture(made.land.files["novelty"])
        found["novelty"], found["beyond"] = picture, _percent(beyond, made.settings.language)
    name = best_source(made.scene)
    try:
        shown, bands = composite(made.scene.cubes[name].source, reduced(made.scene.grid, figures.LONGEST // 2))
    except BocageError:  # the map is there, and the imagery has been moved since: the report goes without it
        return found
    return found | {"imagery": figures.image(shown), "source": name, "bands": ", ".join(bands)}


def _classes(made: Material) -> list[dict[str, Any]]:
    language, samples = made.settings.language, made.samples
    tables = {
        m: made.score.per_class(m) for m in ("f1", "producers_accuracy", "users_accuracy", "intersection_over_union")
    }
    total = max(1, int(made.counts.sum())) if made.counts is not None else 1
    return [
        {
            "code": samples.legend.codes[k],
            "name": name,
            "color": samples.legend.colors[k],
            "share": "" if made.counts is None else f"{_percent(float(made.counts[k] / total), language)} %",
            "polygons": samples.count_polygons(k),
            "pixels": int((samples.label == k).sum()),
            **{measure: spread(*spread_of(table[:, k]), language) for measure, table in tables.items()},
        }
        for k, name in enumerate(made.score.names)
    ]


def _matrix(made: Material) -> dict[str, Any]:
    """The confusion matrix with its margins."""
    language, matrix = made.settings.language, made.score.matrix
    share = matrix.counts / np.maximum(matrix.of_reference, 1)[:, None]
    right = matrix.right

    def ratio(k: int, of: NDArray[np.int64]) -> str:
        return f"{_percent(right[k] / of[k], language)} %" if of[k] else "–"

    hit = np.eye(len(matrix.names), dtype=bool)
    rows = [
        {
            "name": name,
            "cells": list(zip(matrix.counts[i].tolist(), share[i].tolist(), hit[i].tolist(), strict=True)),
            "total": int(matrix.of_reference[i]),
            "producers": ratio(i, matrix.of_reference),
        }
        for i, name in enumerate(matrix.names)
    ]
    k = range(len(matrix.names))
    return {
        "rows": rows,
        "names": matrix.names,
        "totals": matrix.of_map.tolist(),
        "users": [ratio(i, matrix.of_map) for i in k],
        "total": matrix.total,
        "right": f"{_percent(float(right.sum() / max(1, matrix.total)), language)} %",
    }


def _split(made: Material) -> dict[str, Any] | None:
    """Where the draw that made the map trained, validated and tested."""
    samples, w = made.samples, words_of(made.settings.language)
    if samples.place is None or not made.score.trust:
        return None
    parts = {}
    for part in ("train", "validation", "test"):
        members = getattr(made.draw, part)
        _, which = np.unique(samples.polygon[members], return_inverse=True)
        count = np.maximum(np.bincount(which), 1)
        middle = np.stack([np.bincount(which, samples.place[members, k]) / count for k in (0, 1)], 1)
        if len(members):
            parts[part] = middle
    trust = made.score.trust[made.mapped]
    unit = w["units_fold"] if made.score.design.get("fold") else w.get(f"units_{made.score.design['drawn']}", "")
    if made.score.design["drawn"] == "pixel":
        unit = w["pixels"]
    words = w["split_about"].format(draw=made.mapped + 1, train=trust.train_units, test=trust.test_units, unit=unit)
    picture = figures.split_picture(parts, w, w["alt_split"].format(draw=made.mapped + 1))
    return {"picture": picture, "words": words}


def _leak(made: Material) -> tuple[str, bool]:
    """What the leakage probe says, and whether it is an alarm."""
    language, probe = made.settings.language, _probe(made)
    w = words_of(language)
    if probe is None:
        return w["leak_unknown"], False
    fires = probe[0] >= probe[1] - NEAR
    told = {"probe": _percent(probe[0], language), "model": _percent(probe[1], language), "near": round(100 * NEAR)}
    return w["leak_alarm" if fires else "leak_silent"].format(**told), fires


def _confidence(made: Material) -> dict[str, str] | None:
    trust, language = made.score.trust, made.settings.language
    if not trust:
        return None
    w = words_of(language)
    before, after = (float(np.mean([getattr(one, which).error for one in trust])) for which in ("before", "after"))
    words = w["reliability_about"].format(before=number(before, language), after=number(after, language))
    temperatures = _temperatures(made)
    if temperatures:
        low, high = (number(v, language, 2) for v in (min(temperatures), max(temperatures)))
        words = w["temperature_about"].format(span=low if low == high else f"{low} – {high}") + " " + words
    return {
        "reliability": figures.reliability_picture(trust, w),
        "coverage": figures.coverage_picture(trust, w),
        "words": words,
    }


def _temperatures(made: Material) -> list[float]:
    """Of the draws that were calibrated."""
    paths = (made.folder / f"splits/{k}/model/trained.json" for k in range(len(made.score.matrices)))
    told = [json.loads(path.read_text())["calibration"] for path in paths]
    return [one["temperature"] for one in told if one.get("samples")]


def _area(found: Adjusted | None, made: Material, file: str) -> dict[str, Any] | None:
    """Areas in hectares with their intervals."""
    if found is None:
        return None
    language, total = made.settings.language, made.hectares
    w = words_of(language)
    rows = []
    colors = dict(zip(made.samples.legend.names, made.samples.legend.colors, strict=True))
    for k, name in enumerate(found.names):
        area = found.area[k].times(total)
        rows.append(
            {
                "name": name,
                "color": colors.get(name, "transparent"),
                "mapped": number(found.mapped[k] * total, language, 1),
                "estimated": number(area.value, language, 1),
                "interval": f"{number(area.low, language, 1)} – {number(area.high, language, 1)}",
                "users": _estimated(found.users[k], language),
                "producers": _estimated(found.producers[k], language),
            }
        )
    overall = w["area_overall"].format(
        value=number(found.overall.value, language),
        low=number(found.overall.low, language),
        high=number(found.overall.high, language),
    )
    about = w["area_sample_about"].format(file=file, n=found.units) if file else w["area_about"]
    return {"rows": rows, "overall": overall, "about": about}


def _estimated(estimate: Any, language: str) -> str:
    if estimate.value != estimate.value:
        return "–"
    return f"{number(estimate.value, language, 2)} ({number(estimate.low, language, 2)} – {number(estimate.high, language, 2)})"


def _importance(made: Material) -> dict[str, Any] | None:
    found, language = made.importance, made.settings.language
    if found is None:
        return None
    w = words_of(language)
    rows = sorted(found.by_source.items(), key=lambda pair: -pair[1])
    by_date = {name: (found.days[name], lost) for name, lost in found.by_date.items()}
    return {
        "about": w["importance_about"].format(n=found.samples),
        "rows": [(name, number(100 * lost, language, 1)) for name, lost in rows],
        "picture": figures.importance_picture(by_date, w) if by_date else None,
        "sources": list(found.by_class),
        "classes": _lost_by_class(found, made.samples.legend.names, language),
        "attention": [
            figures.attention_picture(name, found.days[name], weights, made.samples.legend.names, w)
            for name, weights in found.attention.items()
        ],
    }


def _lost_by_class(found: Importance, names: Sequence[str], language: str) -> list[tuple[str, list[str]]]:
    """Class, and the points of its samples that are lost without each source."""
    return [
        (name, ["–" if (lost := by[k]) is None else number(100 * lost, language, 1) for by in found.by_class.values()])
        for k, name in enumerate(names if found.by_class else ())
    ]


def _costs(made: Material) -> list[tuple[str, str, str]]:
    """Stage, what it took and what ``bocage plan`` had told; the draws of one stage added up, memory at the end."""
    stages, plan, language = made.provenance["stages"], _plan(made.folder), made.settings.language
    took: dict[str, float] = {}
    for name, record in stages.items():
        stage = name.partition("/")[0]
        took[stage] = took.get(stage, 0.0) + record["seconds"]
    told = {one["stage"]: one for one in plan["stages"]} if plan else {}
    rows = [
        (stage, f"{number(seconds, language, 1)} s", _told(told.get(stage), language))
        for stage, seconds in took.items()
    ]
    peak = max((record.get("memory", 0) for record in stages.values()), default=0)
    if peak:
        planned = f"{number(plan['memory'] / 1e9, language, 2)} GB" if plan else ""
        rows.append((words_of(language)["memory_at_most"], f"{number(peak / 1e9, language, 2)} GB", planned))
    return rows


def _told(one: dict[str, Any] | None, language: str) -> str:
    if not one:
        return ""
    seconds, low, high = (number(one[key], language, 1) for key in ("seconds", "low", "high"))
    return f"{seconds} s ({low} – {high})"


def _plan(folder: Path) -> dict[str, Any] | None:
    """What ``bocage plan`` wrote in the run's folder, if it did."""
    try:
        plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError):
        return None
    return plan
