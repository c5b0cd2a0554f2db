"""Report of a run: ``report.html``, and ``report.json`` with all numbers."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bocage.disk import write_json
from bocage.evaluation import Adjusted, Corrected
from bocage.report import examples, figures
from bocage.report.material import Material
from bocage.report.palette import alike
from bocage.report.render import render
from bocage.report.sections import (
    accuracy,
    area,
    confidence,
    costs,
    importance,
    land_cover,
    levels,
    season,
    sets,
    split,
    summary,
)
from bocage.report.sections.parts import parts
from bocage.samples import Rejection
from bocage.words import number, whole, words_of


def write_report(made: Material) -> Path:
    """Write ``report.html`` and ``report.json`` in the folder of the run; return the path of the page."""
    context = {**_opening(made), **_results(made), **_background(made)}
    write_json(made.layout.report_numbers, _numbers(made))
    return render("page.html", made.language, made.layout.report, context)


def _opening(made: Material) -> dict[str, Any]:
    """Return the context of the part above the map."""
    return {
        "name": made.provenance.name,
        "subject": summary.subject(made),
        "model": summary.model_name(made),
        "started": made.provenance.started[:16].replace("T", " "),
        "sentences": summary.summary(made),
        "untested": summary.untested(made),
        "headline": summary.headline(made.score, made.language),
        "truth": summary.headline(made.truth, made.language) if made.truth else None,
        "how": summary.how(made.score, made.samples.split, made.mapped, made.language),
        "notes": [
            *(note.text(made.language) for note in made.notes),
            *land_cover.palette_warnings(made.samples.legend, made.language),
        ],
        "leak": split.leak(made),
    }


def _results(made: Material) -> dict[str, Any]:
    estimates = made.estimates
    return {
        "map": land_cover.picture(made),
        "classes": accuracy.classes(made),
        "parts": parts("region", made.by_region, made.score, made.samples, made.language) if made.by_region else None,
        "matrix": accuracy.matrix(made.score.matrix, made.language),
        "levels": levels.levels(made),
        "pairs": examples.worst(made),
        "side": number(examples.SIDE * made.scene.grid.metres[0], made.language, 0),
        "confidence": confidence.confidence(made.score, made.layout, made.language),
        "sets": sets.sets(made.promised, made.samples.legend, made.language, made.until) if made.promised else None,
        "area": area.area(estimates.area, made.areas, made.language, unit=made.samples.split.unit)
        if isinstance(estimates.area, Adjusted)
        else None,
        "corrected": area.by_model(estimates.area, made.areas, made.language)
        if made.areas and isinstance(estimates.area, Corrected)
        else None,
        "sample": area.area(estimates.sample, made.areas, made.language, estimates.file),
        "unadjusted": area.unadjusted(made),
        "season": season.season(made),
        "importance": importance.importance(made),
    }


def _background(made: Material) -> dict[str, Any]:
    curves = [path for k in range(made.draws) for path in made.layout.split(k).all_curves]
    return {
        "split": split.split(made),
        "curves": figures.curves_picture(curves, words_of(made.language)),
        "waiting": made.percent(figures.waiting_share(curves)),
        "rejections": [rejected(r, made.language) for r in made.samples.rejections],
        "costs": costs.costs(made),
        "planned": made.plan is not None,
        "versions": list(made.provenance.versions.items()),
        "recipe": made.layout.recipe.read_text(encoding="utf-8"),
        "inputs": sorted(made.provenance.inputs.items()),
    }


def rejected(rejection: Rejection, language: str) -> dict[str, str]:
    """Return a row of the table of rejections."""
    return {
        "reason": rejection.text(language),
        "label": rejection.label,
        "polygons": whole(rejection.polygons, language),
        "pixels": whole(rejection.pixels, language) if rejection.pixels else "–",
    }


def _numbers(made: Material) -> Mapping[str, Any]:
    """Return the content of ``report.json``; all its texts are English, whatever the language of the page."""
    english = replace(made, settings=replace(made.settings, language="en"))
    legend, estimates, areas = made.samples.legend, made.estimates, made.areas
    return {
        "name": made.provenance.name,
        "model": made.provenance.model,
        "summary": summary.summary(english),
        "untested": summary.untested(english) or None,
        "score": made.score.as_dict(),
        "regions": {region: score.as_dict() for region, score in made.by_region.items()} or None,
        "truth": made.truth.as_dict() if made.truth else None,
        "mapped_pixels": dict(zip(legend.names, areas.pixels.tolist(), strict=True)) if areas else None,
        "mapped_hectares": areas.total if areas else None,
        "areas_are_adjusted": bool(estimates.area or estimates.sample),
        "area": estimates.area.as_dict() if isinstance(estimates.area, Adjusted) else None,
        "area_model": estimates.area.as_dict() if isinstance(estimates.area, Corrected) else None,
        "sample": {"file": estimates.file, **estimates.sample.as_dict()} if estimates.sample else None,
        "confidence": confidence.answer(made.score.trust) if made.score.trust else None,
        "season": made.season.as_dict() if made.season else None,
        "sets": made.promised.as_dict(legend.names) if made.promised else None,
        "importance": asdict(made.importance) if made.importance else None,
        "split": {f"{part}_pixels": len(members) for part, members in made.draw.parts.items()}
        | {"left_out": made.draw.left_out},
        "rejections": [{**asdict(r), "text": r.text()} for r in made.samples.rejections],
        "notes": [str(note) for note in made.notes],
        "unclassified": str(made.land.unclassified) if made.land and made.land.unclassified else None,
        "palette": [asdict(pair) for pair in alike(legend.names, legend.colors)],
        "stages": {name: asdict(replace(stage, files={})) for name, stage in made.provenance.stages.items()},
        "plan": asdict(made.plan) if made.plan else None,
        "versions": dict(made.provenance.versions),
        "inputs": dict(made.provenance.inputs),
    }
