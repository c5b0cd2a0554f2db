"""
Estimate an area with a confidence interval
===========================================

A map of 1 000 ha shows 100 ha of vines.
An interpreter labels 200 pixels of each mapped class.
The estimate corrects the mapped area by the errors that the sample shows (Olofsson et al. 2014).
"""

import numpy as np
from matplotlib import pyplot as plt

from bocage.evaluation import stratified

names = ["vines", "other land"]
sizes = {0: 10_000, 1: 90_000}  # pixels of 10 m of each mapped class, which are the strata

# %%
# The labelled sample: 180 of the 200 pixels that are mapped as vines are vines.
# Of the 200 pixels that are mapped as other land, 10 are vines.
mapped = np.repeat([0, 1], 200)
reference = np.concatenate([np.repeat([0, 1], [180, 20]), np.repeat([0, 1], [10, 190])])
found = stratified(mapped, mapped, reference, sizes, names)

# %%
# The estimated area is a third larger than the mapped area, because a small share of a large class is vines.
# The producer's accuracy is much lower than the user's accuracy for the same reason.
for name, area, users, producers in zip(names, found.area, found.users, found.producers, strict=True):
    print(f"{name}: {1000 * area.value:.0f} ha, 95 % interval {1000 * area.low:.0f} to {1000 * area.high:.0f} ha")
    print(f"  user's accuracy {users.value:.2f}, producer's accuracy {producers.value:.2f}")

# %%
# The interval does not contain the mapped area of the vines.
figure, axes = plt.subplots(figsize=(6, 2.2), layout="constrained")
vines = found.area[0].times(1000)
axes.errorbar(vines.value, 0, xerr=[[vines.value - vines.low], [vines.high - vines.value]], fmt="o", capsize=5)
axes.axvline(sizes[0] / 100, color="tab:orange", label="mapped area")
axes.set(yticks=[], xlabel="area of the vines, ha")
axes.legend(frameon=False)
plt.show()
