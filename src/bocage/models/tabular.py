"""Table of features for classifiers that are not networks (random forest, boosted trees).

The table has one row per map pixel. Its columns are all bands of all dates of all sources, at the pixel itself or, for
sources named in `patches`, at each pixel of the patch around it. Sources named in `texture` add the measures of a window
around the map pixel (:mod:`bocage.models.texture`). Masked values are NaN, which the trees of both libraries accept. With
`gaps` "linear", masked dates of a series of native dates are interpolated first.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.errors import ModelError
from bocage.models.base import Batch, SourceTensor, at_map_pixels, centred, output_shape, pixel_footprint, repeat_to
from bocage.models.card import Footprint, InputSpec
from bocage.models.layers import Part, by_patches
from bocage.models.settings.columns import Columns

if TYPE_CHECKING:  # its kernels are compiled, and only tables with texture need them
    from bocage.models.texture import Texture

Classify = Callable[[NDArray[np.float32]], NDArray[Any]]
"""Rows (N, F), NaN where masked → probabilities (N, K)."""


class Table:
    """Turns the sources of a classifier into rows.

    Raises
    ------
    ModelError
        A source is missing, or `patches` or `texture` names a source that is not used.
    """

    def __init__(self, inputs: Mapping[str, InputSpec], columns: Columns, who: str) -> None:
        patches, texture = columns.patches, columns.texture
        missing = sorted((set(columns.sources) | set(patches) | set(texture)) - set(inputs))
        if missing:
            raise ModelError(f"{who}: no source is called {', '.join(missing)}. Sources: {', '.join(inputs)}.")
        self.inputs = {name: inputs[name] for name in (columns.sources or inputs)}
        for key, sizes in (("patches", patches), ("texture", texture)):
            if idle := sorted(set(sizes) - set(self.inputs)):
                raise ModelError(
                    f"{who}: model.{key} names '{idle[0]}', which is not in model.sources. Add it there, or remove it from "
                    f"model.{key}."
                )
        self.patches = {
            name: centred(patches[name], spec) if name in patches else pixel_footprint(spec)
            for name, spec in self.inputs.items()
        }
        """Source → pixels that are columns themselves: its patch, or the map pixel."""
        self.footprints: dict[str, Footprint] = {
            name: _both(own, centred(texture[name], self.inputs[name])) if name in texture else own
            for name, own in self.patches.items()
        }
        self.has_patches = bool(patches)
        self.texture = _texture(self.inputs, columns) if texture else None
        self.gaps = columns.gaps

    def fit(self, batch: Batch) -> NDArray[np.float32]:
        """Set the limits of the grey levels from the training samples, and return their rows (B, F)."""
        if self.texture:
            filled = self._filled(batch)
            for name in self.texture.sizes:
                self.texture.fit(name, filled[name].values, filled[name].valid)
        return self.rows(batch)

    def rows(self, batch: Batch) -> NDArray[np.float32]:
        """Return the rows (B, F) of a batch whose tensors have exactly one footprint each."""
        batch = self._filled(batch)
        tensors = (t for name in self.inputs for t in (batch[name].masked(), batch[name].valid))
        return self._joined(*tensors) if self.has_patches else self._pixels(batch, (1, 1))

    def probabilities(self, batch: Batch, n_classes: int, classify: Classify) -> Tensor:
        """Return the log-probabilities (B, K, Y, X), float32; classes absent from training get about −16."""
        shape = output_shape(batch, self.footprints, self.inputs)
        batch = self._filled(batch)
        if not self.has_patches:
            logits = _logarithm(classify(self._pixels(batch, shape)))
            return logits.reshape(-1, *shape, n_classes).permute(0, 3, 1, 2).contiguous()
        parts = [Part(batch[name], self.footprints[name], spec) for name, spec in self.inputs.items()]
        width = sum(s.dates * len(s.bands) * self.footprints[n].size ** 2 for n, s in self.inputs.items())
        return by_patches(
            lambda *tensors: _logarithm(classify(self._joined(*tensors))), parts, shape, width
        ).contiguous()

    def _filled(self, batch: Batch) -> Batch:
        """Return the batch with the masked dates of series of native dates interpolated, if the setting `gaps` says so."""
        if self.gaps == "missing":
            return batch
        series = {name for name, spec in self.inputs.items() if spec.dates > 1 and not spec.regular}
        return {name: interpolated(batch[name]) if name in series else batch[name] for name in self.inputs}

    def _pixels(self, batch: Batch, shape: tuple[int, int]) -> NDArray[np.float32]:
        columns = []
        for name, spec in self.inputs.items():
            own = batch[name].inner(self.footprints[name], spec.ratio, shape)
            values, valid = at_map_pixels(own, spec, shape)
            values = values.float().masked_fill(~valid[:, :, None], float("nan")).cpu()
            columns.append(values.permute(0, 3, 4, 1, 2).flatten(3).flatten(0, 2))
        for name in self.texture.sizes if self.texture else ():
            found = self._textured(name, batch[name].values, batch[name].valid, shape)
            columns.append(found.permute(0, 2, 3, 1).flatten(0, 2))
        return torch.cat(columns, 1).numpy()

    def _joined(self, *tensors: Tensor) -> NDArray[np.float32]:
        """Values and validity of the footprints of each source, in turn → rows; a source without a patch gives its mean."""
        columns = []
        for i, (name, spec) in enumerate(self.inputs.items()):
            values, valid = self._patch(name, tensors[2 * i].float(), tensors[2 * i + 1])
            if self.patches[name] == pixel_footprint(spec):
                count = valid.sum((2, 3))
                values = values.sum((3, 4)) / count.clamp_min(1)[..., None]
                valid = count[..., None, None] > 0
                values = values[..., None, None]
            columns.append(values.masked_fill(~valid[:, :, None], float("nan")).flatten(1).cpu())
        order = list(self.inputs)
        for name in self.texture.sizes if self.texture else ():
            values, valid = tensors[2 * order.index(name) :][:2]
            columns.append(self._textured(name, values, valid, (1, 1)).flatten(1))
        return torch.cat(columns, 1).numpy()

    def _patch(self, name: str, values: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Crop the footprint of a source to its patch, or to the map pixel."""
        own = self.patches[name]
        start = self.footprints[name].before - own.before
        part = (..., slice(start, start + own.size), slice(start, start + own.size))
        return values[part], valid[part]

    def _textured(self, name: str, values: Tensor, valid: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the texture (B, F, Y, X) of a source at the map pixels of `shape`, from its footprints."""
        from bocage.models.texture import Windows

        assert self.texture
        ratio, size = self.inputs[name].ratio, self.texture.sizes[name]
        beside = (ratio.finer - size) // 2 if size < ratio.finer else -centred(size, self.inputs[name]).before
        positions = (-(-shape[0] // ratio.coarser), -(-shape[1] // ratio.coarser))
        windows = Windows(size, self.footprints[name].before + beside, ratio.finer, positions)
        return repeat_to(self.texture.columns(name, values, valid, windows), ratio, shape)


def _both(first: Footprint, second: Footprint) -> Footprint:
    """Return the smallest footprint that contains two others."""
    before = max(first.before, second.before)
    return Footprint(before + max(first.size - first.before, second.size - second.before), before)


def _texture(inputs: Mapping[str, InputSpec], columns: Columns) -> "Texture":
    from bocage.models.texture import Texture

    return Texture(inputs, columns.texture, columns.grey_levels)


def interpolated(tensor: SourceTensor) -> SourceTensor:
    """Return a series with each masked date interpolated linearly in time, between the previous and the next clear date.

    Before the first and after the last clear date, the value of that date is used. A pixel without a clear date stays masked.
    """
    count, valid = tensor.valid.shape[1], tensor.valid
    date = torch.arange(count, device=valid.device)[:, None, None].expand(valid.shape)
    before = date.masked_fill(~valid, -1).cummax(1).values
    after = date.masked_fill(~valid, count).flip(1).cummin(1).values.flip(1)
    first = torch.where(before < 0, after, before).clamp_max(count - 1)
    last = torch.where(after == count, first, after)
    days = tensor.days[:, :, None, None].expand(valid.shape).double()
    start, stop = days.gather(1, first), days.gather(1, last)
    weight = ((days - start) / (stop - start).clamp_min(1)).clamp(0, 1).to(tensor.values.dtype)[:, :, None]
    values = tensor.masked()
    low, high = (values.gather(1, at[:, :, None].expand(values.shape)) for at in (first, last))
    return SourceTensor(low + weight * (high - low), valid.any(1, keepdim=True).expand(valid.shape), tensor.days)


def _logarithm(probabilities: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.log(np.maximum(probabilities, 1e-7)).astype(np.float32))
