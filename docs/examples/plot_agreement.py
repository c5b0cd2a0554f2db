"""
Compare metrics of a confusion matrix
=====================================

The overall accuracy of a map with one large class is high, even if it misses the small classes.
Other metrics of the same matrix show this.
"""

import numpy as np

from bocage.evaluation import METRICS, ConfusionMatrix

names = ("grassland", "maize", "orchard")
reference_in_rows = np.array([[940, 20, 10], [10, 30, 0], [15, 0, 5]])

# %%
# Rows are the reference, columns the map.
# Most orchards are mapped as grassland.
matrix = ConfusionMatrix(reference_in_rows, names)

# %%
# Each metric has its range and direction in its documentation (``bocage metrics``).
for name in METRICS:
    print(f"{name:26} {METRICS.get(name)(matrix):6.3f}")
