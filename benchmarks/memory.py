"""Peak memory of ``bocage map`` on a simulated scene and on scenes 4 and 16 times larger, with windows of the same size."""

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.record import save

HEIGHT, WIDTH, SCALES = 603, 702, (1, 2, 4)
"""Height and width of the first scene in PAN pixels, and scale factors of the sides."""
NETWORK = "pan_filters = [16, 32, 64]\nms_filters = [32, 64, 128]"
"""Smaller than published, so that the large scene takes one minute; the benchmark does not compare the memory of a tile."""


def bocage(*arguments: object) -> float:
    """Run a bocage command and return its peak resident memory in MB."""
    code = (
        "import sys; from bocage.cli import main; from bocage.machine import peak_memory;"
        "code = main(sys.argv[1:]); print(peak_memory() / 2**20); sys.exit(code)"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    return float(done.stdout.split()[-1])


def run() -> str:
    peaks = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scale in SCALES:
            land = folder / f"land{scale}"
            bocage(
                "simulate",
                land,
                "--height",
                HEIGHT * scale,
                "--width",
                WIDTH * scale,
                "--sensor",
                "vhr",
                "--polygons",
                8,
            )
            recipe = land / "multiresolcc.toml"
            text = recipe.read_text().replace(
                'name = "multiresolcc"\n\n[training]', f'name = "multiresolcc"\n{NETWORK}\n\n[training]'
            )
            text = (
                text.replace("draws = 1", 'draws = 1\nrare = "drop"')
                .replace("epochs = 20", "epochs = 1")
                .replace("samples_per_epoch = 4000", "samples_per_epoch = 300")
            )
            recipe.write_text(text)
        bocage("train", folder / "land1/multiresolcc.toml", "--out", folder / "run")
        model = folder / "run/splits/0/model"
        for scale in SCALES:
            out = folder / f"map{scale}"
            peaks[scale] = bocage("map", folder / f"land{scale}/multiresolcc.toml", "--model", model, "--out", out)
    ratios = {scale: peaks[scale] / peaks[1] for scale in SCALES}
    save("memory", {"peak_mb": peaks, "ratio": ratios, "height": HEIGHT, "width": WIDTH})
    told = ", ".join(f"{peaks[s]:.0f} MB for {s * s} times ({ratios[s]:.2f})" for s in SCALES[1:])
    return f"bocage map, peak memory: {peaks[1]:.0f} MB for {HEIGHT} x {WIDTH} PAN pixels, {told}"
