"""Page of a map by a model of another run, or of an adaptation: ``report.html``, and ``report.json`` with all numbers."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from bocage.disk import write_json
from bocage.report.render import render
from bocage.report.sections import area, land_cover, summary, transfer
from bocage.report.transfer import TransferMaterial
from bocage.words import words_of

MANY = 0.2
"""Share of novel area above which the caution is an alarm."""


def write_transfer(made: TransferMaterial) -> Path:
    """Write ``report.html`` and ``report.json`` in the folder; return the path of the page."""
    estimate = transfer.Estimate.of(made)
    write_json(made.layout.report_numbers, _numbers(made, estimate))
    return render("transfer.html", made.language, made.layout.report, _context(made, estimate))


def _context(made: TransferMaterial, estimate: transfer.Estimate | None) -> dict[str, Any]:
    w, beyond = words_of(made.language), estimate.beyond if estimate else None
    picture = land_cover.picture(made)
    if picture and picture["novelty"]:
        picture["beyond"] = made.percent(beyond)
    subject = w["t_adaptation"]
    if made.land:
        grid = summary.size(made.land.grid, made.language)
        subject = w["report_map"].format(crs=made.land.grid.crs_name, **grid)
    training = transfer.training(made)
    return {
        "name": made.transfer.asked.name,
        "subject": subject,
        "model": made.transfer.model,
        "sentences": transfer.sentences(made, estimate),
        "headline": _headline(made, estimate),
        "cautions": transfer.cautions(made),
        "alarm": beyond is not None and beyond > MANY,
        "map": picture,
        "notes": [*training["notes"], *land_cover.palette_warnings(made.legend, made.language)],
        "sample": _sample(made),
        "classes": transfer.areas(made, estimate),
        "training": training,
        "adaptation": transfer.adaptation(made),
        "versions": list(made.transfer.versions.items()),
        "transfer": made.transfer,
    }


def _headline(made: TransferMaterial, estimate: transfer.Estimate | None) -> list[tuple[str, str]]:
    """Return the accuracy, measured with a sample or else estimated, the novel share and the changed share, as known."""
    w, judgement = words_of(made.language), made.judgement
    expected = judgement.expected.accuracy if judgement and judgement.expected and not made.changed else None
    accuracy = expected if expected is not None else estimate.accuracy if estimate else None
    measured = made.sampled.estimates.overall.value if made.sampled else None
    first = (measured, w["t_h_measured"]) if made.sampled else (accuracy, w["t_h_estimate"])
    found = [first, (estimate.beyond if estimate else None, w["t_h_beyond"])]
    if made.changed:
        found.append((made.changed.change.changed, w["t_h_changed"]))
    return [(w["percentage"].format(value=made.percent(value)), label) for value, label in found if value is not None]


def _sample(made: TransferMaterial) -> dict[str, Any] | None:
    """Return the areas and accuracies from a labelled sample of the map; None without one."""
    one = made.sampled
    return area.area(one.estimates, made.areas, made.language, one.file) if one else None


def _numbers(made: TransferMaterial, estimate: transfer.Estimate | None) -> dict[str, Any]:
    """Return the content of ``report.json``; its texts are English, whatever the language of the page."""
    english, areas = replace(made, language="en"), made.areas
    return {
        "name": made.transfer.asked.name,
        "model": made.transfer.model,
        "summary": transfer.sentences(english, estimate),
        "classes": made.legend.names,
        "mapped_pixels": dict(zip(made.legend.names, areas.pixels.tolist(), strict=True)) if areas else None,
        "mapped_hectares": dict(zip(made.legend.names, areas.hectares.tolist(), strict=True)) if areas else None,
        "unclassified": str(made.land.unclassified) if made.land and made.land.unclassified else None,
        "sample": {"file": made.sampled.file, **made.sampled.estimates.as_dict()} if made.sampled else None,
        "estimate": estimate.as_dict() if estimate else None,
        "judgement": asdict(made.judgement) if made.judgement else None,
        "transfer": asdict(made.transfer),
        "distance_km": made.distance,
        "adaptation": asdict(made.adapted) if made.adapted else None,
    }
