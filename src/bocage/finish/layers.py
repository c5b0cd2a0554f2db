"""Layers of a map that are written together: all have their final names, or none."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from bocage.grid import Grid
from bocage.layout import MapLayout
from bocage.legend import Legend
from bocage.mapping import WRITERS, MapBand


@contextmanager
def written_layers(
    layout: MapLayout, grid: Grid, bands: Mapping[str, tuple[MapBand, ...]], legend: Legend
) -> Iterator[dict[str, Any]]:
    """Yield layer → open file; at the end they get their final names, after an error none has one.

    Raises
    ------
    MappingError
        A file cannot be written.
    """
    writer = WRITERS.get("cog")
    outputs = {layer: writer.open(layout.layer(layer, writer.SUFFIX), grid, of, legend) for layer, of in bands.items()}
    try:
        yield outputs
        for output in outputs.values():
            output.close()
    except BaseException:
        for output in outputs.values():
            output.discard()
        raise
