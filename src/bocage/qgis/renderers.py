"""Symbology of layers as elements of a QGIS project (format of QGIS 3.22)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from rio_tiler.colormap import cmap

STOPS = 5
"""Number of colours of a ramp; QGIS interpolates between them."""


@dataclass(frozen=True)
class Category:
    """Polygons with one value of an attribute."""

    value: str
    label: str
    color: tuple[int, int, int]
    filled: bool = False
    """Whether the colour fills the polygon; otherwise it is that of the outline."""


def ramp(band: int, high: float, colors: str) -> Element:
    """Return the renderer of one band, from 0 to `high`, in a colour map of rio-tiler."""
    table = cmap.get(colors)
    renderer = _raster("singlebandpseudocolor", band=str(band), classificationMin="0", classificationMax=f"{high:.10g}")
    shader = SubElement(
        SubElement(renderer, "rastershader"), "colorrampshader",
        colorRampType="INTERPOLATED", classificationMode="1", clip="0", minimumValue="0", maximumValue=f"{high:.10g}",
    )  # fmt: skip
    for k in range(STOPS):
        share = k / (STOPS - 1)
        red, green, blue = tuple(table[round(255 * share)])[:3]
        value = f"{high * share:.10g}"
        SubElement(
            shader, "item", value=value, label=value, color=f"#{red:02x}{green:02x}{blue:02x}", alpha="255"
        )  # fmt: skip
    return renderer


def image(limits: Sequence[tuple[float, float]]) -> Element:
    """Return the renderer of an image of three bands, or of one in grey.

    Parameters
    ----------
    limits
        Values displayed as black and as full colour, of each band.
    """
    if len(limits) == 1:
        renderer = _raster("singlebandgray", grayBand="1", gradient="BlackToWhite")
        _stretch(renderer, "contrastEnhancement", limits[0])
        return renderer
    renderer = _raster("multibandcolor", redBand="1", greenBand="2", blueBand="3")
    for name, pair in zip(("red", "green", "blue"), limits, strict=True):
        _stretch(renderer, f"{name}ContrastEnhancement", pair)
    return renderer


def _raster(kind: str, **attributes: str) -> Element:
    return Element("rasterrenderer", attributes, type=kind, opacity="1", alphaBand="-1", nodataColor="")


def _stretch(renderer: Element, name: str, pair: tuple[float, float]) -> None:
    stretch = SubElement(renderer, name)
    for tag, value in zip(("minValue", "maxValue"), pair, strict=True):
        SubElement(stretch, tag).text = f"{value:.10g}"
    SubElement(stretch, "algorithm").text = "StretchToMinimumMaximum"


def categorised(attribute: str, categories: Sequence[Category]) -> Element:
    """Return the renderer of polygons by the value of an attribute, which may be an expression."""
    renderer = Element("renderer-v2", type="categorizedSymbol", attr=attribute, symbollevels="0", forceraster="0")
    listed, symbols = SubElement(renderer, "categories"), SubElement(renderer, "symbols")
    for k, category in enumerate(categories):
        SubElement(listed, "category", value=category.value, label=category.label, symbol=str(k), render="true")
        symbols.append(_fill(str(k), category.color, category.filled))
    return renderer


def outlined(color: tuple[int, int, int]) -> Element:
    """Return the renderer of polygons that all have an outline of one colour."""
    renderer = Element("renderer-v2", type="singleSymbol", symbollevels="0", forceraster="0")
    SubElement(renderer, "symbols").append(_fill("0", color, False))
    return renderer


def _fill(name: str, color: tuple[int, int, int], filled: bool) -> Element:
    """Return a symbol: a filled polygon with a thin dark outline, or an outline with a white border, for any background."""
    symbol = Element("symbol", type="fill", name=name, alpha="1", clip_to_extent="1", force_rhr="0")
    shade = _rgba(color)
    if filled:
        _add(symbol, {"color": shade, "style": "solid", "outline_color": _rgba((40, 40, 40)), "outline_width": "0.1"})
        return symbol
    for outline, width in ((_rgba((255, 255, 255)), "0.9"), (shade, "0.5")):
        _add(symbol, {"color": shade, "style": "no", "outline_color": outline, "outline_width": width})
    return symbol


def _add(symbol: Element, values: Mapping[str, str]) -> None:
    layer = SubElement(symbol, "layer", {"class": "SimpleFill", "pass": "0", "enabled": "1", "locked": "0"})
    options = SubElement(layer, "Option", type="Map")
    for key, value in {**values, "outline_style": "solid", "outline_width_unit": "MM", "joinstyle": "bevel"}.items():
        SubElement(options, "Option", name=key, value=value, type="QString")


def _rgba(color: tuple[int, int, int]) -> str:
    return ",".join(map(str, (*color, 255)))
