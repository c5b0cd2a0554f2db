"""Products in folders and archives (zip, tar): search by metadata file, file lists, and safe reading of XML.

A product is the folder of its metadata file, with its subfolders, on disk or in an archive. Archives are read in place and
never unpacked. Member names that point outside of their archive are refused. Several products may lie in one folder if their
files begin with the name of the product.
"""

import re
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Literal, TypeVar
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree
from odc.geo.geobox import GeoBox

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.shelf import did_you_mean
from bocage.sources.base import Acquisition, SensorSpec
from bocage.sources.files import archived, member_of
from bocage.sources.folders import files_below, is_archive, is_system
from bocage.sources.raster import inspect
from bocage.sources.times import in_utc
from bocage.words import Note

Key = TypeVar("Key")
LARGEST_XML = 64 << 20
"""Maximum size of a metadata file, in bytes."""
PASS = timedelta(minutes=20)
"""Longest time between two images of one pass over an area; the next pass is an orbit of about 99 minutes later."""
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError)
"""What reading an incomplete archive raises."""


@dataclass(frozen=True)
class ProductSettings:
    """Settings common to all sensors delivered as products."""

    path: Path
    """A folder with products at any depth, in archives (zip, tar) or not; or a single product: its folder, its archive, or its
    metadata file (``.xml``)."""
    bands: tuple[str, ...] = ()
    """Common names of the bands to read, in order; empty: the default bands of the sensor."""
    start: date | None = None
    """First day, UTC; default: no limit."""
    end: date | None = None
    """Last day, UTC, included; default: no limit."""
    on_error: Literal["stop", "skip"] = "stop"
    """If a product cannot be used: "stop", or "skip" the product and report it."""


@dataclass(frozen=True)
class Product:
    """One product and the files of its folder."""

    where: Path
    """Folder of the product, or the archive that contains it."""
    name: str
    files: Mapping[str, Path]
    """Path relative to the product folder, to path for GDAL."""
    metadata: str
    """Relative path of the metadata file that identifies the product."""

    def match(self, pattern: str) -> list[str]:
        """Return the relative paths whose end matches the regular expression `pattern`, sorted."""
        return sorted(name for name in self.files if re.search(pattern + r"\Z", name))

    def one(self, pattern: str, what: str) -> Path:
        """Return the path of the only file that matches `pattern`; `what` describes the file in messages.

        Raises
        ------
        SourceError
            No file matches, or several do.
        """
        found = self.match(pattern)
        if not found:
            more = ", or list the bands that it has in 'bands'" if what.startswith("band ") else ""
            raise SourceError(
                f"{self} has no file for {what} (no name ends with {pattern}). Download the product again{more}."
            )
        if len(found) > 1:
            raise SourceError(f"{self} has {len(found)} files for {what}: {', '.join(found[:3])}. Keep only one.")
        return self.files[found[0]]

    def content(self, name: str) -> bytes:
        """Return the content of a metadata file of the product.

        Raises
        ------
        SourceError
            The file is damaged or too large.
        """
        return _bytes(self.files[name])

    def xml(self, name: str = "") -> Element:
        """Return the root of an XML file of the product; default: its metadata file.

        Raises
        ------
        SourceError
            The file is damaged, too large, or declares XML entities, which no product needs.
        """
        name = name or self.metadata
        try:
            root: Element = defusedxml.ElementTree.fromstring(self.content(name), forbid_dtd=False)
        except ParseError as error:
            raise SourceError(f"{self}: {name} is not complete XML ({error}). Download the product again.") from error
        except defusedxml.DefusedXmlException as error:
            raise SourceError(
                f"{self}: {name} declares XML entities, which no product needs and which could read other files. The file is "
                "refused. Download the product again from its provider."
            ) from error
        return root

    def text(self, root: Element, path: str) -> str:
        """Return the text of the first element at `path`.

        Raises
        ------
        SourceError
            The element is missing or empty.
        """
        found = root.findtext(path)
        if found is None or not found.strip():
            raise SourceError(f"{self}: {self.metadata} has no {path.rpartition('/')[2]}. Download the product again.")
        return found.strip()

    def __str__(self) -> str:
        return str(self.where / self.name) if is_archive(self.where) else str(self.where)


def _bytes(path: Path) -> bytes:
    """Return the content of a file or archive member of at most ``LARGEST_XML`` bytes."""
    inside = member_of(path)
    if inside is None:
        content = path.read_bytes() if path.stat().st_size <= LARGEST_XML else None
    else:
        archive, member = inside
        try:
            content = _member_bytes(archive, member)
        except _DAMAGED as error:
            raise SourceError(f"{archive}: {member} is damaged ({error}). Download the archive again.") from error
    if content is None:
        raise SourceError(
            f"{path} is larger than {LARGEST_XML >> 20} MB, which is too large for metadata. Download the product again."
        )
    return content


