"""Error rate of the tests and coverage of the intervals on simulated data: figures of docs/guide/accuracy.md."""

from benchmarks.frame import command_line
from bocage.testing.promises import areas_held, calibrations, coverage, rejections


def run() -> str:
    """Return the rates and the coverage, one per line."""
    lines = ["", "equal models found different at the 5 % level, 200 pairs, 10 draws:"]
    for units, train in ((100, 0.3), (300, 0.3), (1000, 0.3), (300, 0.5), (300, 0.7)):
        corrected, naive = rejections(200, units, train, seed=4)
        lines.append(f"  {units} units, {train:.0%} train: corrected {corrected:.1%}, naive {naive:.1%}")
    lines.append("95 % intervals of the area of a class that contain the true area, 200 samples:")
    lines += [f"  {kind}: {share:.1%}" for kind, share in coverage(200, seed=1).items()]
    lines += [
        "areas from polygons, 40 landscapes of 10 samples: 95 % intervals that hold the true share of a class; errors in points"
    ]
    for design, held in areas_held(40, 10, seed=1).items():
        mapped, unweighted, weighted, model = (f"{100 * error:.1f}" for error in held.errors)
        lines += [
            f"  {design}: without weights {held.unweighted:.0%} (error {unweighted}), with inclusion weights {held.weighted:.0%} "
            f"({weighted}), within 1.96 model errors {held.model:.0%} ({model}); mapped area: error {mapped}"
        ]
    lines += [
        "expected calibration error of test pixels, 60 classifiers of 6 classes: raw, calibrated, made worse by 0.01, worst"
    ]
    for sureness in (0.5, 0.7, 1.0, 1.5, 3.0):
        for polygons in (1, 2, 5, 20):
            made = calibrations(60, polygons, sureness, seed=2)
            lines += [
                f"  logits x {sureness}, {6 * polygons} polygons: {made.raw:.3f}, {made.calibrated:.3f}, {made.harmed:.0%}, "
                f"{made.worst:+.3f}"
            ]
    return "\n".join(lines)


if __name__ == "__main__":
    command_line(__name__)
