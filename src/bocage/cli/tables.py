"""Tables in the terminal: scores, comparisons, samples, findings, plans, networks."""

import json
import math
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bocage.evaluation import Adjusted, Comparison, Elsewhere, SeasonScore, spread_of
from bocage.evaluation.area import Estimate
from bocage.evaluation.metrics import MAIN
from bocage.evaluation.sample import Drawn
from bocage.grid import HECTARE
from bocage.legend import Legend
from bocage.words import quantity, significant


def _console(width: int | None = None) -> Console:
    """Return a console that prints the user's texts as they are; `width` is for an output that is no terminal.

    In the markup of rich, a class "wheat [winter]" loses its brackets, and ":corn:" becomes a picture.
    """
    console = Console(markup=False, emoji=False)
    return console if console.is_terminal else Console(markup=False, emoji=False, width=width)


def print_score(path: Path) -> None:
    """Print ``score.json``: metrics, then accuracy per class, as mean and standard deviation over the draws.

    If nothing was tested, only the comparison with a truth raster is printed.
    """
    record = json.loads(path.read_text(encoding="utf-8"))
    console = _console()
    if record["tested_pixels"]:
        _print_test(record, console)
    if "truth" in record:
        console.print(_metrics("Map against the truth raster", record["truth"]))


def _print_test(record: dict[str, Any], console: Console) -> None:
    console.print(_metrics("Test polygons", record))
    console.print(_per_class(record))
    if record["untested_classes"]:
        console.print(f"mapped but not tested: {', '.join(record['untested_classes'])}")
    for kind in ("site", "region"):
        if f"{kind}s" in record:
            console.print(_by_part(kind, record[f"{kind}s"]))


def print_transfer(found: Elsewhere) -> None:
    """Print the score of a model on the polygons of another site: all classes, then the classes that the model has."""
    console = _console()
    console.print(_metrics("All reference polygons", found.every.as_dict()))
    if found.warning:
        console.print(f"warning: {found.warning}")
    if found.others:
        console.print(_metrics("Reference polygons that did not train the model", found.others.as_dict()))
    if found.lacking:
        console.print(_metrics("Reference polygons of the classes that the model has", found.shared.as_dict()))
    console.print(_per_class(found.every.as_dict()))
    if found.lacking:
        console.print(f"The model lacks: {', '.join(found.lacking)}. Their pixels are errors in the first table.")
    if without := found.every.matrix.untested:
        console.print(f"No reference pixel of: {', '.join(without)}. Pixels mapped as these classes are errors.")
    if found.outside is not None:
        console.print(f"Pixels outside the training domain of the model: {100 * found.outside:.1f} %")


def _per_class(record: dict[str, Any]) -> Table:
    table = Table(
        "class",
        "F-measure",
        "producer's (1 - omission)",
        "user's (1 - commission)",
        "pixels",
        title="Accuracy per class",
    )
    for name, entry in record["per_class"].items():
        values = [_spread(entry[m]) for m in ("f1", "producers_accuracy", "users_accuracy")]
        table.add_row(name, *values, str(entry["reference_pixels"]))
    return table


def _by_part(kind: str, parts: dict[str, Any]) -> Table:
    table = Table(kind, "overall accuracy", "weighted F-measure", "kappa", title=f"Test polygons of each {kind}")
    for name, entry in parts.items():
        table.add_row(name, *(_spread(entry[m]) for m in MAIN))
    return table


def print_comparison(found: Comparison) -> None:
    """Print a row per model: accuracy, F-measure, kappa, training time, map speed."""
    table = Table("model", "overall accuracy", "weighted F-measure", "kappa", title="Comparison on the same draws")
    for title in ("training, s", "map, px/s"):
        table.add_column(title, justify="right")
    for line in found.lines:
        spreads = [spread_of(line.score.values(m)) for m in MAIN]
        values = [_spread({"mean": mean, "std": std}) for mean, std in spreads]
        speed = f"{line.pixels_per_second:,.0f}".replace(",", " ") if line.pixels_per_second else "-"
        style = "bold" if line.label == found.marked else ""
        table.add_row(line.label, *values, f"{line.training_seconds:.1f}", speed, style=style)
    _console().print(table)


def print_adjusted(found: Adjusted) -> None:
    """Print estimates with their 95 % intervals, one row per class."""
    table = Table(
        "class", "mapped, %", "area, %", "user's (1 - commission)", "producer's (1 - omission)", title=found.design
    )
    for k, name in enumerate(found.names):
        area = found.area[k].times(100)
        cells = (
            _estimate(area, 2),
            _estimate(found.users[k]),
            _estimate(found.producers[k]),
        )
        table.add_row(name, f"{100 * found.mapped[k]:.2f}", *cells)
    console = _console()
    console.print(table)
    error = f"standard error {found.overall.error:.3f}" if found.overall.has_interval else "no standard error"
    console.print(f"overall accuracy: {_estimate(found.overall)}, {error}")
    if not all(one.has_interval for one in (found.overall, *found.area)):
        console.print(
            "No interval: the sampled units do not vary, such as where all are right, so the error is not known."
        )


