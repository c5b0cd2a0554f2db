"""Waypoints and routes for a receiver or a telephone: GPX 1.1 (https://www.topografix.com/GPX/1/1/)."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

NAMESPACE = "http://www.topografix.com/GPX/1/1"


@dataclass(frozen=True)
class Waypoint:
    """A place in WGS 84."""

    longitude: float
    latitude: float
    name: str
    description: str = ""


@dataclass(frozen=True)
class Route:
    """Waypoints in the order of a visit."""

    name: str
    points: Sequence[Waypoint]


def as_gpx(title: str, places: Sequence[Waypoint], routes: Sequence[Route]) -> str:
    """Return a GPX file as text; elements have the order that the schema of GPX 1.1 prescribes."""
    root = ElementTree.Element("gpx", {"version": "1.1", "creator": "Bocage", "xmlns": NAMESPACE})
    ElementTree.SubElement(ElementTree.SubElement(root, "metadata"), "name").text = _printable(title)
    for place in places:
        _point(root, "wpt", place)
    for number, route in enumerate(routes, start=1):
        element = ElementTree.SubElement(root, "rte")
        ElementTree.SubElement(element, "name").text = _printable(route.name)
        ElementTree.SubElement(element, "number").text = str(number)
        for place in route.points:
            _point(element, "rtept", place)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )


def _point(parent: ElementTree.Element, tag: str, place: Waypoint) -> None:
    where = {"lat": f"{place.latitude:.7f}", "lon": f"{place.longitude:.7f}"}
    element = ElementTree.SubElement(parent, tag, where)
    ElementTree.SubElement(element, "name").text = _printable(place.name)
    if place.description:
        ElementTree.SubElement(element, "desc").text = _printable(place.description)


def _printable(text: str) -> str:
    """Return a text without the control characters that XML forbids."""
    return "".join(c for c in text if c.isprintable())
