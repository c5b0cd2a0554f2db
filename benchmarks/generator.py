"""Generator of clouded Sentinel-2 dates: a small masked autoencoder over the dates of a pixel, its neighbours and radar.

It learns on the pixels of one scene without labels, as masked autoencoders of series do (Dumeur et al. 2024, U-BARN,
doi:10.1109/JSTARS.2024.3350066). Clouds of other dates of the scene, mirrored and shifted, hide clear values, and the network
estimates them. It returns a correction of linear interpolation, and starts at no correction.

::

    date: linear interpolation, clear?, days to the clear dates around, means of 5 × 5 and 21 × 21 neighbours, radar
      └→ W, + day of the year + date → attention over dates, twice → correction of each band
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, uniform_filter
from torch import Tensor, nn
from torch.nn import functional

from bocage.models.layers import HARMONICS, waves
from bocage.scene.gaps import interpolate
from bocage.scene.speckle import Speckle

NEIGHBOURS = (5, 21)
"""Sides of the windows of neighbours, in pixels."""
RUNS = (5, 15, 30, 50)
"""Durations of a cloud in days."""
SPREAD = 6.0
"""Standard deviation, in days, of the weights of radar dates around a Sentinel-2 date."""
MONTH = 30.0
"""Unit of the distances in time, in days."""


@dataclass(frozen=True)
class Series:
    """Dates of one source over a whole scene; a table has one pixel per row of the scene."""

    values: NDArray[np.float32]
    """(time, band, y, x); 0 where not valid."""
    valid: NDArray[np.bool_]
    """(time, y, x)."""
    days: NDArray[np.int32]
    """(time,) days since 1970-01-01, ascending."""

    @property
    def is_table(self) -> bool:
        """Whether the pixels have no neighbours."""
        return self.valid.shape[2] == 1

    def without(self, hidden: NDArray[np.bool_]) -> "Series":
        """Return the series with more values masked."""
        valid = self.valid & ~hidden
        return replace(self, values=self.values * valid[:, None], valid=valid)

    def buffered(self, width: int) -> "Series":
        """Return the series without the clear values up to `width` pixels from a masked value: masks miss the edges of clouds."""
        if not width or self.is_table:
            return self
        return self.without(binary_dilation(~self.valid, np.ones((1, 2 * width + 1, 2 * width + 1), bool)))

    @cached_property
    def linear(self) -> NDArray[np.float32]:
        """Linear interpolation at all dates, (time, band, y, x)."""
        return interpolate(self.values, self.valid, self.days, self.days)[0]

    @cached_property
    def apart(self) -> NDArray[np.float32]:
        """Days to the last clear date on or before each date, and to the first on or after it, (2, time, y, x); inf: none."""
        day = self.days.astype(np.float32)[:, None, None]
        before = np.maximum.accumulate(np.where(self.valid, day, -np.inf))
        after = np.minimum.accumulate(np.where(self.valid, day, np.inf)[::-1])[::-1]
        return np.stack([day - before, after - day]).astype(np.float32)


def clouds(seen: Series, share: float, generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return clear values to hide, about a `share` of them, (time, y, x): clouds of some dates over runs of dates.

    Each cloud has the shape of the mask of a date of the scene, mirrored and shifted, or covers a window of dates wholly (a fifth
    of the clouds). In a table, a cloud covers a random third of the rows.
    """
    hidden = np.zeros_like(seen.valid)
    covered = 1 - seen.valid.mean((1, 2))
    partial = np.flatnonzero((covered > 0.05) & (covered < 0.95))
    wanted = share * seen.valid.sum()
    while (hidden & seen.valid).sum() < wanted:
        start = generator.uniform(seen.days[0] - max(RUNS), seen.days[-1])
        run = (seen.days >= start) & (seen.days < start + generator.choice(RUNS))
        if not run.any():
            continue
        hidden[run] |= _shape(seen, partial, generator)
    return hidden & seen.valid


