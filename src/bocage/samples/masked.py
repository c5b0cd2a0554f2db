"""Notes on the labelled samples of a table that are not used, because a source has no valid date there."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from bocage.legend import Legend
from bocage.samples.cut import Needs
from bocage.samples.rasterise import Pixels
from bocage.samples.reference import Rejection
from bocage.scene import Scene
from bocage.sources import TableSource
from bocage.words import Note


def with_dates(scene: Scene, needs: Needs, row: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return whether the samples at the rows `row` (N,) of tables have a valid date in each source that a network needs, (N,).

    One source is enough for a network with `any_source`. Samples of other sources have one.
    """
    seen = [source.observed[row] for source in _tables(scene, needs)]
    if len(seen) < len(needs.footprints):
        return np.ones(len(row), bool)
    return np.asarray((np.any if needs.any_source else np.all)(seen, axis=0))


def notes_on_masked(
    scene: Scene, needs: Needs, pixels: Pixels, usable: NDArray[np.bool_], legend: Legend
) -> Iterator[Note]:
    """Yield, for each table, notes on the labelled samples that are not `usable` (N,), by the bands that are empty."""
    for source in _tables(scene, needs):
        lost = np.flatnonzero(~usable & ~source.observed[pixels.row])
        known = source.known[pixels.row[lost]].any(1)
        for has in np.unique(known, axis=0):
            members = lost[(known == has).all(1)]
            values = {"n": len(members), "total": len(usable), "classes": _classes(pixels.label[members], legend)}
            if has.any() and not has.all():
                bands = tuple(np.array(source.bands)[~has].tolist())
                yield Note.of("masked_band", source.name, **values, bands=bands)
            else:
                yield Note.of("masked_samples" if has.any() else "masked_rows", source.name, **values)


def _classes(label: NDArray[np.int16], legend: Legend) -> tuple[str, ...]:
    """Return the name of each class of samples, with their number."""
    labels, counts = np.unique(label, return_counts=True)
    return tuple(f"{legend.labelled(k).name} {n}" for k, n in zip(labels.tolist(), counts.tolist(), strict=True))


def notes_without_series(rejections: Iterable[Rejection]) -> list[Note]:
    """Return the note on features without a series in the table; none if all have one."""
    lost = [r for r in rejections if r.reason == "no_series"]
    classes = tuple(f"{r.label} {r.polygons}" for r in lost)
    return [Note.of("no_series", n=sum(r.polygons for r in lost), classes=classes)] if lost else []


def _tables(scene: Scene, needs: Needs) -> list[TableSource]:
    sources = [scene.cubes[name].source for name in needs.footprints]
    return [source for source in sources if isinstance(source, TableSource)]
