"""The project as a file: groups of layers → ``.qgz``, a zip archive of an XML document that QGIS 3.22 and later open."""

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from bocage.disk import replacing
from bocage.grid import Grid

VERSION = "3.22.0-Białowieża"
"""Version of QGIS whose format is written."""
DOCTYPE = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n"
COMMENT = b"written by Bocage"
"""Comment of the archive, which QGIS does not keep when it saves the project."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of the member of the archive: the same project has the same bytes."""


def is_kept(path: Path) -> bool:
    """Return whether a project exists that Bocage did not write, or that QGIS saved since."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment != COMMENT
    except FileNotFoundError:
        return False
    except (OSError, zipfile.BadZipFile):
        return True


@dataclass(frozen=True)
class Layer:
    """A raster or a vector layer."""

    title: str
    path: Path
    renderer: Element
    crs: Any
    """CRS of the file."""
    shown: bool = False
    """Whether the layer is drawn when the project is opened."""
    expanded: bool = False
    """Whether the panel of layers shows the classes of the layer."""

    @property
    def is_raster(self) -> bool:
        """Whether the layer is a raster."""
        return self.renderer.tag == "rasterrenderer"


@dataclass(frozen=True)
class Group:
    """Layers, and groups of layers, under one title; the first is drawn on top."""

    title: str
    members: Sequence["Layer | Group"]
    expanded: bool = True

    def layers(self) -> Iterator[Layer]:
        """Iterate over the layers of the group and of the groups in it."""
        for member in self.members:
            if isinstance(member, Group):
                yield from member.layers()
            else:
                yield member


@dataclass(frozen=True)
class Project:
    """A QGIS project."""

    title: str
    abstract: str
    language: str
    grid: Grid
    """Grid whose CRS and extent the project has."""
    content: Group

    def write(self, path: Path) -> None:
        """Write the project; its layers are referred to by paths relative to its folder."""
        text = DOCTYPE + ElementTree.tostring(self._document(path.parent), "unicode") + "\n"
        with replacing(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = COMMENT
            archive.writestr(zipfile.ZipInfo(f"{path.stem}.qgs", EPOCH), text.encode(), zipfile.ZIP_DEFLATED)

    def _document(self, folder: Path) -> Element:
        root = Element("qgis", version=VERSION, projectname=self.title)
        SubElement(root, "homePath", path="")
        SubElement(root, "title").text = self.title
        root.append(_crs("projectCrs", self.grid.crs))
        # QGIS replaces an id of ten characters or less.
        ids = {id(layer): f"bocage_layer_{k:04}" for k, layer in enumerate(self.content.layers())}
        tree = SubElement(root, "layer-tree-group")
        for member in self.content.members:
            _plant(tree, member, ids, folder)
        root.append(self._canvas())
        layers = SubElement(root, "projectlayers")
        for layer in self.content.layers():
            layers.append(_layer(layer, ids[id(layer)], folder))
        order = SubElement(root, "layerorder")
        for name in ids.values():
            SubElement(order, "layer", id=name)
        properties = SubElement(root, "properties")
        SubElement(SubElement(properties, "Paths"), "Absolute", type="bool").text = "false"
        # Without it, QGIS does not read the CRS of the project.
        SubElement(SubElement(properties, "SpatialRefSys"), "ProjectionsEnabled", type="int").text = "1"
        root.append(self._metadata())
        root.append(self._view())
        ElementTree.indent(root, " ")
        return root

    def _canvas(self) -> Element:
        canvas = Element("mapcanvas", name="theMapCanvas", annotationsVisible="1")
        SubElement(canvas, "units").text = "degrees" if self.grid.crs.geographic else "meters"
        canvas.append(_extent("extent", self.grid))
        SubElement(canvas, "rotation").text = "0"
        canvas.append(_crs("destinationsrs", self.grid.crs))
        return canvas

    def _view(self) -> Element:
        """Return the extent that QGIS shows first, and that the button of the full extent shows."""
        settings = Element("ProjectViewSettings", UseProjectScales="0")
        for name in ("DefaultViewExtent", "PresetFullExtent"):
            extent = _extent(name, self.grid)
            corners = {child.tag: child.text or "" for child in extent}
            bounds = SubElement(settings, name, corners)
            bounds.append(_crs("spatialrefsys", self.grid.crs)[0])
        return settings

    def _metadata(self) -> Element:
        metadata = Element("projectMetadata")
        texts = {"language": self.language, "type": "dataset", "title": self.title, "abstract": self.abstract}
        for tag, text in texts.items():
            SubElement(metadata, tag).text = text
        return metadata


def _plant(parent: Element, member: Layer | Group, ids: dict[int, str], folder: Path) -> None:
    """Add a layer or a group to the tree of layers."""
    if isinstance(member, Group):
        group = SubElement(
            parent, "layer-tree-group",
            name=member.title, checked="Qt::Checked", expanded="1" if member.expanded else "0",
        )  # fmt: skip
        for one in member.members:
            _plant(group, one, ids, folder)
        return
    SubElement(
        parent, "layer-tree-layer", id=ids[id(member)], name=member.title, source=_source(member, folder),
        providerKey="gdal" if member.is_raster else "ogr", checked="Qt::Checked" if member.shown else "Qt::Unchecked",
        expanded="1" if member.expanded else "0",
    )  # fmt: skip


def _layer(layer: Layer, name: str, folder: Path) -> Element:
    if layer.is_raster:
        element = Element("maplayer", type="raster")
    else:
        element = Element("maplayer", type="vector", geometry="Polygon", wkbType="MultiPolygon", readOnly="0")
    SubElement(element, "id").text = name
    SubElement(element, "datasource").text = _source(layer, folder)
    SubElement(element, "layername").text = layer.title
    element.append(_crs("srs", layer.crs))
    if layer.is_raster:
        SubElement(element, "provider").text = "gdal"
        pipe = SubElement(element, "pipe")
        pipe.append(layer.renderer)
        SubElement(pipe, "rasterresampler", maxOversampling="2")
    else:
        SubElement(element, "provider", encoding="UTF-8").text = "ogr"
        element.append(layer.renderer)
    return element


def _source(layer: Layer, folder: Path) -> str:
    """Return the path of a layer from the folder of the project, as QGIS writes it."""
    relative = Path(os.path.relpath(layer.path, folder)).as_posix()
    return relative if relative.startswith("../") else f"./{relative}"


def _extent(name: str, grid: Grid) -> Element:
    extent = Element(name)
    for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), grid.bounds, strict=True):
        SubElement(extent, tag).text = repr(float(value))
    return extent


def _crs(name: str, crs: Any) -> Element:
    element = Element(name)
    system = SubElement(element, "spatialrefsys", nativeFormat="Wkt")
    SubElement(system, "wkt").text = crs.to_wkt()
    epsg = crs.epsg
    if epsg:
        SubElement(system, "authid").text = f"EPSG:{epsg}"
    return element