def _shape(seen: Series, partial: NDArray[Any], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Return the shape of a cloud, (y, x)."""
    _, height, width = seen.valid.shape
    if seen.is_table:
        return generator.random((height, width)) < 1 / 3
    if not len(partial) or generator.random() < 0.2:
        return np.ones((height, width), bool)
    shape = ~seen.valid[generator.choice(partial)][:: generator.choice([-1, 1]), :: generator.choice([-1, 1])]
    return np.roll(shape, (generator.integers(height), generator.integers(width)), (0, 1))


@dataclass(frozen=True)
class Settings:
    """Settings of the network and its training."""

    kind: str = "attention"
    """"attention" over dates, or "dense": a perceptron over all dates."""
    width: int = 64
    """Channels."""
    steps: int = 600
    """Optimiser steps."""
    batch: int = 128
    """Pixels of a step."""
    rate: float = 2e-3
    """Maximum learning rate."""
    radar: bool = True
    """Whether radar is an input."""
    neighbours: bool = True
    """Whether neighbours are an input."""


class Network(nn.Module):
    """Features (B, T, F) and days (T,) → corrections (B, T, C) of linear interpolation, in standard deviations."""

    def __init__(self, dates: int, features: int, bands: int, settings: Settings) -> None:
        super().__init__()
        self.kind, width = settings.kind, settings.width
        self.bands = nn.Linear(features, width)
        self.day = nn.Linear(2 * HARMONICS, width, bias=False)
        self.date = nn.Parameter(torch.zeros(dates, width))
        if self.kind == "attention":
            layer = nn.TransformerEncoderLayer(
                width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True, activation=functional.gelu
            )
            self.dates: nn.Module = nn.TransformerEncoder(layer, 2, nn.LayerNorm(width), enable_nested_tensor=False)
        else:
            inner = 6 * width
            self.dates = nn.Sequential(
                nn.Flatten(1), nn.Linear(dates * width, inner), nn.GELU(), nn.Linear(inner, inner), nn.GELU(),
                nn.Linear(inner, dates * width), nn.Unflatten(1, (dates, width)),
            )  # fmt: skip
        self.head = nn.Linear(width, bands)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, features: Tensor, days: Tensor) -> Tensor:
        """(B, T, F) and days (T,) → (B, T, C)."""
        hidden = self.bands(features) + self.day(waves(days[None]).to(features.dtype)) + self.date
        corrections: Tensor = self.head(hidden + self.dates(hidden))
        return corrections


@dataclass(frozen=True)
class Generator:
    """A trained network, with the scaling of its inputs."""

    network: Network
    mean: NDArray[np.float32]
    """(C,) mean of each band of Sentinel-2, from visible values."""
    deviation: NDArray[np.float32]
    """(C,) standard deviation of each band."""
    radar: NDArray[np.float32] | None
    """(time, y, x, polarisation) standardised radar at the dates of Sentinel-2."""
    settings: Settings
    seconds: float = 0.0
    """CPU seconds of the training."""

    def fill(self, seen: Series) -> NDArray[np.float32]:
        """Return all dates: the clear values, and estimates elsewhere, (time, band, y, x)."""
        features, days = self.features(seen), torch.from_numpy(seen.days)
        flat = torch.from_numpy(features.reshape(-1, *features.shape[2:]))
        with torch.no_grad():
            parts = [self.network(part, days) for part in flat.split(1024)]
        shape = (*seen.valid.shape[1:], *parts[0].shape[1:])
        correction = torch.cat(parts).numpy().reshape(shape).transpose(2, 3, 0, 1)
        estimate = seen.linear + correction * self.deviation[:, None, None]
        return np.where(seen.valid[:, None], seen.values, estimate)

    def features(self, seen: Series) -> NDArray[np.float32]:
        """Return the inputs of the network, (y, x, time, F)."""
        scaled = self.scaled(seen.linear)
        apart = np.minimum(seen.apart / MONTH, 3)
        parts = [scaled, seen.valid[:, None], apart.transpose(1, 0, 2, 3)]
        if self.settings.neighbours and not seen.is_table:
            observed = self.scaled(seen.values) * seen.valid[:, None]
            for side in NEIGHBOURS:
                share = uniform_filter(seen.valid.astype(np.float32), (0, side, side), mode="constant")[:, None]
                means = uniform_filter(observed, (0, 0, side, side), mode="constant") / np.maximum(share, 1e-3)
                parts += [means, share]
        if self.radar is not None:
            parts.append(self.radar.transpose(0, 3, 1, 2))
        return np.ascontiguousarray(np.concatenate(parts, 1, dtype=np.float32).transpose(2, 3, 0, 1))

    def scaled(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return values (time, band, y, x) in standard deviations from the mean of a band."""
        return (values - self.mean[:, None, None]) / self.deviation[:, None, None]


def at_dates(radar: Series, days: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return despeckled and standardised radar at other dates, (time, y, x, polarisation): weighted means of near dates."""
    values = radar.values if radar.is_table else Speckle(7).apply(radar.values, radar.valid)
    near = np.exp(-0.5 * ((days[:, None] - radar.days) / SPREAD) ** 2).astype(np.float32) + 1e-6
    weight = np.einsum("st,tyx->syx", near, radar.valid.astype(np.float32))
    sums = np.einsum("st,tcyx->syxc", near, values * radar.valid[:, None])
    means = sums / np.maximum(weight, 1e-9)[..., None]
    known = weight > 1e-5
    means = (means - means[known].mean(0)) / means[known].std(0)
    return np.asarray(np.clip(means, -5, 5) * known[..., None], np.float32)


def trained(seen: Series, radar: Series | None, settings: Settings, seed: int) -> Generator:
    """Train a generator on the visible values of a scene."""
    started = time.process_time()
    torch.manual_seed(seed)
    draw = np.random.default_rng(seed)
    clear = seen.values.transpose(0, 2, 3, 1)[seen.valid]
    use = radar if settings.radar else None
    generator = Generator(
        nn.Module(),  # type: ignore[arg-type]
        clear.mean(0), clear.std(0), None if use is None else at_dates(use, seen.days), settings,
    )  # fmt: skip
    features = generator.features(seen).shape[-1]
    network = Network(len(seen.days), features, clear.shape[1], settings)
    generator = replace(generator, network=network)
    optimiser = torch.optim.AdamW(network.parameters(), settings.rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, settings.rate, settings.steps)
    days = torch.from_numpy(seen.days)
    for inputs, target, hidden in _batches(generator, seen, draw):
        error = functional.smooth_l1_loss(network(inputs, days)[hidden], target[hidden])
        optimiser.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        schedule.step()
    network.eval()
    return replace(generator, seconds=time.process_time() - started)


def _batches(generator: Generator, seen: Series, draw: np.random.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield the batches of all steps: inputs (B, T, F), corrections (B, T, C) and whether a value is hidden (B, T).

    The same clouds hide values of the whole scene for 48 batches; then others are drawn.
    """
    size, done, steps = generator.settings.batch, 0, generator.settings.steps
    while True:
        hidden = clouds(seen, draw.uniform(0.15, 0.5), draw)
        visible = seen.without(hidden)
        features = generator.features(visible)
        inputs = features.reshape(-1, *features.shape[2:])
        error = ((seen.values - visible.linear) / generator.deviation[:, None, None]).transpose(2, 3, 0, 1)
        target, where = error.reshape(-1, *error.shape[2:]), hidden.transpose(1, 2, 0).reshape(-1, len(seen.days))
        worth = draw.permutation(np.flatnonzero(where.any(1)))
        for start in range(0, min(len(worth), 48 * size) - size + 1, size):
            part = np.sort(worth[start : start + size])
            yield torch.from_numpy(inputs[part]), torch.from_numpy(target[part]), torch.from_numpy(where[part])
            done += 1
            if done == steps:
                return
