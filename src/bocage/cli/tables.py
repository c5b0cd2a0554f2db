"""The score as a table on the terminal."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table


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
