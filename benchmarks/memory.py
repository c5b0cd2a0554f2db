"""Peak memory of ``bocage map`` on a simulated scene and on scenes 4 and 16 times larger, with windows of the same size."""

from pathlib import Path

from benchmarks.frame import Results, command_line
from benchmarks.measuring import bocage, scratch
from benchmarks.recipes import Table, landscape, quick, read, write
from bocage.layout import RunLayout
from bocage.simulate import Simulation

HEIGHT, WIDTH, SCALES = 603, 702, (1, 2, 4)
"""Height and width of the first scene in PAN pixels, and scale factors of the sides."""
NETWORK = {"pan_filters": [16, 32, 64], "ms_filters": [32, 64, 128]}
"""Smaller than published, so that the large scene takes one minute; the benchmark does not compare the memory of a tile."""


def quick_recipe(land: Path) -> Table:
    """Return the recipe of a small MultiResoLCC on a landscape of PAN and MS."""
    return quick(read(land / "multiresolcc.toml"), {"samples_per_epoch": 300}, **NETWORK)


def run() -> str:
    """Measure the peak memory, and return it in words."""
    peaks, recipes = {}, {}
    with scratch() as folder:
        for scale in SCALES:
            settings = Simulation(height=HEIGHT * scale, width=WIDTH * scale, polygons=8, sensors=("vhr",))
            land = landscape(folder / f"land{scale}", settings)
            recipes[scale] = write(land / "quick.toml", quick_recipe(land))
        bocage("train", recipes[1], "--out", folder / "run")
        model = RunLayout(folder / "run").split(0).model.path
        for scale in SCALES:
            peaks[scale] = bocage("map", recipes[scale], "--model", model, "--out", folder / f"map{scale}")
    ratios = {scale: peaks[scale] / peaks[1] for scale in SCALES}
    Results("memory").save({"peak_mb": peaks, "ratio": ratios, "height": HEIGHT, "width": WIDTH})
    larger = ", ".join(f"{peaks[s]:.0f} MB for {s * s} times ({ratios[s]:.2f})" for s in SCALES[1:])
    return f"bocage map, peak memory: {peaks[1]:.0f} MB for {HEIGHT} x {WIDTH} PAN pixels, {larger}"


if __name__ == "__main__":
    command_line(__name__)
