"""Linear gap-filling on one core: values per second, compared with the copy bandwidth and with eo-learn on the same cube.

eo-learn pins other versions of the dependencies, so it runs in its own environment (created by ``make bench``) and its own
process. The two processes compute alternately on the same core.
"""

import os
import statistics
import subprocess
import time
from pathlib import Path

import numpy as np

from benchmarks.frame import command_line
from bocage.scene import gaps

EOLEARN = Path("build/eolearn/bin/python")
DATES, BANDS, SIDE, EVERY, CLEAR, TURNS = 60, 10, 160, 10, 0.5, 9

OTHER = f"""
import os, sys, time, datetime
os.sched_setaffinity(0, {{0}})
import numpy as np, warnings
warnings.filterwarnings("ignore")
from eolearn.core import EOPatch, FeatureType
from eolearn.features.extra.interpolation import LinearInterpolationTask
from sentinelhub import BBox, CRS
from numpy.random import default_rng
g = default_rng(0)
values = g.random(({DATES}, {BANDS}, {SIDE}, {SIDE}), dtype=np.float32).transpose(0, 2, 3, 1).copy()
valid = g.random(({DATES}, {SIDE}, {SIDE})) < {CLEAR}
days = np.sort(g.choice(365, {DATES}, replace=False))
start = datetime.datetime(2021, 1, 1)
stamps = [start + datetime.timedelta(int(d)) for d in days]
target = [str(start + datetime.timedelta(int(d))) for d in range(int(days[0]), int(days[-1]) + 1, {EVERY})]
task = LinearInterpolationTask(
    (FeatureType.DATA, "x"), mask_feature=(FeatureType.MASK, "m"), resample_range=target, unknown_value=0
)
for line in sys.stdin:
    patch = EOPatch(bbox=BBox((0, 0, 1, 1), CRS.WGS84), timestamps=stamps)
    patch[FeatureType.DATA, "x"], patch[FeatureType.MASK, "m"] = values, valid[..., None]
    t = time.perf_counter()
    done = task.execute(patch)
    t = time.perf_counter() - t
    out = done[FeatureType.DATA, "x"]
    print(t, out.size, float(np.abs(out).sum()), flush=True)
"""


def run() -> str:
    """Measure the speeds, and return them in words."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {0})
    gaps.WORTH_SHARING = 1 << 60  # one thread
    try:
        return _measured()
    finally:
        os.sched_setaffinity(0, everywhere)


def _measured() -> str:
    generator = np.random.default_rng(0)
    values = generator.random((DATES, BANDS, SIDE, SIDE), dtype=np.float32)
    valid = generator.random((DATES, SIDE, SIDE)) < CLEAR
    days = np.sort(generator.choice(365, DATES, replace=False)).astype(np.int32)
    target = np.arange(days[0], days[-1] + 1, EVERY, dtype=np.int32)
    gaps.interpolate(values[:, :, :4], valid[:, :4], days, target)
    other = _other()
    ours, theirs, copies = [], [], []
    buffer = np.empty_like(values)
    for _ in range(TURNS):
        started = time.perf_counter()
        filled, _ = gaps.interpolate(values, valid, days, target)
        ours.append(filled.size / (time.perf_counter() - started))
        started = time.perf_counter()
        np.copyto(buffer, values)
        copies.append(2 * values.nbytes / (time.perf_counter() - started))
        if other:
            other.stdin.write("go\n")  # type: ignore[union-attr]
            other.stdin.flush()  # type: ignore[union-attr]
            seconds, size, _ = other.stdout.readline().split()  # type: ignore[union-attr]
            theirs.append(int(size) / float(seconds))
    if other:
        other.communicate()
    speed, copy = statistics.median(ours[1:]), statistics.median(copies[1:])
    # Each value is interpolated from two values that are read, and written once: at least 12 bytes.
    text = (
        f"{speed / 1e6:.0f} million values per second on one core ({min(ours[1:]) / 1e6:.0f} to {max(ours) / 1e6:.0f}); "
        "at 12 bytes each, "
        f"{100 * 12 * speed / copy:.0f} % of the copy bandwidth ({copy / 1e9:.1f} GB/s read and written)"
    )
    if not theirs:
        return text + f"; eo-learn is not installed ({EOLEARN})"
    ratio = statistics.median(a / b for a, b in zip(ours[1:], theirs[1:], strict=True))
    return (
        text
        + f"; eo-learn's LinearInterpolationTask {statistics.median(theirs[1:]) / 1e6:.2f} million: {ratio:.0f} times slower"
    )


def _other() -> "subprocess.Popen[str] | None":
    if not EOLEARN.exists():
        return None
    pipe = subprocess.PIPE
    return subprocess.Popen([EOLEARN, "-c", OTHER], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True)


if __name__ == "__main__":
    command_line(__name__)
