"""Draw the picture of the page about the next fields to survey: the tours on a simulated landscape, and a few of the fields.

Run it in an environment with Debian's Chromium: ``python docs/gallery/scout.py [work folder]``.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from bocage.advice.tours import Budget
from bocage.jobs.run import run
from bocage.jobs.scout import Asked, scout
from bocage.layout import RunLayout
from bocage.recipe import parse
from bocage.simulate import Simulation, simulate
from bocage.simulate.recipes import write_recipes

LAND = Simulation(height=2406, width=2804, polygons=80, sensors=("s2",), seed=77)
START = (55.4523, -21.0920)
"""Longitude and latitude of the start of the tours, on the landscape."""

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())
land, out = folder / "land", folder / "run"
if not (land / "reference.gpkg").exists():
    simulate(LAND, land)
write_recipes(LAND, land)
table = tomllib.loads((land / "gru.toml").read_text(encoding="utf-8"))
table["sources"]["s2"]["fill"]["every"] = 20
table |= {"name": "survey", "model": {"name": "random_forest"}, "split": {"train": 0.1, "draws": 1}, "training": {}}
recipe = parse({key: value for key, value in table.items() if key != "evaluation"}, land, "survey")
run(recipe, out, ("train",), overwrite=True)
scout(recipe, out, Asked(starts=(START,), side=80, budget=Budget(24, 3)), overwrite=True)
page = RunLayout(out).scout.page
picture = Path(__file__).with_suffix(".png")
size = "--window-size=1260,1500"
subprocess.run(
    ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", size, f"--screenshot={picture}", page.as_uri()], check=True
)  # fmt: skip
