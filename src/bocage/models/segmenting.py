"""Base of the networks that segment windows: they pool and upsample, and are trained on windows with labels.

A network of padded convolutions computes a pixel near the border of its window otherwise than inside. For a map, the window is
therefore read with a halo that covers the receptive field, and starts at a multiple of the total stride: the logits of a pixel
do not depend on the window that contains it. In training, the window has no halo, as in the papers.
"""

import math
from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from bocage.models.base import Batch, Network, SourceTensor, output_shape, pixel_footprint, repeat_to
from bocage.models.card import Footprint, InputSpec


class Segmenting(Network):
    """A network of one source; a subclass defines :meth:`segment`."""

    def __init__(self, spec: InputSpec, stride: int, halo: int) -> None:
        """Set the geometry.

        Parameters
        ----------
        stride
            Total stride of the poolings, in pixels of the source.
        halo
            Pixels of the source on each side from which a pixel is computed, at least; a multiple of `stride`.
        """
        super().__init__()
        self.spec, self.stride, self.halo = spec, stride, halo
        self.inputs = {spec.name: spec}
        self.footprints: dict[str, Footprint] = {spec.name: Footprint(spec.ratio.finer + 2 * halo, halo)}
        self.step = stride * spec.ratio.coarser // math.gcd(stride, spec.ratio.finer)

    @property
    def window_footprints(self) -> Mapping[str, Footprint]:
        """The pixels of the window alone, without a halo."""
        return {self.spec.name: pixel_footprint(self.spec)}

    def segment(self, tensor: SourceTensor) -> Tensor:
        """Return the logits (B, K, Y, X) of each pixel of the source; the sides of `tensor` are multiples of the stride."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X)."""
        rows, columns = output_shape(batch, self.footprints, self.inputs)
        found, ratio = self._segment(batch[self.spec.name]), self.spec.ratio
        height, width = (-(-n * ratio.finer // ratio.coarser) for n in (rows, columns))
        inner = found[..., self.halo : self.halo + height, self.halo : self.halo + width]
        return self._at_map(inner, (rows, columns))

    def dense(self, batch: Batch) -> Tensor:
        """Return the logits (B, K, Y, X) of windows without a halo."""
        found, ratio = self._segment(batch[self.spec.name]), self.spec.ratio
        return self._at_map(found, (found.shape[-2] * ratio.coarser, found.shape[-1] * ratio.coarser))

    def _segment(self, tensor: SourceTensor) -> Tensor:
        """Return the logits of each pixel of the source; the window is extended to whole strides, by masked pixels."""
        height, width = tensor.values.shape[-2:]
        more = (0, -width % self.stride, 0, -height % self.stride)
        values, valid = functional.pad(tensor.masked(), more), functional.pad(tensor.valid, more)
        return self.segment(SourceTensor(values, valid, tensor.days))[..., :height, :width]

    def _at_map(self, logits: Tensor, shape: tuple[int, int]) -> Tensor:
        """Return the mean logits of the source's pixels in a map pixel, or those of the pixel of a coarser source."""
        if self.spec.ratio.finer > 1:
            logits = functional.avg_pool2d(logits, self.spec.ratio.finer)
        return repeat_to(logits, self.spec.ratio, shape)


def halves(valid: Tensor, levels: int) -> list[Tensor]:
    """Return a mask (B, T, Y, X) at `levels` resolutions, each half of the one before: whether one of its pixels is valid."""
    found = [valid]
    for _ in range(levels - 1):
        found.append(functional.max_pool2d(found[-1].float(), 2) > 0)
    return found
