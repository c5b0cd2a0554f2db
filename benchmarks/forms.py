"""Networks alone on arrays in memory: windows compared with patches, and the share of the machine's convolution rate.

MultiResoLCC, M3Fusion and TWINNS at their published sizes and data shapes, float32 and bfloat16, on all cores. As in the
production of a map, each core computes its own cells. Patches are computed one by one, and 128 at a time.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor

from benchmarks.frame import Results, command_line
from benchmarks.measuring import convolution, interleaved, product, seconds
from bocage.models import MODELS, InputSpec, SourceTensor, build, card_of
from bocage.models.facts import size_of

CLASSES, ROUNDS, BATCH, SINGLE = 8, 3, 128, 24
CASES = {"multiresolcc": (256, 512), "m3fusion": (16, 128), "twinns": (16, 128)}
"""Network → side of the window in map pixels, and number of timed patches."""
Batch = dict[str, SourceTensor]


def run() -> str:
    """Measure all networks, and return a line for each."""
    found = {name: _measure(name, *sizes) for name, sizes in CASES.items()}
    Results("forms").save(found)
    return "\n" + "\n".join(_line(name, figures) for name, figures in found.items())


class _Network:
    """A network with random inputs: a window, and the patches of its first pixels."""

    def __init__(self, name: str, side: int, patches: int) -> None:
        torch.manual_seed(0)
        self.inputs: dict[str, InputSpec] = dict(card_of(MODELS.get(name)).example)
        self.model = build(MODELS.get(name), self.inputs, CLASSES, MODELS.get(name).Config()).eval()
        _settle(self.model)
        self.side, self.count = side, min(patches, side * side)
        self.window = {n: self._random(n) for n in self.inputs}
        self.patches = self._cut(BATCH, self.count)
        self.singles = self._cut(1, SINGLE)

    def _random(self, name: str) -> SourceTensor:
        spec, foot = self.inputs[name], self.model.footprints[name]
        pixels = -(-self.side * spec.ratio.finer // spec.ratio.coarser) - spec.ratio.finer + foot.size
        return _tensor(torch.randn(1, spec.dates, len(spec.bands), pixels, pixels))

    def _cut(self, batch: int, count: int) -> list[Batch]:
        """Return the patches of the first `count` pixels, in batches of `batch`."""
        places = [(i // self.side, i % self.side) for i in range(count)]
        found = []
        for start in range(0, count, batch):
            part = {}
            for name, spec in self.inputs.items():
                values, size = self.window[name].values, self.model.footprints[name].size
                at = [
                    (y * spec.ratio.finer // spec.ratio.coarser, x * spec.ratio.finer // spec.ratio.coarser)
                    for y, x in places[start : start + batch]
                ]
                part[name] = _tensor(torch.cat([values[..., y : y + size, x : x + size] for y, x in at]))
            found.append(part)
        return found

    def windows(self, precision: torch.dtype) -> list[Tensor]:
        """Compute the window once on each core; return the logits."""
        cores = torch.get_num_threads()
        return _each_core(lambda _: self._forward(self.window, precision), range(cores))

    def by_patches(self, parts: list[Batch], precision: torch.dtype) -> list[Tensor]:
        """Compute batches of patches, with PyTorch's threads on all cores; return the logits."""
        return [self._forward(part, precision)[:, :, 0, 0] for part in parts]

    @torch.inference_mode()
    def _forward(self, batch: Batch, precision: torch.dtype) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            return self.model(batch).float()


