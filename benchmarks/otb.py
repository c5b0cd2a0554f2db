"""Random forest of Orfeo ToolBox (Debian package ``otb-bin``): training on fields, and mapping."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any


def is_here() -> bool:
    """Return whether Orfeo ToolBox is installed."""
    return bool(shutil.which("otbcli_ImageClassifier"))


def forest(folder: Path, raster: str, most: int = -1) -> Callable[[], Any]:
    """Train 100 trees of depth 25 on ``fields.shp`` in `folder`; return the mapping function, which writes ``theirs.tif``.

    `most` is the maximum number of training samples per class; -1 uses all.
    """
    train = [
        "otbcli_TrainImagesClassifier", "-io.il", raster, "-io.vd", "fields.shp", "-sample.vfn", "code", "-sample.vtr", "0", "-sample.mt", str(most),
        "-sample.mv", "0", "-sample.bm", "0", "-classifier", "rf", "-classifier.rf.max", "25", "-classifier.rf.min", "1", "-classifier.rf.nbtrees", "100",
        "-classifier.rf.acc", "0", "-io.out", "theirs.model",
    ]  # fmt: skip
    done = subprocess.run(train, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-2000:] + done.stderr[-2000:])
    command = [
        "otbcli_ImageClassifier", "-in", raster, "-model", "theirs.model", "-out", "theirs.tif?&gdal:co:COMPRESS=DEFLATE&gdal:co:TILED=YES", "uint8",
        "-confmap", "theirs_confidence.tif?&gdal:co:COMPRESS=DEFLATE&gdal:co:TILED=YES", "float",
    ]  # fmt: skip
    return lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)