def _member_bytes(archive: Path, member: str) -> bytes | None:
    """Return the content of an archive member; None if it is too large for metadata."""
    if archive.name.lower().endswith(".zip"):
        with zipfile.ZipFile(archive) as packed:
            name = member if member in packed.namelist() else f"./{member}"
            return packed.read(name) if packed.getinfo(name).file_size <= LARGEST_XML else None
    with tarfile.open(archive) as opened:
        info = next(i for i in opened.getmembers() if i.name.removeprefix("./") == member)
        stream = opened.extractfile(info)
        return stream.read() if stream and info.size <= LARGEST_XML else None


def products(root: Path, marker: str, kind: str) -> list[Product]:
    """Return the products below `root`, identified by a metadata file whose name matches the regular expression `marker`.

    Raises
    ------
    SourceError
        No product is found, or an archive is empty, is damaged, or has a member name that points outside of it.
    """
    if not root.exists():
        raise SourceError(f"{root} does not exist. Set 'path' to the folder of the products.")
    given = root
    if root.suffix.lower() == ".xml":  # the metadata file of a product stands for the product
        root = root.parent
    found = [product for where, files in _places(root) for product in split(where, files, marker)]
    found = [product for product in found if product.files[product.metadata] == given] or found
    if not found:
        raise SourceError(f"{root} has no {kind} (no file name matches {marker}). Check 'path' and 'sensor'.")
    return found