def _measure(name: str, side: int, patches: int) -> dict[str, Any]:
    network, cores, found = _Network(name, side, patches), torch.get_num_threads(), dict[str, Any]()
    logits = network.windows(torch.float32)[0][0].flatten(1).T[: network.count]
    exact = torch.cat(network.by_patches(network.patches, torch.float32))
    found["largest_difference"] = float((logits - exact).abs().max())
    adds = size_of(MODELS.get(name)).multiply_adds
    for label, dtype in precisions().items():
        rate, rate_adds = convolution(dtype)
        matrix, matrix_adds = product(dtype)
        works: dict[str, Callable[[], Any]] = {
            "windows": lambda dtype=dtype: network.windows(dtype),
            "patches": lambda dtype=dtype: network.by_patches(network.patches, dtype),
            "singles": lambda dtype=dtype: network.by_patches(network.singles, dtype),
            "convolution": lambda rate=rate: _each_core(lambda _: rate(), range(cores)),
            "product": lambda matrix=matrix: _each_core(lambda _: matrix(), range(cores)),
        }
        spent = interleaved(works, ROUNDS)
        pixels = cores * side * side / spent["windows"]
        found[label] = {
            "windows_pixels_per_second": pixels,
            "patches_pixels_per_second": network.count / spent["patches"],
            "singles_pixels_per_second": SINGLE / spent["singles"],
            "times_patches_one_by_one": pixels * spent["singles"] / SINGLE,
            "times_patches_in_batches": pixels * spent["patches"] / network.count,
            "convolution_gflops": 2e-9 * rate_adds * cores / spent["convolution"],
            "product_gflops": 2e-9 * matrix_adds * cores / spent["product"],
            "share_of_convolution_rate": pixels * adds / (rate_adds * cores / spent["convolution"]),
        }
        found[label]["times_patches_in_float32_batches"] = pixels / found["float32"]["patches_pixels_per_second"]
    return found | {"multiply_adds_per_pixel": adds, "side": side, "patches": network.count, "cores": cores}


def precisions() -> dict[str, torch.dtype]:
    """Return float32, and bfloat16 if the processor has instructions for it (it is many times slower if emulated)."""
    whole, reduced = (seconds(convolution(dtype)[0]) for dtype in (torch.float32, torch.bfloat16))
    return {"float32": torch.float32} | ({"bfloat16": torch.bfloat16} if reduced < 2 * whole else {})


def _each_core(work: Callable[[int], Any], items: Any) -> list[Any]:
    """Call `work` for each item in parallel, each call with one PyTorch thread."""
    before = torch.get_num_threads()

    def alone(item: int) -> Any:
        torch.set_num_threads(1)
        with torch.inference_mode():
            return work(item)

    try:
        with ThreadPoolExecutor(len(items)) as pool:
            return list(pool.map(alone, items))
    finally:
        torch.set_num_threads(before)


def _settle(model: torch.nn.Module) -> None:
    """Set random statistics of batch normalisation, as after training: the initial ones have no effect."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.running_mean.normal_()  # type: ignore[union-attr, operator]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr, operator]


def _tensor(values: Tensor) -> SourceTensor:
    valid = torch.ones(*values.shape[:2], *values.shape[3:], dtype=torch.bool)
    return SourceTensor(
        values, valid, torch.arange(0, 10 * values.shape[1], 10, dtype=torch.int32).repeat(len(values), 1)
    )


def _line(name: str, f: dict[str, Any]) -> str:
    texts = [
        f"{label}: {f[label]['windows_pixels_per_second']:.0f} pixels/s, {f[label]['times_patches_one_by_one']:.1f} times patches one by one and "
        f"{f[label]['times_patches_in_batches']:.1f} times patches in batches of {BATCH} ({f[label]['times_patches_in_float32_batches']:.1f} times those in float32), {f[label]['share_of_convolution_rate']:.0%} of the "
        f"convolution rate ({f[label]['convolution_gflops']:.0f} GFLOPS)"
        for label in ("float32", "bfloat16")
        if label in f
    ]
    if "bfloat16" not in f:
        texts.append("bfloat16: this processor has no instructions for it")
    return f"  {name}: largest difference of logits {f['largest_difference']:.1e}; " + "; ".join(texts)


if __name__ == "__main__":
    command_line(__name__)
