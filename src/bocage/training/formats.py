"""Conversion of model folders of earlier formats to the current format."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "gru": ((r"^gru\.", "encoder.cell."), (r"^attention\.", "encoder.attention."), (r"^head\.", "heads.full.linear.")),
    "multiresolcc": ((r"^(pan|ms)(\d)\.", r"\1_branch.conv\2."),),
}
"""Network → patterns and replacements for parameters that had another name in format 1."""


def from_1(said: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Convert description and weights of format 1, which scaled bands by mean and deviation and had no calibration."""
    before = said["normalisation"]
    scaling = {"kind": "mean-std", "offset": before["mean"], "scale": before["deviation"]}
    renamed = {}
    for old, tensor in weights.items():
        name = old
        for pattern, new in RENAMED.get(said["name"], ()):
            name = re.sub(pattern, new, name)
        renamed[name] = tensor
    return {**said, "normalisation": scaling, "calibration": {}}, renamed
