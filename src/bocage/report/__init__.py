"""Score + map → the page a person reads: one HTML file that opens without a network."""

import os
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2

from bocage.evaluation import Score
from bocage.mapping import LandCoverMap
from bocage.report.figures import confidence_picture, confusion_picture, curves_picture, map_picture
from bocage.samples import Samples
from bocage.scene import Scene

TITLES = {
    "overall_accuracy": "overall accuracy",
    "f1_weighted": "F-measure, weighted by class",
    "f1_macro": "F-measure, mean of classes",
    "kappa": "kappa",
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
        "curves": curves_picture([folder / f"splits/{k}/curves.csv" for k in range(draws)]),
        "rejections": samples.rejections,
        "seconds": _stage_seconds(provenance["stages"]),
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


def _spread(values: Any) -> str:
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}" if len(values) > 1 else f"{values.mean():.3f}"


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


def _stage_seconds(stages: dict[str, Any]) -> list[tuple[str, str]]:
    """Seconds per stage, the draws of one stage added up."""
    total: dict[str, float] = {}
    for name, record in stages.items():
        total[name.partition("/")[0]] = total.get(name.partition("/")[0], 0.0) + record["seconds"]
    return [(name, f"{seconds:.1f} s") for name, seconds in total.items()]


__all__ = ["write_report"]
