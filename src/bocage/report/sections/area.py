"""Areas in hectares: estimated with confidence intervals, or corrected by a model."""

import math
from typing import Any

from bocage.evaluation import Adjusted, Corrected
from bocage.evaluation.area import Estimate
from bocage.mapping import Areas
from bocage.report.material import Material
from bocage.words import number, whole, words_of


def area(
    found: Adjusted | None, areas: Areas | None, language: str, file: str = "", unit: str = "polygon"
) -> dict[str, Any] | None:
    """Return estimated areas in hectares with 95 % intervals; None without an estimate or a map.

    `file` is the validation sample of the estimate; without, the estimate is of test polygons, drawn by `unit`.
    """
    if found is None or areas is None:
        return None
    w, total, rows = words_of(language), areas.total, []
    colors = dict(zip(areas.legend.names, areas.legend.colors, strict=True))
    for k, name in enumerate(found.names):
        estimate = found.area[k].times(total)
        rows.append(
            {
                "name": name,
                "color": colors.get(name, "transparent"),
                "mapped": number(found.mapped[k] * total, language, 1),
                "estimated": number(estimate.value, language, 1),
                "interval": _interval(estimate, language, 1) or "–",
                "users": _estimated(found.users[k], language),
                "producers": _estimated(found.producers[k], language),
            }
        )
    overall = w["area_overall" if found.overall.has_interval else "area_overall_alone"].format(
        value=number(found.overall.value, language),
        low=number(found.overall.low, language),
        high=number(found.overall.high, language),
    )
    drawn = w["area_about_blocks" if unit == "block" else "area_about"]
    about = w["area_sample_about"].format(file=file, n=whole(found.units, language)) if file else drawn
    return {"rows": rows, "overall": overall, "about": about}


def by_model(found: Corrected, areas: Areas, language: str) -> dict[str, Any]:
    """Return mapped areas and areas corrected by a model, in hectares, without intervals."""
    total, colors = areas.total, dict(zip(areas.legend.names, areas.legend.colors, strict=True))
    rows = [
        {
            "name": name,
            "color": colors.get(name, "transparent"),
            "mapped": number(mapped * total, language, 1),
            "model": number(area * total, language, 1),
            "error": "–" if math.isnan(error) else number(error * total, language, 1),
        }
        for name, mapped, area, error in zip(found.names, found.mapped, found.area, found.error, strict=True)
    ]
    w = words_of(language)
    alone = [name for name, error in zip(found.names, found.error, strict=True) if math.isnan(error)]
    about = w["area_model_about"].format(n=whole(found.units, language))
    few = w["area_model_alone"].format(classes=", ".join(alone)) if alone else ""
    return {"rows": rows, "about": about, "few": few}


def unadjusted(made: Material) -> dict[str, Any] | None:
    """Return mapped areas in hectares that nothing adjusts, and why; None if there is an estimate, another cause, or no map."""
    estimates, language, refused = made.estimates, made.language, made.estimates.refused
    absent, unseen = made.samples.without(made.draw.test), _unseen(made)
    if made.areas is None or estimates.area is not None or estimates.sample is not None:
        return None
    if not (absent or refused or unseen):
        return None
    legend, w = made.samples.legend, words_of(language)
    rows = [
        {"name": name, "color": color, "mapped": number(float(hectares), language, 1)}
        for name, color, hectares in zip(legend.names, legend.colors, made.areas.hectares, strict=True)
    ]
    if refused and refused.singular:
        about = w["area_unadjusted_singular"]
    elif refused:
        points, condition = number(100 * refused.misfit, language, 1), whole(round(refused.condition), language)
        about = w["area_unadjusted_misfit"].format(points=points, condition=condition)
    elif made.score.tests:
        key = "area_unadjusted_classes" if absent else "area_unadjusted_unseen"
        about = w[key].format(classes=", ".join(absent or unseen))
    else:
        about = w["area_unadjusted_about"]
    return {"rows": rows, "about": about}


def _unseen(made: Material) -> list[str]:
    """Return the classes of the map as which no test pixel is mapped, where areas are estimated from weighted polygons."""
    if made.areas is None or made.samples.weight is None or made.until or not made.score.tests:
        return []
    seen, names = set(made.tested.predicted.tolist()), made.samples.legend.names
    return [
        name for k, (name, share) in enumerate(zip(names, made.areas.shares, strict=True)) if share and k not in seen
    ]


def _estimated(estimate: Estimate, language: str) -> str:
    if estimate.value != estimate.value:
        return "–"
    interval = _interval(estimate, language, 2)
    return number(estimate.value, language, 2) + (f" ({interval})" if interval else "")


def _interval(estimate: Estimate, language: str, digits: int) -> str:
    """Return the 95 % interval; empty without one."""
    if not estimate.has_interval:
        return ""
    return f"{number(estimate.low, language, digits)} – {number(estimate.high, language, digits)}"
