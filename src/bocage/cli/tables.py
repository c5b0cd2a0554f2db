"""The score as a table on the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bocage.evaluation import Adjusted, Comparison, spread_of
from bocage.evaluation.area import Estimate
from bocage.evaluation.sample import Drawn
from bocage.legend import Legend


def print_score(path: Path) -> None:
    """Print what ``score.json`` says: metrics, then a line per class; means and standard deviations over the draws."""
    said = json.loads(path.read_text())
    console = Console()
    console.print(_metrics("Test polygons", said))
    table = Table("class", "F", "producer's (1 - omission)", "user's (1 - commission)", "pixels", title="Per class")
    for name, one in said["per_class"].items():
        values = [_spread(one[m]) for m in ("f1", "producers_accuracy", "users_accuracy")]
        table.add_row(name, *values, str(one["reference_pixels"]))
    console.print(table)
    if "truth" in said:
        console.print(_metrics("Map against the whole truth", said["truth"]))


def print_comparison(found: Comparison) -> None:
    """Print a line per model: accuracy, F-measure, kappa, training time, map speed."""
    table = Table("model", "accuracy", "weighted F", "kappa", title="Models on the same draws")
    for title in ("training, s", "map, px/s"):
        table.add_column(title, justify="right")
    for line in found.lines:
        spreads = [spread_of(line.score.values(m)) for m in ("overall_accuracy", "f1_weighted", "kappa")]
        values = [_spread({"mean": mean, "std": std}) for mean, std in spreads]
        speed = f"{line.pixels_per_second:,.0f}".replace(",", " ") if line.pixels_per_second else "-"
        style = "bold" if line.label == found.marked else ""
        table.add_row(escape(line.label), *values, f"{line.training_seconds:.1f}", speed, style=style)
    Console().print(table)


def print_adjusted(found: Adjusted) -> None:
    """Print estimates with their 95 % intervals, a line per class."""
    table = Table(
        "class", "mapped, %", "area, %", "user's (1 - commission)", "producer's (1 - omission)", title=found.design
    )
    for k, name in enumerate(found.names):
        area = found.area[k].times(100)
        cells = (
            f"{area.value:.2f} ({area.low:.2f} to {area.high:.2f})",
            _estimate(found.users[k]),
            _estimate(found.producers[k]),
        )
        table.add_row(escape(name), f"{100 * found.mapped[k]:.2f}", *cells)
    console = Console()
    console.print(table)
    console.print(f"overall accuracy: {_estimate(found.overall)}, standard error {found.overall.error:.3f}")


def _estimate(one: Estimate) -> str:
    return "–" if one.value != one.value else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def print_sample(drawn: Drawn, legend: Legend) -> None:
    """Print how many pixels of every class were drawn."""
    table = Table("class", title="Validation sample, by mapped class")
    for heading in ("pixels of the map", "drawn"):
        table.add_column(heading, justify="right")
    for code, name in zip(legend.codes, legend.names, strict=True):
        table.add_row(escape(name), str(drawn.sizes.get(code, 0)), str(int((drawn.stratum == code).sum())))
    Console().print(table)


def _metrics(title: str, said: dict[str, Any]) -> Table:
    table = Table("metric", "value", title=title)
    for name, one in said.items():
        if isinstance(one, dict) and "mean" in one:
            table.add_row(name, _spread(one))
    return table


def _spread(one: dict[str, Any]) -> str:
    if one["mean"] is None:
        return "–"
    return f"{one['mean']:.3f}" + (f" ± {one['std']:.3f}" if one["std"] is not None else "")


COLORS = {"error": "bold red", "warning": "yellow", "note": "dim"}


def print_findings(findings: list[Any]) -> None:
    """Print what a preflight found: a line for each, then how many of each kind."""
    console = Console(width=None if Console().is_terminal else 160)
    table = Table("", "where", "found", "what to do", show_lines=False, pad_edge=False)
    for one in findings:
        table.add_row(one.severity, escape(one.where), escape(one.what), escape(one.remedy), style=COLORS[one.severity])
    console.print(table)
    counts = {kind: sum(one.severity == kind for one in findings) for kind in COLORS}
    console.print(", ".join(f"{n} {kind}{'' if n == 1 else 's'}" for kind, n in counts.items()))


def print_plan(plan: Any) -> None:
    """Print what a run will cost."""
    console = Console()
    table = Table("stage", "time", "between", title=f"{plan.name}, on {plan.machine}")
    for one in plan.stages:
        table.add_row(one.stage, lasting(one.seconds), f"{lasting(one.low)} and {lasting(one.high)}")
    low, high = (sum(getattr(one, edge) for one in plan.stages) for edge in ("low", "high"))
    table.add_row("in all", lasting(plan.seconds), f"{lasting(low)} and {lasting(high)}", style="bold")
    console.print(table)
    console.print(f"memory {plan.memory / 1e9:.2f} GB, disk {plan.disk / 1e9:.3g} GB")
    for workers, seconds in plan.workers.items():
        console.print(f"with {workers} threads preparing: {lasting(seconds)} in all")


def print_models(found: list[Any]) -> None:
    """Print a line for each network: its size and cost, what it takes and whose it is."""
    console = Console(width=None if Console().is_terminal else 160)
    table = Table("model", title="Networks, at their published size and shapes, for 10 classes", show_lines=True)
    table.add_column("parameters", justify="right")
    table.add_column("multiply-adds\na map pixel", justify="right")
    for heading in ("footprint", "dense form", "takes", "source"):
        table.add_column(heading)
    for one in found:
        size = f"{one.parameters:,}".replace(",", " ") if one.parameters else "-"
        cost = f"{one.multiply_adds / 1e6:.3g} M" if one.multiply_adds else "-"
        paper = one.paper + (" (reconstruction)" if one.reconstruction else "")
        table.add_row(one.name, size, cost, one.footprint, one.dense, one.takes or one.title, paper)
    console.print(table)


def lasting(seconds: float) -> str:
    """Write a time as people say it.

    >>> lasting(7.25), lasting(200), lasting(9000)
    ('7.2 s', '3 min 20 s', '2 h 30 min')
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