def _estimate(estimate: Estimate, digits: int = 3, unit: str = "") -> str:
    if estimate.value != estimate.value:
        return "–"
    interval = f" ({estimate.low:.{digits}f} to {estimate.high:.{digits}f})" if estimate.has_interval else ""
    return f"{estimate.value:.{digits}f}{unit}{interval}"


def print_change(found: Any) -> None:
    """Print the transitions with the largest mapped areas, and the changed share."""
    table = Table("before", "after", title="Largest mapped changes")
    for heading in ("mapped, ha", "estimated, ha"):
        table.add_column(heading, justify="right")
    pairs = sorted(
        ((i, j) for i in range(len(found.names)) for j in range(len(found.names)) if i != j),
        key=lambda pair: -found.mapped[pair],
    )
    for i, j in pairs[:10]:
        estimate = found.estimated.shares[i][j].times(found.hectares) if found.estimated else None
        shown = _estimate(estimate, 2) if estimate else "–"
        table.add_row(found.names[i], found.names[j], f"{found.mapped[i, j] / HECTARE:.2f}", shown)
    console = _console()
    console.print(table)
    console.print(f"changed as mapped: {100 * found.changed:.2f} % of {found.hectares:.2f} ha")
    if found.estimated:
        share = found.estimated.changed.times(100)
        console.print(
            f"changed as estimated: {_estimate(share, 2, ' %')}; by the errors of both maps alone, "
            f"{100 * found.estimated.by_error:.2f} % would appear as change"
        )


def print_fusion(found: dict[str, Any]) -> None:
    """Print the accuracy of a fused map and of its maps at test pixels that no map was trained on."""
    accuracy = found["accuracy"]
    if not accuracy:
        return
    polygons = quantity(accuracy["polygons"], "polygon")
    title = f"{quantity(accuracy['pixels'], 'test pixel')} of {polygons} that no map was trained on"
    heads = (
        "map",
        "test pixels with a class",
        "overall accuracy",
        "kappa",
        "weighted F-measure",
        "p of the difference",
    )
    table = Table(*heads, title=title)
    for name, figures in {"fused": accuracy["fused"], **accuracy["maps"]}.items():
        values = (figures.get(key) for key in ("overall_accuracy", "kappa", "f1_weighted", "p"))
        shown = ("–" if value is None else f"{value:.3f}" for value in values)
        table.add_row(name, str(figures.get("pixels", accuracy["pixels"])), *shown)
    _console().print(table)


def print_reconciled(found: dict[str, Any]) -> None:
    """Print the accuracy of a map before and after its reconciliation with statistics, at its test pixels."""
    accuracy = found["accuracy"]
    if not accuracy:
        return
    polygons = quantity(accuracy["polygons"], "polygon")
    title = f"{quantity(accuracy['pixels'], 'test pixel')} of {polygons} (p of the difference: {accuracy['p']:.3f})"
    table = Table("map", "overall accuracy", "kappa", "weighted F-measure", "mean F-measure", title=title)
    for name in ("before", "after"):
        values = (accuracy[name][key] for key in ("overall_accuracy", "kappa", "f1_weighted", "f1_macro"))
        table.add_row(name, *("–" if value is None else f"{value:.3f}" for value in values))
    _console().print(table)


def print_trends(found: Any) -> None:
    """Print the parcels with the smallest p-values of their trend."""
    settings, trend = found.settings, found.trends
    table = Table("parcel", title=f"Strongest trends of {settings.index}, {settings.statistic} of the season")
    for heading in ("slope per year", "95 % interval", "p", "years"):
        table.add_column(heading, justify="right")
    order = sorted((p, k) for k, p in enumerate(trend.p.tolist()) if not math.isnan(p))
    if not order:
        return
    for p, k in order[:10]:
        ends = f"{trend.low[k]:.4f} to {trend.high[k]:.4f}" if not math.isnan(trend.low[k]) else "–"
        table.add_row(found.parcels.names[k], f"{trend.slope[k]:.4f}", ends, f"{p:.3f}", str(trend.count[k]))
    _console().print(table)


