"""Files that a raster is read from besides its own: side files, and the rasters that a virtual raster (VRT) refers to."""

import os
import re
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import defusedxml
import defusedxml.ElementTree
import rasterio

from bocage.errors import SourceError

SIDE = ".aux.xml"
"""Suffix of GDAL's side file, added to the name of the raster."""
MASK = ".msk"
"""Suffix of a mask beside a raster, added to the name of the raster."""
READ = ("NoDataValue", "SRS", "GeoTransform", "ColorInterp", "ColorTable", "Description", "Scale", "Offset")
"""Elements of a side file that change what is read. Viewers add statistics and histograms, which change nothing."""
_ARCHIVED = re.compile(r"(?i)/vsi(?:zip|tar)/\{(.+?\.(?:zip|tar|tar\.gz|tgz))\}/(.+)")
"""GDAL path of an archive member."""
_BARE = re.compile(r"/vsi(?:zip|tar)/(?!\{)")
"""Start of such a path without braces."""


def on_disk(path: Path) -> Path:
    """Return the file on disk that contains `path`: for an archive member, the archive.

    >>> on_disk(archived(Path("/data/{x}/y.zip"), "a/b.jp2")).as_posix()
    '/data/{x}/y.zip'
    """
    inside = member_of(path)
    return inside[0] if inside else path


def member_of(path: Path) -> tuple[Path, str] | None:
    """Return the archive and the name of the member that a GDAL path stands for; None for a file on disk."""
    match = _ARCHIVED.fullmatch(path.as_posix())
    return (Path(match[1]), match[2]) if match else None


def archived(archive: Path, member: str) -> Path:
    """Return the GDAL path of a member of a zip or tar archive."""
    kind = "zip" if archive.suffix.lower() == ".zip" else "tar"
    return Path(f"/vsi{kind}/{{{archive.absolute().as_posix()}}}/{member}")


def _named(name: str) -> Path:
    """Return the path of a file that GDAL lists, normalised. GDAL also accepts an archive without braces."""
    bare = _BARE.match(name)
    if not bare:
        return _without_dots(name)
    member = Path(name[bare.end() :])
    archive = next((parent for parent in member.parents if parent.is_file()), None)
    return archived(archive, member.relative_to(archive).as_posix()) if archive else Path(name)


def _without_dots(name: str) -> Path:
    """Return a path without ``..``: that of the folder above, which for a linked folder is above the one that it points to."""
    plain = Path(os.path.normpath(name))
    if ".." not in Path(name).parts:
        return plain
    above = os.path.realpath(Path(name).parent)
    return plain if os.path.realpath(plain.parent) == above else Path(above, plain.name)


def is_virtual(path: Path) -> bool:
    """Return whether a file is a virtual raster, by its name."""
    return path.suffix.lower() == ".vrt"


def beside(path: Path) -> tuple[Path, Path]:
    """Return the paths of the mask and of the side file that GDAL reads with a raster, if they exist."""
    return path.with_name(path.name + MASK), path.with_name(path.name + SIDE)


def files_of(dataset: Any, path: Path) -> set[Path]:
    """Return the files that change what is read from an open dataset at `path`, the file itself included.

    These are the files of its format, its mask and its side file, and for a VRT all of these for every raster that it refers to.
    Overviews are left out (Bocage reads full resolution only), and so are the metadata files of providers that GDAL lists.
    """
    found: set[Path] = set()
    _collect(dataset, path, found)
    return found


def _collect(dataset: Any, path: Path, found: set[Path]) -> None:
    found.add(path)
    own = _without_dots(str(path))
    listed = {_named(name) for name in dataset.files}
    if dataset.driver == "VRT":
        listed |= _sources_of(own)
    for file in sorted(listed - {own}):
        if file in found or file.suffix.lower() == ".ovr":
            continue
        if dataset.driver == "VRT" and file not in beside(own):
            try:
                with rasterio.open(file) as other:
                    _collect(other, file, found)
            except rasterio.errors.RasterioError:
                found.add(file)
        elif file.name.startswith(path.stem) and _counts(file):
            found.add(file)


def _sources_of(vrt: Path) -> set[Path]:
    """Return the files that the text of a VRT names; GDAL does not list those of masks, nor those that are missing.

    As for GDAL, they are relative to the folder of the VRT itself, not to that of a link to it.

    Raises
    ------
    SourceError
        A file does not exist. GDAL may read its pixels as 0.
    """
    if on_disk(vrt) != vrt:
        return set()  # the digest of the archive covers its members
    found = set()
    folder = Path(os.path.realpath(vrt)).parent if vrt.is_symlink() else vrt.parent
    for element in _xml(vrt):
        name = (element.text or "").strip()
        if element.tag in ("SourceFilename", "SourceDataset") and name and not _is_elsewhere(name):
            file = _named(str(folder / name) if element.get("relativeToVRT") == "1" else name)
            if not on_disk(file).is_file():
                raise SourceError(f"{vrt} refers to {file}, which does not exist. Copy this file, or correct the VRT.")
            found.add(file)
    return found


def _is_elsewhere(name: str) -> bool:
    """Return whether a name in a VRT is no path on disk: an address, or a part of a file such as ``NETCDF:"x.nc":ndvi``."""
    return (
        name.startswith("<") or (name.startswith("/vsi") and not re.match("/vsi(?:zip|tar)/", name)) or ":" in name[2:]
    )


def _xml(path: Path) -> list[Element]:
    """Return the elements of an XML file; none if it is damaged."""
    try:
        return list(defusedxml.ElementTree.fromstring(path.read_bytes()).iter())
    except (OSError, ValueError, SyntaxError, defusedxml.DefusedXmlException):
        return []


def _counts(file: Path) -> bool:
    return not file.name.endswith(SIDE) or bool(essence(file))


def _own_descriptions(side: Path) -> dict[str, str]:
    """Return band number → description of the raster of a side file, read without the side file."""
    raster = side.with_name(side.name.removesuffix(SIDE))
    try:
        with rasterio.Env(GDAL_PAM_ENABLED="NO"), rasterio.open(raster) as dataset:
            return {str(k): text or "" for k, text in enumerate(dataset.descriptions, start=1)}
    except rasterio.errors.RasterioError:
        return {}


def essence(side: Path) -> bytes:
    """Return the part of a side file that changes what is read, as text; empty if there is none or the file is damaged.

    A description that is that of the raster itself changes nothing: GDAL adds them to the statistics that QGIS asks for.
    """
    parts, elements = [], _xml(side)
    own = _own_descriptions(side) if any(e.tag == "Description" for e in elements) else {}
    for parent in (e for e in elements if e.tag in ("PAMDataset", "PAMRasterBand")):
        for child in parent:
            same = child.tag == "Description" and own.get(parent.get("band", "")) == (child.text or "")
            if child.tag in READ and not same:
                parts.append((parent.get("band"), child.tag, *(" ".join(t.split()) for t in child.itertext())))
        parts += [("", "", m.text) for m in parent.iterfind("Metadata/MDI") if m.get("key") == "NODATA_VALUES"]
    return repr(parts).encode() if parts else b""
