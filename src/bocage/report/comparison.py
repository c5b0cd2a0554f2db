"""Files of a comparison of models: HTML, LaTeX, CSV, and JSON with all numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bocage import textfile
from bocage.disk import write_json, write_text
from bocage.evaluation import Comparison, Line, spread_of
from bocage.evaluation.metrics import MAIN
from bocage.layout import RunLayout
from bocage.report.render import render
from bocage.report.sections.accuracy import over_draws
from bocage.words import grouped, number, sentence, spread, words_of


def write_comparison(found: Comparison, run: RunLayout, name: str, language: str = "en") -> dict[str, Path]:
    """Write ``comparison.html``, ``.csv``, ``.tex`` and ``.json`` in a run's folder; return their paths by suffix."""
    files = {suffix: run.comparison(suffix) for suffix in ("html", "csv", "tex", "json")}
    write_json(files["json"], {"name": name, **found.as_dict()})
    write_text(files["csv"], as_csv(found))
    write_text(files["tex"], as_latex(found, language))
    classes = found.lines[0].score.names
    context = {
        "name": name,
        "lines": [_shown(line, found, language) for line in found.lines],
        "classes": classes,
        "words": verdict(found, language),
        "refused": found.refused.text(language) if found.refused else "",
        "failed": {label: sentence("note_text", language, text=why) for label, why in (found.failed or {}).items()},
        "pairs": [_pair(pair, language) for pair in found.pairs],
        "by_polygons": [_pair(pair, language) for pair in found.by_polygons],
        "blocks": any("blocks" in pair.test for pair in found.by_polygons),
        "draws": len(found.lines[0].score.matrices),
    }
    render("comparison.html", language, files["html"], context)
    return files


def verdict(found: Comparison, language: str = "en") -> str:
    """Return the sentence that names the best model and says whether the difference is significant."""
    w = words_of(language)
    metric = w.get(f"metric_{found.metric}", found.metric)
    if found.refused:
        return w["compare_refused"].format(best=found.best, metric=metric, why=found.refused.text(language))
    if found.marked:
        return w["compare_best"].format(best=found.best, metric=metric)
    return w["compare_level"].format(best=found.best, metric=metric, others=", ".join(found.level_with_best))


def _shown(line: Line, found: Comparison, language: str) -> dict[str, Any]:
    per_class = line.score.per_class("f1")
    speed = line.pixels_per_second
    return {
        "label": line.label,
        "measures": [spread(*spread_of(line.score.values(m)), language) for m in MAIN],
        "per_class": [over_draws(per_class[:, k], language) for k in range(per_class.shape[1])],
        "training": number(line.training_seconds, language, 1),
        "speed": grouped(f"{speed:.0f}") if speed else "–",
        "parameters": grouped(f"{line.parameters}") if line.parameters else "–",
        "kind": "best" if line.label == found.marked else "level" if line.label in _top(found) else "",
    }


def _top(found: Comparison) -> tuple[str, ...]:
    """Return the best model and those that do not differ from it significantly; empty if one model is significantly best."""
    return (found.best, *found.level_with_best) if found.pairs and found.level_with_best else ()


def _pair(pair: Any, language: str) -> dict[str, str]:
    return {
        "first": pair.first,
        "second": pair.second,
        "difference": f"{'+' if pair.difference > 0 else ''}{number(pair.difference, language)}",
        "statistic": number(pair.statistic, language, 2),
        "p": _p(pair.p, language),
        "adjusted": _p(pair.adjusted, language),
        "effect": number(pair.effect, language, 2),
        "significant": "yes" if pair.adjusted < 0.05 else "",
    }


def _p(value: float, language: str) -> str:
    if value < 0.001:
        return words_of(language)["below"].format(value=number(0.001, language))
    return number(value, language)


def as_csv(found: Comparison) -> str:
    """Return the comparison as CSV: one row per model, one column per number, with a decimal point."""
    columns: list[tuple[str, Callable[[Line], Any]]] = [("model", lambda line: line.label)]
    for measure in MAIN:
        columns.append((f"{measure}_mean", lambda line, m=measure: spread_of(line.score.values(m))[0]))  # type: ignore[misc]
        columns.append((f"{measure}_std", lambda line, m=measure: spread_of(line.score.values(m))[1]))  # type: ignore[misc]
    columns += [
        ("training_seconds", lambda line: line.training_seconds),
        ("map_pixels_per_second", lambda line: line.pixels_per_second),
        ("parameters", lambda line: line.parameters),
        ("significantly_best", lambda line: line.label == found.marked),
    ]
    for k, name in enumerate(found.lines[0].score.names):
        columns.append((f"f1 {name}", lambda line, k=k: spread_of(line.score.per_class("f1")[:, k])[0]))  # type: ignore[misc]
    rows = [["" if (value := get(line)) is None else value for _, get in columns] for line in found.lines]
    return textfile.as_csv([[title for title, _ in columns], *rows])


def as_latex(found: Comparison, language: str = "en") -> str:
    """Return a LaTeX table for the package ``booktabs``; a model is bold if it is significantly best."""
    w = words_of(language)
    titles = [w["model"], *(w[f"metric_{m}"] for m in MAIN), w["training_s"], w["map_speed"]]
    rows = []
    for line in found.lines:
        shown = _shown(line, found, language)
        cells = [shown["label"], *shown["measures"], shown["training"], shown["speed"]]
        texts = [_escaped(cell) for cell in cells]
        if shown["kind"] == "best":
            texts = [rf"\textbf{{{text}}}" for text in texts]
        rows.append(" & ".join(texts) + r" \\")
    head = " & ".join(_escaped(title) for title in titles) + r" \\"
    note = "% " + verdict(found, language).replace("\n", " ")
    return "\n".join(
        [note, r"\begin{tabular}{lrrrrr}", r"\toprule", head, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", ""]
    )


LATEX = {
    **{ord(sign): f"\\{sign}" for sign in "&%$#_{}"}, ord("\\"): r"\textbackslash{}", ord("~"): r"\textasciitilde{}",
    ord("^"): r"\textasciicircum{}", ord("<"): r"\textless{}", ord(">"): r"\textgreater{}", ord("±"): r"$\pm$",
    ord("–"): "--", ord("\u202f"): r"\,", ord("\xa0"): "~",
}  # fmt: skip
"""Character → what it is in LaTeX."""


def _escaped(text: str) -> str:
    """Escape a text for LaTeX.

    >>> _escaped("a_b ± 5 %")
    'a\\\\_b $\\\\pm$ 5 \\\\%'
    >>> _escaped("R^2 ~ C:\\\\x")
    'R\\\\textasciicircum{}2 \\\\textasciitilde{} C:\\\\textbackslash{}x'
    """
    return text.translate(LATEX)
