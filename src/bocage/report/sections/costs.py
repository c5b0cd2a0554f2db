"""Measured time and memory of the stages, and the plan."""

from bocage.provenance import Estimate
from bocage.report.material import Material
from bocage.words import number, words_of


def costs(made: Material) -> list[tuple[str, str, str]]:
    """Return rows of stage, measured duration and planned duration.

    The durations of all draws of a stage are summed. The last row is the peak memory, if known.
    """
    stages, plan, language = made.provenance.stages, made.plan, made.language
    w = words_of(language)
    spent: dict[str, float] = {}
    for name, record in stages.items():
        stage = name.partition("/")[0]
        spent[stage] = spent.get(stage, 0.0) + record.seconds
    planned = {estimate.stage: estimate for estimate in plan.stages} if plan else {}
    rows = [
        (
            w.get(f"stage_{stage}", stage),
            w["in_seconds"].format(value=number(seconds, language, 1)),
            _planned(planned.get(stage), language),
        )
        for stage, seconds in spent.items()
    ]
    peak = max((record.memory for record in stages.values()), default=0)
    if peak:
        memory = _gigabytes(plan.memory, language) if plan else ""
        rows.append((w["memory_at_most"], _gigabytes(peak, language), memory))
    return rows


def _planned(estimate: Estimate | None, language: str) -> str:
    if not estimate:
        return ""
    seconds, low, high = (number(value, language, 1) for value in (estimate.seconds, estimate.low, estimate.high))
    return words_of(language)["in_seconds_range"].format(value=seconds, low=low, high=high)


def _gigabytes(size: float, language: str) -> str:
    return words_of(language)["in_gigabytes"].format(value=number(size / 1e9, language, 2))
