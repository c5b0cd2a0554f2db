"""How fast a network maps, on this machine."""

import time
from math import lcm

import numpy as np
import torch

from bocage.grid import Window
from bocage.mapping.predict import predict
from bocage.scene import Scene
from bocage.training import Trained

SIDE = 64
"""Map pixels a side of the window that is timed."""


def pixels_per_second(trained: Trained, scene: Scene, device: torch.device, at_least: float = 1.0) -> float | None:
    """Map pixels a second of a window, reading included: the median of at least three rounds and `at_least` seconds.

    None for a table of samples, which has no map.
    """
    if scene.ids is not None:
        return None
    step = lcm(*(spec.ratio.coarser for spec in trained.inputs.values()))
    height, width = (min(SIDE, n) if n < step else min(SIDE, n) // step * step for n in scene.grid.shape)
    window, spent = Window(0, 0, height, width), list[float]()
    trained.model.to(device).eval()
    predict(trained, scene, window, device)
    while len(spent) < 3 or (sum(spent) < at_least and len(spent) < 50):
        started = time.perf_counter()
        predict(trained, scene, window, device)
        spent.append(time.perf_counter() - started)
    return height * width / float(np.median(spent))
