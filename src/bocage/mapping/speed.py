"""Mapping speed of a network on this machine."""

import time
from math import lcm

import numpy as np
import torch

from bocage.grid import Window
from bocage.mapping.predict import predict
from bocage.scene import Scene
from bocage.training import Trained

SIDE = 64
"""Side of the timed window in map pixels, at most; more if a pixel of the coarsest source is larger."""


def pixels_per_second(trained: Trained, scene: Scene, device: torch.device, at_least: float = 1.0) -> float | None:
    """Return the map pixels per second of a window, reading included.

    It is the median over at least three rounds and `at_least` seconds (at most 50 rounds). It is None for a table of samples,
    which has no map.
    """
    if scene.ids is not None:
        return None
    step = lcm(*(spec.ratio.coarser for spec in trained.inputs.values()))
    height, width = (_side(n, step) for n in scene.grid.shape)
    window, spent = Window(0, 0, height, width), list[float]()
    predict(trained, scene, window, device)
    while len(spent) < 3 or (sum(spent) < at_least and len(spent) < 50):
        started = time.perf_counter()
        predict(trained, scene, window, device)
        spent.append(time.perf_counter() - started)
    return height * width / float(np.median(spent))


def _side(n: int, step: int) -> int:
    """Return the side of the timed window in a map of `n` pixels a side: a multiple of `step`, or the map if it is smaller.

    >>> _side(500, 3), _side(50, 20), _side(500, 66), _side(50, 66)
    (63, 40, 66, 50)
    """
    return n if n < step else max(step, min(SIDE, n) // step * step)