def print_season(found: SeasonScore) -> None:
    """Print the accuracy at each cut-off, and the first cut-offs that reach the wanted accuracy."""
    once, console = found.once, _console()
    table = Table("until", title="Accuracy of the series until each cut-off")
    heads = ["overall accuracy", "95 % interval", "calibration error", "with data, %"]
    for heading in heads + ["retrained"] * (found.retrained is not None):
        table.add_column(heading, justify="right")
    retrained = found.retrained.accuracy() if found.retrained else [None] * len(once.days)
    rows = zip(once.days, once.accuracy(), once.error(), once.data(), retrained, strict=True)
    for day, accuracy, error, data, other in rows:
        ends = "–" if math.isnan(accuracy.low) else f"{accuracy.low:.3f} to {accuracy.high:.3f}"
        cells = [f"{accuracy.mean:.3f}", ends, _number(error.mean), f"{100 * data.mean:.1f}"]
        table.add_row(str(day), *cells, *([f"{other.mean:.3f}"] if other else []))
    console.print(table)
    first = Table("", title=f"First cut-off that reaches {found.wanted:g} (classes: F-measure)")
    for heading in ("mean of the draws", "lower bound of the interval"):
        first.add_column(heading, justify="right")
    for name, reached in {"overall accuracy": found.overall, **found.by_class}.items():
        first.add_row(name, *(str(day) if day else "not reached" for day in (reached.mean, reached.sure)))
    console.print(first)


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def print_scouted(found: Any) -> None:
    """Print the tours of the fields to survey."""
    table = Table("day", title=f"{quantity(len(found.fields), 'field')} to survey")
    for heading in ("fields", "kilometres"):
        table.add_column(heading, justify="right")
    for day, tour in enumerate(found.survey.tours, start=1):
        table.add_row(str(day), str(len(tour.stops)), f"{tour.kilometres:.1f}")
    _console().print(table)


def print_sample(drawn: Drawn, legend: Legend) -> None:
    """Print the number of pixels drawn from each class."""
    table = Table("class", title="Validation sample, by mapped class")
    for heading in ("pixels in the map", "pixels drawn"):
        table.add_column(heading, justify="right")
    for code, name in zip(legend.codes, legend.names, strict=True):
        table.add_row(name, str(drawn.sizes.get(code, 0)), str(int((drawn.stratum == code).sum())))
    _console().print(table)


def _metrics(title: str, record: dict[str, Any]) -> Table:
    table = Table("metric", "value", title=title)
    for name, entry in record.items():
        if isinstance(entry, dict) and "mean" in entry:
            table.add_row(name, _spread(entry))
    return table


def _spread(entry: dict[str, Any]) -> str:
    if entry["mean"] is None:
        return "–"
    spread = f" ± {entry['std']:.3f}" if entry["std"] is not None else ""
    some = f" ({entry['draws']} of {len(entry['per_draw'])} draws)" if "draws" in entry else ""
    return f"{entry['mean']:.3f}{spread}{some}"


COLORS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_findings(findings: list[Any]) -> None:
    """Print the findings, one per row, then their number by severity."""
    console = _console(160)
    table = Table("severity", "location", "finding", "action", show_lines=False, pad_edge=False)
    for finding in findings:
        cells = (finding.severity, *map(str, (finding.where, finding.what, finding.remedy)))
        table.add_row(*cells, style=COLORS[finding.severity])
    console.print(table)
    counts = {kind: sum(finding.severity == kind for finding in findings) for kind in COLORS}
    console.print(", ".join(quantity(n, kind) for kind, n in counts.items()))


def print_plan(plan: Any) -> None:
    """Print the estimated cost of a run."""
    console = _console()
    table = Table("stage", "time", "range", title=f"{plan.name}, {plan.model}, on {plan.machine}")
    for stage in plan.stages:
        table.add_row(stage.stage, lasting(stage.seconds), f"{lasting(stage.low)} to {lasting(stage.high)}")
    low, high = (sum(getattr(stage, edge) for stage in plan.stages) for edge in ("low", "high"))
    table.add_row("total", lasting(plan.seconds), f"{lasting(low)} to {lasting(high)}", style="bold")
    console.print(table)
    console.print(f"memory {plan.memory / 1e9:.2f} GB per process, disk {significant(plan.disk / 1e9)} GB")
    for workers, seconds in plan.workers.items():
        console.print(f"with {workers} preparation threads: {lasting(seconds)} in total")


def print_models(found: list[Any]) -> None:
    """Print a row per network: size, cost, input and source."""
    console = _console(160)
    table = Table("model", title="Networks in their published configuration, for 10 classes", show_lines=True)
    table.add_column("parameters", justify="right")
    table.add_column("multiply-adds\nper map pixel", justify="right")
    for heading in ("footprint", "dense form", "input", "source"):
        table.add_column(heading)
    for facts in found:
        size = f"{facts.parameters:,}".replace(",", " ") if facts.parameters else "-"
        cost = f"{significant(facts.multiply_adds / 1e6)} M" if facts.multiply_adds else "-"
        paper = facts.paper + (" (reconstruction)" if facts.reconstruction else "")
        table.add_row(facts.name, size, cost, facts.footprint, facts.dense, facts.takes or facts.title, paper)
    console.print(table)


def lasting(seconds: float) -> str:
    """Format a duration in seconds.

    >>> lasting(7.25), lasting(200), lasting(9000)
    ('7.2 s', '3 min 20 s', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
