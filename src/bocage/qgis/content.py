"""The layers of a project: reference polygons, the finished map, the map, its quality, the imagery."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bocage import __version__
from bocage.disk import inside
from bocage.errors import BocageError, FinishError, RunFolderError
from bocage.layout import MapLayout, QgisLayout
from bocage.mapping.styles import paletted, sized
from bocage.progress import Progress
from bocage.qgis.document import Group, Layer, Project, is_kept
from bocage.qgis.pictures import picture_layer
from bocage.qgis.reference import PARTS, WRONG, write_reference
from bocage.qgis.renderers import Category, categorised, outlined, ramp
from bocage.view.answers import COLORS, lightest
from bocage.view.places import vector_file
from bocage.view.viewed import RasterLayer, Viewed, layers_of
from bocage.words import sentence, whole, words_of

CLASSES = ("classes", "certain", "set_class")
FINISHED = ("regularised", "voted")
QUALITY = ("confidence", "margin", "entropy", "novelty", "set_size", "validity", "probabilities")
FURTHER = ("certain", "set_class")
"""Rasters of classes that the page of a run does not show."""
COARSER = ("certain", "set_class")
"""Rasters with classes of all levels of the nomenclature."""
SAMPLED = (230, 30, 200)
"""Colour of the pixels of a validation sample."""


def write_project(sites: Sequence[Viewed], name: str, overwrite: bool, progress: Progress) -> Path:
    """Write the QGIS project of a run, and the files that it needs besides those of the run; return its path.

    Parameters
    ----------
    sites
        The opened run, or its sites.
    overwrite
        Whether a project that was saved by QGIS since is replaced.

    Raises
    ------
    RunFolderError
        The project was saved by QGIS since, and `overwrite` is False.
    """
    first = sites[0]
    layout = first.layout.qgis
    if is_kept(layout.project) and not overwrite:
        raise RunFolderError(
            f"{layout.project} was saved by QGIS and may have changes of yours. Save it under another name, or give --overwrite."
        )
    layout.path.mkdir(exist_ok=True)
    groups: list[Group | Layer] = []
    for viewed in sites:
        folder = QgisLayout(inside(layout.path, viewed.name)) if len(sites) > 1 else layout
        folder.path.mkdir(exist_ok=True)
        made = _Content(viewed, folder, progress)
        groups += [Group(viewed.site, made.groups())] if len(sites) > 1 else made.groups()
        for line in viewed.notes("en"):
            progress.say(f"{viewed.name}: {line}")
    project = Project(name, _abstract(first), first.language, first.grid, Group(name, groups))
    project.write(layout.project)
    return layout.project


def _abstract(viewed: Viewed) -> str:
    height, width = (whole(n, viewed.language) for n in viewed.grid.shape)
    return sentence(
        "qgis_abstract", viewed.language,
        classes=len(viewed.legend.classes), height=height, width=width, crs=viewed.grid.crs_name, version=__version__,
    )  # fmt: skip


@dataclass(frozen=True)
class _Content:
    """The groups of layers of a run or of a site."""

    viewed: Viewed
    folder: QgisLayout
    progress: Progress

    def groups(self) -> list[Group | Layer]:
        """Return the groups, from top to bottom, without those that are empty."""
        layers = dict(self.viewed.layers)
        if "classes" in layers:
            land = MapLayout(layers["classes"].path.parent)
            layers |= layers_of(land, self.viewed.missing, FURTHER)
        groups = (
            Group(self._text("qgis_reference"), [*self._reference()]),
            Group(self._text("qgis_finished"), [*self._finished(layers)]),
            Group(self._text("qgis_map"), [self._classes(name, layers) for name in CLASSES if name in layers]),
            Group(self._text("qgis_quality"), [self._quality(name, layers[name]) for name in QUALITY if name in layers], False),
            Group(self._text("view_imagery"), [*self._imagery()]),
        )  # fmt: skip
        return [group for group in groups if group.members]

    def _text(self, key: str) -> str:
        return words_of(self.viewed.language)[key]

    def _reference(self) -> Iterator[Layer]:
        viewed, crs = self.viewed, self.viewed.grid.crs
        try:
            classes = write_reference(viewed, self.folder.reference)
        except FinishError:  # the file cannot be written: a project without it would look complete
            raise
        except (BocageError, OSError) as error:
            viewed.missing.append(("view_no_polygons", {"why": str(error)}))
            classes = {}
        if classes:
            parts = [Category(part, self._text(key), color) for part, (key, color) in PARTS.items()]
            path = self.folder.reference
            yield Layer(self._text("qgis_by_part"), path, categorised(WRONG, parts), crs, shown=True, expanded=True)
            by_class = [Category(name, name, color) for name, color in classes.items()]
            yield Layer(self._text("qgis_by_class"), path, categorised('"class"', by_class), crs)
        if not viewed.site and viewed.layout.validation.exists():
            yield Layer(self._text("qgis_sample"), viewed.layout.validation, outlined(SAMPLED), crs)

    def _finished(self, layers: dict[str, RasterLayer]) -> Iterator[Layer]:
        viewed = self.viewed
        if not viewed.site and (vectors := vector_file(viewed)):
            legend = viewed.legend
            classes = [
                Category(str(code), name, legend.rgb(i), True)
                for i, (code, name) in enumerate(zip(legend.codes, legend.names, strict=True))
            ]
            yield Layer(self._text("qgis_polygons"), vectors, categorised('"code"', classes), viewed.grid.crs)
        elif not viewed.site and viewed.layout.finish.polygons("parquet").exists():
            viewed.missing.append(("qgis_no_vectors", {}))
        yield from (self._classes(name, layers) for name in FINISHED if name in layers)

    def _classes(self, name: str, layers: dict[str, RasterLayer]) -> Layer:
        viewed, main = self.viewed, name == "classes"
        legend = viewed.recipe.legend.whole if viewed.recipe and name in COARSER else viewed.legend
        title = self._text(f"qgis_{name}" if name in FURTHER else f"view_layer_{name}")
        return Layer(title, layers[name].path, paletted(legend), viewed.grid.crs, shown=main, expanded=main)

    def _quality(self, name: str, layer: RasterLayer) -> Layer | Group:
        """Return the layer of a raster of one band, or the group of those of several."""
        title, colors = self._text(f"view_layer_{name}"), COLORS.get(name, "viridis")
        if name == "set_size":
            return Layer(title, layer.path, sized(len(self.viewed.legend.classes)), self.viewed.grid.crs)
        bands = [
            Layer(
                title if len(layer.bands) == 1 else band.removesuffix(": clear dates"), layer.path,
                ramp(k, lightest(self.viewed, name, k) * layer.scales[k - 1], colors), self.viewed.grid.crs,
            )
            for k, band in enumerate(layer.bands, start=1)
        ]  # fmt: skip
        return bands[0] if len(bands) == 1 else Group(title, bands, False)

    def _imagery(self) -> Iterator[Layer]:
        viewed = self.viewed
        pictures = viewed.pictures.by_source if viewed.pictures else {}
        shown = True
        for count, (source, picture) in enumerate(pictures.items(), start=1):
            try:
                layer = picture_layer(source, picture, self.folder.path, viewed.legend, shown)
            except (BocageError, OSError) as error:
                viewed.missing.append(("qgis_unreadable_picture", {"source": source, "why": str(error)}))
                continue
            self.progress.step("imagery of the project", count, len(pictures))
            if layer is None:
                viewed.missing.append(("qgis_no_picture", {"source": source}))
                continue
            shown = False
            yield layer
