"""What the page shows of one pixel of the map: values of its layers, class probabilities, series of the sources."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from bocage.disk import artefact
from bocage.errors import BocageError
from bocage.grid import WGS84, Grid, Ratio, Window
from bocage.layout import ModelLayout
from bocage.machine import device_of
from bocage.models import Footprint
from bocage.scene import Block, Cube
from bocage.view.raster import part
from bocage.view.viewed import RasterLayer, Viewed


@dataclass(frozen=True)
class Pixel:
    """A pixel of the map."""

    viewed: Viewed
    row: int
    column: int

    @property
    def window(self) -> Window:
        """The pixel as a window of the map."""
        return Window(self.row, self.column, 1, 1)

    @property
    def is_inside(self) -> bool:
        """Whether the pixel is in the map."""
        return self.window.clip(self.viewed.grid.shape) == self.window

    def described(self) -> dict[str, Any]:
        """Return position, layers of the map, class probabilities and reference; no series."""
        grid = self.viewed.grid
        x, y = grid.transform @ (self.column + 0.5, self.row + 0.5)
        longitude, latitude = Transformer.from_crs(grid.crs.proj, WGS84, always_xy=True).transform(x, y)
        values = {name: self._values(layer) for name, layer in self.viewed.layers.items()}
        known = np.isfinite([longitude, latitude]).all()
        place = {"x": x, "y": y, "longitude": longitude if known else None, "latitude": latitude if known else None}
        return {
            "row": self.row, "column": self.column, **place,
            "code": (values.get("classes") or [None])[0],
            "layers": {name: values[name] for name in values if name not in ("classes", "probabilities")},
            **self._probabilities(values.get("probabilities")), "reference": self._reference(),
        }  # fmt: skip

    def _values(self, layer: RasterLayer) -> list[float | None]:
        """Return the value of each band of a layer, in physical units; None without data."""
        grid = self.viewed.grid.crop(self.window)
        found = []
        for k, scale in enumerate(layer.scales):
            values, valid = part(layer.path, (k + 1,), grid, "nearest")
            value = values[0, 0, 0].item()
            found.append((value * scale if scale != 1 else value) if valid[0, 0, 0] else None)
        return found

    def _probabilities(self, layer: list[float | None] | None) -> dict[str, Any]:
        """Return the probability of each class and where it comes from: the layer of the map, or the test of the model."""
        if layer is not None:
            return {"probabilities": layer, "probabilities_from": "map"}
        k = self._tested_at()
        if k is None or self.viewed.tested is None or not self.viewed.tested.probabilities.size:
            return {"probabilities": None, "probabilities_from": None}
        found = self._in_legend(self.viewed.tested.probabilities[k], self.viewed.tested_codes)
        return {"probabilities": found, "probabilities_from": "test" if found else None}

    def _in_legend(self, probabilities: NDArray[Any], codes: Sequence[int]) -> list[float | None] | None:
        """Return the probability of each class of the page, which is None for a class that the model lacks.

        `codes` are those of the probabilities, whose legend may lack classes of the recipe; without them, None is returned.
        """
        if len(codes) != len(probabilities):
            return None
        by_code = dict(zip(codes, probabilities.tolist(), strict=True))
        return [by_code.get(code) for code in self.viewed.legend.codes]

    def _tested_at(self) -> int | None:
        """Return the position of the pixel among the test pixels; None if it is none of them."""
        tested = self.viewed.tested
        if tested is None:
            return None
        here = np.flatnonzero((tested.row == self.row) & (tested.column == self.column))
        return int(here[0]) if len(here) else None

    def _reference(self) -> dict[str, Any] | None:
        """Return class, polygon and part of the pixel; None if it is not labelled."""
        samples = self.viewed.samples
        if samples is None:
            return None
        here = np.flatnonzero((samples.row == self.row) & (samples.column == self.column))
        if not len(here):
            return None
        mine = next((name for name, members in samples.parts.items() if here[0] in members), "unused")
        k = int(samples.label[here[0]])
        return {"name": samples.legend.labelled(k).name, "part": mine, "polygon": int(samples.polygon[here[0]])}

    def series(self) -> list[dict[str, Any]]:
        """Return the series of the pixel in every source: dates, values, clear and masked dates, gap-filled values.

        Where several pixels of a source are in the map pixel, the values are those at its centre.
        """
        scene = self.viewed.scene
        return [] if scene is None else [self._series_of(cube) for cube in scene.cubes.values()]

    def _series_of(self, cube: Cube) -> dict[str, Any]:
        window = centre_of(cube.ratio, self.window)
        record = {"name": cube.name, "dated": cube.source.dated, "bands": list(cube.bands)}
        as_acquired = replace(cube, preparation=replace(cube.preparation, fill=None), prepared=None)
        try:
            seen = as_acquired.compute(window)
            filled = cube.compute(window) if cube.preparation.fill else None
        except BocageError as error:  # a file may have moved since the page was opened
            return {**record, "error": str(error)}
        of_filled = None if filled is None else {"days": cube.days.tolist(), "values": _columns(filled)}
        clear = seen.valid[:, 0, 0].tolist()
        return {
            **record, "days": cube.source.days.tolist(), "clear": clear, "values": _columns(seen), "filled": of_filled,
        }  # fmt: skip

    def modelled(self) -> dict[str, Any]:
        """Return what the model of the run gives at the pixel: probabilities, and attention weights of the dates of the map.

        Raises
        ------
        TrainedError
            The model's folder is damaged.
        SceneError
            No acquisition is left until the last day of the map.
        SourceError
            A file cannot be read.
        """
        from bocage.mapping import attention_at, predict, scene_for  # PyTorch is imported with the first pixel

        viewed = self.viewed
        if viewed.model is None or viewed.scene is None:
            return {"probabilities": None, "attention": {}}
        until, trained, scene = viewed.until, viewed.trained, viewed.scene
        scene = scene_for(trained, scene, until) if until else scene
        scene = trained.limited(scene)
        trained = trained.for_scene(scene)
        found = predict(trained, scene, self.window, device_of("cpu"))
        seen, probabilities = found.valid[0, 0], found.probabilities[:, 0, 0]
        weights = attention_at(trained, scene, self.row, self.column) if seen else {}
        calendar = {name: scene.cubes[name].days.tolist() for name in weights}
        return {
            "probabilities": self._in_legend(probabilities, trained.legend.codes) if seen else None,
            "attention": {
                name: {"days": calendar[name], "weights": weight.tolist()} for name, weight in weights.items()
            },
        }


def _columns(block: Block) -> list[list[float | None]]:
    """Return the values of a pixel as one list for each band; None where not valid."""
    valid = block.valid[:, 0, 0]
    return [
        [float(v) if known else None for v, known in zip(band, valid, strict=True)]
        for band in block.values[:, :, 0, 0].T
    ]


def centre_of(ratio: Ratio, pixel: Window) -> Window:
    """Return the pixel of a source at the centre of a pixel of the map."""
    around = ratio.window(pixel)
    return Window(around.y + around.height // 2, around.x + around.width // 2, 1, 1)


def footprints_of(model: Path | None) -> dict[str, Footprint]:
    """Return source → footprint of the network in a model folder; empty without a model."""
    description = ModelLayout(model).description if model else None
    if description is None or not description.exists():
        return {}
    with artefact(description):
        record = json.loads(description.read_text(encoding="utf-8"))
        return {name: Footprint(**said) for name, said in record.get("footprints", {}).items()}


def patch_grid(viewed: Viewed, source: str, row: int, column: int) -> tuple[Grid, int] | None:
    """Return the grid of what the network sees of a source around a pixel, and its side in pixels; None without a network."""
    footprint = footprints_of(viewed.model).get(source)
    if footprint is None or viewed.scene is None or source not in viewed.scene.cubes:
        return None
    cube = viewed.scene.cubes[source]
    return cube.grid.crop(footprint.window(Window(row, column, 1, 1), cube.ratio)), footprint.size
