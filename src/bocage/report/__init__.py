"""Score + map → the page a person reads: one HTML file that opens without a network."""

import json
import os
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from bocage.evaluation import Score, spread_of
from bocage.mapping import LandCoverMap
from bocage.report.figures import (
    confidence_picture,
    confusion_picture,
    curves_picture,
    map_picture,
    reliability_picture,
    waiting_share,
)
from bocage.samples import Samples
from bocage.scene import Scene

TITLES = {
    "overall_accuracy": "overall accuracy",
    "f1_weighted": "F-measure, weighted by class",
    "f1_macro": "F-measure, mean of classes",
    "kappa": "kappa",
    "iou_macro": "intersection over union, mean of classes",
    "quantity_disagreement": "quantity disagreement",
    "allocation_disagreement": "allocation disagreement",
}


def write_report(
    folder: Path,
    scene: Scene,
    samples: Samples,
    land: LandCoverMap | None,
    score: Score,
    truth: Score | None,
    mapped: int,
    provenance: dict[str, Any],
) -> Path:
    """Write ``report.html`` in the run's folder and return its path; `mapped` is the draw whose model made the map."""
    picture, shares = map_picture(land.files["classes"], land.legend) if land else (None, {})
    draws = len(score.matrices)
    model = str(provenance.get("model", ""))
    curves = [folder / f"splits/{k}/curves.csv" for k in range(draws)]
    context = {
        "name": provenance["name"],
        "subject": f"{len(scene.ids)} series of a table" if scene.ids else f"Land-cover map of {scene.grid}",
        "model": model,
        "started": provenance["started"][:16].replace("T", " "),
        "headline": _headline(score),
        "truth": _headline(truth) if truth else None,
        "how": _how(score, draws, mapped),
        "notes": [*scene.notes, *samples.notes],
        "map": picture,
        "map_file": "map/" + land.files["classes"].name if land else "",
        "confidence": confidence_picture(land.files["confidence"]) if land and "confidence" in land.files else None,
        "classes": _classes(score, samples, shares),
        "confusion": confusion_picture(score.matrix),
        "curves": curves_picture(curves),
        "waiting": waiting_share(curves),
        "calibration": _calibration(folder, draws),
        "rejections": samples.rejections,
        "costs": _costs(provenance["stages"], _plan(folder)),
        "planned": _plan(folder) is not None,
        "versions": list(provenance["versions"].items()),
        "recipe": (folder / "recipe.toml").read_text(encoding="utf-8"),
        "inputs": sorted(provenance["inputs"].items()),
    }
    page = resources.files("bocage.report").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    path = folder / "report.html"
    partial = folder / ".report.html.part"
    partial.write_text(environment.from_string(page).render(context), encoding="utf-8")
    os.replace(partial, path)
    return path


def _headline(score: Score) -> list[tuple[str, str]]:
    return [(TITLES.get(metric, metric), _spread(score.values(metric))) for metric in score.metrics]


def _how(score: Score, draws: int, mapped: int) -> str:
    if score.design.get("fold") is not None:
        return (
            f"Each of {draws} folds ({score.design['stratified_by']}) was tested once by a model trained on the others; mean ± "
            "standard deviation over the folds."
        )
    share = round(100 * float(score.design["test_share"]))
    spread = f"mean ± standard deviation over {draws} draws" if draws > 1 else "one draw, so no spread is known"
    return (
        f"Measured on the pixels of test polygons ({share} % of the polygons of each class), none of which was used to "
        f"train or to decide when to stop; {spread}. The map was made by the model of draw {mapped + 1}."
    )


def _calibration(folder: Path, draws: int) -> dict[str, str] | None:
    """Picture and words on the calibration of all draws; None where no model was calibrated."""
    told = [json.loads((folder / f"splits/{k}/model/trained.json").read_text())["calibration"] for k in range(draws)]
    fitted = [one for one in told if one.get("samples")]
    if not fitted:
        return None
    before, after = (sum(one[which]["error"] for one in fitted) / len(fitted) for which in ("before", "after"))
    temperatures = [one["temperature"] for one in fitted]
    low, high = min(temperatures), max(temperatures)
    span = f"{low:.2f}" if len(fitted) == 1 else f"{low:.2f} to {high:.2f}"
    return {
        "picture": reliability_picture(fitted),
        "words": f"Confidences are divided by a temperature ({span}) fitted on validation polygons: the expected calibration "
        f"error goes from {before:.3f} to {after:.3f} there. Points near the diagonal say what they mean; their size is their "
        "share of the pixels.",
    }


def _spread(values: Any) -> str:
    mean, std = spread_of(values)
    if mean is None:
        return "–"
    return f"{mean:.3f}" + (f" ± {std:.3f}" if std is not None else "")


def _classes(score: Score, samples: Samples, shares: dict[str, float]) -> list[dict[str, Any]]:
    tables = {m: score.per_class(m) for m in ("f1", "producers_accuracy", "users_accuracy")}
    return [
        {
            "code": samples.legend.codes[k],
            "name": name,
            "color": samples.legend.colors[k],
            "share": f"{100 * shares.get(name, 0):.1f} %",
            "polygons": samples.count_polygons(k),
            "pixels": int((samples.label == k).sum()),
            **{measure: _spread(table[:, k]) for measure, table in tables.items()},
        }
        for k, name in enumerate(score.names)
    ]


def _costs(stages: dict[str, Any], plan: dict[str, Any] | None) -> list[tuple[str, str, str]]:
    """Stage, what it took and what ``bocage plan`` had told; the draws of one stage added up, memory at the end."""
    took: dict[str, float] = {}
    for name, record in stages.items():
        stage = name.partition("/")[0]
        took[stage] = took.get(stage, 0.0) + record["seconds"]
    told = {one["stage"]: one for one in plan["stages"]} if plan else {}
    rows = [(stage, f"{seconds:.1f} s", _told(told.get(stage))) for stage, seconds in took.items()]
    peak = max((record.get("memory", 0) for record in stages.values()), default=0)
    if peak:
        rows.append(("memory at most", f"{peak / 1e9:.2f} GB", f"{plan['memory'] / 1e9:.2f} GB" if plan else ""))
    return rows


def _told(one: dict[str, Any] | None) -> str:
    return f"{one['seconds']:.1f} s ({one['low']:.1f} to {one['high']:.1f})" if one else ""


def _plan(folder: Path) -> dict[str, Any] | None:
    """What ``bocage plan`` wrote in the run's folder, if it did."""
    try:
        plan: dict[str, Any] = json.loads((folder / "plan.json").read_text())
    except (OSError, ValueError):
        return None
    return plan


__all__ = ["write_report"]
