"""Error rate of the tests and coverage of the intervals on simulated data: figures of docs/guide/accuracy.md."""

from bocage.testing.promises import coverage, rejections


def run() -> str:
    """Return the rates and the coverage, one per line."""
    lines = ["", "equal models found different at the 5 % level, 200 pairs, 10 draws:"]
    for units, train in ((100, 0.3), (300, 0.3), (1000, 0.3), (300, 0.5), (300, 0.7)):
        corrected, naive = rejections(200, units, train, seed=4)
        lines.append(f"  {units} units, {train:.0%} train: corrected {corrected:.1%}, naive {naive:.1%}")
    lines.append("95 % intervals of the area of a class that contain the true area, 200 samples:")
    lines += [f"  {kind}: {share:.1%}" for kind, share in coverage(200, seed=1).items()]
    return "\n".join(lines)
