"""Draw the figure of the page about the season, from the results of ``python -m benchmarks season``."""

import json
from datetime import date
from pathlib import Path

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

sets = json.loads(Path("benchmarks/results/season.json").read_text(encoding="utf-8"))["sets"]
figure = Figure(figsize=(13, 3.8), layout="constrained")
panels = np.atleast_1d(figure.subplots(1, len(sets), sharey=True))
for panel, (name, found) in zip(panels, sets.items(), strict=True):
    days = [date.fromisoformat(day) for day in found["once"][0]]
    folds = np.hstack([[at["overall_accuracy"] for at in seed.values()] for seed in found["once"]])
    panel.fill_between(days, folds.min(1), folds.max(1), color="#2f6b3c", alpha=0.15, lw=0)
    panel.plot(days, folds.mean(1), "-", color="#2f6b3c", label="trained once, with cut-offs")
    for way, mark, color in (("retrained", "s", "#c77800"), ("whole season", "v", "0.55")):
        other = found["others"][0][way]
        means = [np.mean([seed[way][day]["overall_accuracy"] for seed in found["others"]]) for day in other]
        label = "retrained for each cut-off" if way == "retrained" else "trained on whole seasons"
        panel.plot([date.fromisoformat(day) for day in other], means, mark, color=color, ms=6, label=label)
    panel.set(title=name, xlabel="series until", ylim=(0, 1.02))
    panel.xaxis.set_major_locator(AutoDateLocator(minticks=3, maxticks=6))
    panel.xaxis.set_major_formatter(ConciseDateFormatter(panel.xaxis.get_major_locator()))
panels[0].set_ylabel("overall accuracy")
panels[0].legend(frameon=False, fontsize=8, loc="lower right")
figure.savefig("docs/gallery/season.png", dpi=90, bbox_inches="tight", pad_inches=0.1)