def _places(root: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield each archive below a folder, then the folder itself, with its files by relative path."""
    if root.is_file():
        yield root, members(root) if is_archive(root) else {root.name: root}
        return
    files = files_below(root)
    for path in filter(is_archive, files):
        yield path, members(path)
    yield root, {path.relative_to(root).as_posix(): path for path in files if not is_archive(path)}


def members(archive: Path) -> dict[str, Path]:
    """Return the files of an archive, by their name in it, as paths for GDAL.

    Raises
    ------
    SourceError
        The archive is empty, is damaged, or has a member name that points outside of it.
    """
    try:
        if archive.name.lower().endswith(".zip"):
            with zipfile.ZipFile(archive) as packed:
                names = [info.filename for info in packed.infolist() if not info.is_dir()]
        else:
            with tarfile.open(archive) as packed:
                names = [info.name for info in packed.getmembers() if info.isfile()]
    except _DAMAGED as error:
        kind = archive.suffix.lower().lstrip(".")
        raise SourceError(f"{archive} is not a complete {kind} archive ({error}). Download it again.") from error
    if not names:
        raise SourceError(f"{archive} is an empty archive. Download it again, or move it out of the folder.")
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise SourceError(
                f"{archive} has a member called '{name}', which points outside of the archive. The archive is refused. Download "
                "it again from its provider."
            )
    plain = [name.removeprefix("./") for name in names]
    return {name: archived(archive, name) for name in plain if not is_system(name)}


def split(where: Path, files: Mapping[str, Path], marker: str) -> Iterator[Product]:
    """Yield the products among the files of a folder or archive, identified by the pattern of their metadata file.

    Where the folder of a product holds other products too, only the files that begin with its own name are the product's.
    """
    marked = [name for name in sorted(files) if re.fullmatch(marker, PurePosixPath(name).name)]
    folders = ["" if (folder := name.rpartition("/")[0]) == "" else folder + "/" for name in marked]
    for name, before in zip(marked, folders, strict=True):
        inside = {n[len(before) :]: path for n, path in files.items() if n.startswith(before)}
        title, metadata = PurePosixPath(before).name or where.stem, name[len(before) :]
        stem = stem_of(metadata)
        if stem and sum(other.startswith(before) for other in folders) > 1:
            title = stem
            inside = {n: path for n, path in inside.items() if PurePosixPath(n).name.startswith(stem)}
        yield Product(where if is_archive(where) or not before else where / before, title, inside, metadata)


def stem_of(metadata: str) -> str:
    """Return the beginning of the names of a product's files, from the name of its metadata file; empty if they share none.

    >>> stem_of("LC08_L2SP_199029_20220720_20220726_02_T1_MTL.xml"), stem_of("MTD_MSIL2A.xml")
    ('LC08_L2SP_199029_20220720_20220726_02_T1', '')
    """
    match = re.fullmatch(r"(.+)_MT(?:L|D_ALL)\.xml", metadata)
    return match[1] if match else ""


def collect(
    found: list[Product],
    settings: ProductSettings,
    read: Callable[[Product], list[Acquisition]],
    progress: Progress,
) -> list[Acquisition]:
    """Return the acquisitions of every product between the first and the last day of the settings.

    A product that cannot be used raises an error, or is skipped and reported if ``on_error`` is "skip".

    Returns
    -------
    Acquisitions in order of date key. Of the same date, the newest processing comes first (``details["generated"]``, ISO
    8601 in UTC, whatever the names are), then the earliest; the others keep the order of `found`.

    Raises
    ------
    SourceError
        A product cannot be used and ``on_error`` is "stop", or no acquisition remains.
    """
    acquisitions, skipped = [], 0
    for done, product in enumerate(found, start=1):
        try:
            for acquisition in read(product):
                for file in (*acquisition.files.values(), *acquisition.quality.values()):
                    inspect(file.path)
                acquisitions.append(acquisition)
        except SourceError as error:
            if settings.on_error == "stop":
                raise SourceError(f'{error} (Or set on_error = "skip" to skip this product.)') from error
            skipped += 1
            progress.say(Note.of("left_out", reason=str(error)))
        progress.step("opening products", done, len(found))
    acquisitions = [a for a in acquisitions if a.time and within(a.time.date(), settings.start, settings.end)]
    if not acquisitions:
        raise SourceError(
            f"{settings.path}: none of the {len(found)} products can be used: {skipped} with errors, the others outside the "
            f"days {settings.start or 'any'} to {settings.end or 'any'}. Check 'start' and 'end'."
        )
    if skipped:
        progress.say(Note.of("products_left_out", n=skipped, total=len(found)))
    acquisitions.sort(key=lambda a: a.time or datetime.min)
    acquisitions.sort(key=lambda a: a.details.get("generated", ""), reverse=True)
    acquisitions.sort(key=lambda a: a.date)
    say_versions(acquisitions, progress)
    return acquisitions


def say_versions(acquisitions: Sequence[Acquisition], progress: Progress) -> None:
    """Report the dates at which several acquisitions show the same ground: one product that was processed more than once."""
    several = sorted({date for (date, _), found in same_ground(acquisitions).items() if len(found) > 1})
    if several:
        progress.say(Note.of("several_versions", n=len(several), first=several[0]))


def same_ground(acquisitions: Sequence[Acquisition]) -> dict[tuple[str, GeoBox], list[Acquisition]]:
    """Return the acquisitions by date and grid, in their order."""
    places = defaultdict(list)
    for acquisition in acquisitions:
        places[acquisition.date, inspect(next(iter(acquisition.files.values())).path).grid.geobox].append(acquisition)
    return places


def passes(times: Mapping[Key, datetime]) -> dict[Key, str]:
    """Return image → key of its date: the start of its pass, for radar images of unknown orbits. A day may have two passes."""
    found: dict[Key, str] = {}
    start = last = datetime.min
    for key, time in sorted(times.items(), key=lambda item: item[1]):
        start, last = (start if time - last <= PASS else time), time
        found[key] = f"{start:%Y%m%dT%H%M}"
    return found


def generated(text: str | None, product: Product) -> dict[str, str]:
    """Return the detail that orders the versions of a product: when it was processed, from its metadata, if they say it."""
    return {"generated": utc(text, product).isoformat()} if text and text.strip() else {}


def within(day: date, start: date | None, end: date | None) -> bool:
    """Return whether a day is between `start` and `end`, both included; None means no limit."""
    return (start is None or day >= start) and (end is None or day <= end)


def chosen_bands(spec: SensorSpec, bands: tuple[str, ...], default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the bands to read: `bands`, else `default`, else all bands of the sensor.

    Raises
    ------
    SourceError
        The sensor does not have one of the bands, or a band is listed twice.
    """
    known = [band.name for band in spec.bands]
    distinct(bands, "'bands'")
    for name in bands:
        if name not in known:
            raise SourceError(
                f"The sensor {spec.name} has no band '{name}'.{did_you_mean(name, known)} Its bands are {', '.join(known)}."
            )
    return bands or default or tuple(known)


def distinct(names: Sequence[str], where: str) -> None:
    """Check that names are distinct.

    Raises
    ------
    SourceError
        A name is repeated: of two bands with one name, the second would replace the first.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SourceError(f"{where} names '{twice[0]}' {names.count(twice[0])} times. Give each band its own name.")


def check_size(product: Product, path: Path, height: int, width: int) -> None:
    """Check that the size of a raster, in pixels, is the size given by the metadata.

    Raises
    ------
    SourceError
        The sizes differ.
    """
    shape = inspect(path).grid.shape
    if shape != (height, width):
        raise SourceError(
            f"{product}: {path.name} has {shape[0]} x {shape[1]} pixels, but {product.metadata} gives {height} x {width}. "
            "The file is damaged or belongs to another product. Download it again."
        )


def utc(text: str, product: Product) -> datetime:
    """Return the time written in a metadata file, as UTC without time zone. A time without zone is taken as UTC.

    Raises
    ------
    SourceError
        The text is not an ISO 8601 time.
    """
    try:
        return in_utc(datetime.fromisoformat(text.strip()))
    except ValueError as error:
        raise SourceError(f"{product}: '{text}' is not a valid time ({error}). Download the product again.") from error
