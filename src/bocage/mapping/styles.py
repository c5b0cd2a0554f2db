"""The legend as style files: ``classes.qml`` for QGIS, ``classes.sld`` for map servers.

Neither format has groups of raster classes. The classes of one parent in a hierarchical nomenclature are therefore listed
together, with labels that contain all levels.
"""

from collections.abc import Sequence
from xml.etree import ElementTree

from bocage.legend import Legend

ENDS = ((255, 247, 188), (102, 37, 6))
"""Red, green and blue of the smallest and of the largest number of classes, 0 to 255."""
SLD = "http://www.opengis.net/sld"


def _entries(legend: Legend) -> list[tuple[int, str, str]]:
    """Return code, colour and label of each class, in the order of the legend, with classes of one parent together."""
    paths = [legend.path(i) for i in range(len(legend.classes))]
    first = {path[:n]: i for i, path in reversed(list(enumerate(paths))) for n in range(1, len(path) + 1)}
    order = sorted(range(len(paths)), key=lambda i: [first[paths[i][:n]] for n in range(1, len(paths[i]) + 1)])
    return [(legend.codes[i], legend.colors[i], " > ".join(paths[i])) for i in order]


def qml(legend: Legend) -> str:
    """Return the QGIS style (QML) of the classes; QGIS applies it if it is beside the raster with the same name."""
    return _style(paletted(legend))


def sizes_qml(most: int) -> str:
    """Return the QGIS style of numbers of classes from 1 to `most`: the lighter, the fewer."""
    return _style(sized(most))


def sized(most: int) -> ElementTree.Element:
    """Return the renderer of QGIS for a raster of numbers of classes from 1 to `most`."""
    entries = []
    for size in range(1, most + 1):
        share = (size - 1) / max(1, most - 1)
        color = "#" + "".join(f"{round(a + share * (b - a)):02x}" for a, b in zip(*ENDS, strict=True))
        entries.append((size, color, f"{size} class{'es' * (size > 1)}"))
    return _palette(entries)


def _style(renderer: ElementTree.Element) -> str:
    root = ElementTree.Element("qgis", version="3.22.0", styleCategories="Symbology", maxScale="0", minScale="1e+08")
    pipe = ElementTree.SubElement(root, "pipe")
    pipe.append(renderer)
    ElementTree.SubElement(pipe, "rasterresampler", maxOversampling="2")
    ElementTree.indent(root, " ")
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ElementTree.tostring(root, "unicode") + "\n"


def paletted(legend: Legend) -> ElementTree.Element:
    """Return the renderer of QGIS for a raster of the classes."""
    return _palette(_entries(legend))


def _palette(entries: Sequence[tuple[int, str, str]]) -> ElementTree.Element:
    renderer = ElementTree.Element(
        "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1", nodataColor=""
    )
    palette = ElementTree.SubElement(renderer, "colorPalette")
    for code, color, label in entries:
        ElementTree.SubElement(palette, "paletteEntry", value=str(code), color=color, label=label, alpha="255")
    return renderer


def sld(legend: Legend) -> str:
    """Return the style as a Styled Layer Descriptor 1.0.0 (OGC 02-070)."""
    root = ElementTree.Element(f"{{{SLD}}}StyledLayerDescriptor", version="1.0.0")
    layer = _under(root, "NamedLayer")
    _under(layer, "Name").text = "classes"
    rule = _under(_under(_under(layer, "UserStyle"), "FeatureTypeStyle"), "Rule")
    colors = _under(_under(rule, "RasterSymbolizer"), "ColorMap", type="values")
    _under(colors, "ColorMapEntry", color="#000000", quantity="0", label="no data", opacity="0")
    for code, color, label in _entries(legend):
        _under(colors, "ColorMapEntry", color=color, quantity=str(code), label=label, opacity="1")
    ElementTree.register_namespace("", SLD)
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def _under(parent: ElementTree.Element, tag: str, **attributes: str) -> ElementTree.Element:
    return ElementTree.SubElement(parent, f"{{{SLD}}}{tag}", attributes)
