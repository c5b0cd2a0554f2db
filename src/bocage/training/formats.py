"""Model folders of earlier versions, brought to the present one."""

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

RENAMED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "gru": ((r"^gru\.", "encoder.cell."), (r"^attention\.", "encoder.attention."), (r"^head\.", "heads.full.linear.")),
    "multiresolcc": ((r"^(pan|ms)(\d)\.", r"\1_branch.conv\2."),),
}
"""Parameters that format 1 called otherwise: pattern and replacement, by network."""


def from_1(said: Mapping[str, Any], weights: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Read format 1: bands were scaled by mean and deviation, and nothing was calibrated."""
    was = said["normalisation"]
    scaling = {"kind": "mean-std", "offset": was["mean"], "scale": was["deviation"]}
    found = {}
    for old, tensor in weights.items():
        name = old
        for pattern, new in RENAMED.get(said["name"], ()):
            name = re.sub(pattern, new, name)
        found[name] = tensor
    return {**said, "normalisation": scaling, "calibration": {}}, found
