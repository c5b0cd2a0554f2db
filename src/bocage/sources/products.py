"""Products in folders and zip archives: search by metadata file, file lists, and safe reading of XML.

A product is the folder of its metadata file, with its subfolders, on disk or in a zip archive. Archives are read in place and
never unpacked. Member names that point outside of their archive are refused.
"""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Literal
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from bocage.errors import SourceError
from bocage.progress import Progress
from bocage.shelf import did_you_mean
from bocage.sources.base import Acquisition, SensorSpec
from bocage.sources.files import on_disk, zipped
from bocage.sources.raster import inspect
from bocage.words import Note

LARGEST_XML = 64 << 20
"""Maximum size of a metadata file, in bytes."""


@dataclass(frozen=True)
class ProductSettings:
    """Settings common to all sensors delivered as products."""

    path: Path
    """A folder with products at any depth, zipped or not; or a single product."""
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
            raise SourceError(
                f"{self} has no file for {what} (no name ends with {pattern}). Download the product again."
            )
        if len(found) > 1:
            raise SourceError(f"{self} has {len(found)} files for {what}: {', '.join(found[:3])}. Keep only one.")
        return self.files[found[0]]

    def xml(self, name: str = "") -> Element:
        """Return the root of an XML file of the product; default: its metadata file.

        Raises
        ------
        SourceError
            The file is damaged, too large, or declares XML entities, which no product needs.
        """
        name = name or self.metadata
        try:
            root: Element = defusedxml.ElementTree.fromstring(_bytes(self.files[name]), forbid_dtd=False)
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
        return str(self.where / self.name) if self.where.suffix == ".zip" else str(self.where)


def _bytes(path: Path) -> bytes:
    """Return the content of a file or archive member of at most ``LARGEST_XML`` bytes."""
    archive = on_disk(path)
    if archive == path:
        if path.stat().st_size <= LARGEST_XML:
            return path.read_bytes()
    else:
        member = path.as_posix().split("}/", 1)[1]
        try:
            with zipfile.ZipFile(archive) as opened:
                if opened.getinfo(member).file_size <= LARGEST_XML:
                    return opened.read(member)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise SourceError(f"{archive}: {member} is damaged ({error}). Download the archive again.") from error
    raise SourceError(
        f"{path} is larger than {LARGEST_XML >> 20} MB, which is too large for metadata. Download the product again."
    )


def products(root: Path, marker: str, kind: str) -> list[Product]:
    """Return the products below `root`, identified by a metadata file whose name matches the regular expression `marker`.

    Raises
    ------
    SourceError
        No product is found, or an archive is empty, is damaged, or has a member name that points outside of it.
    """
    if not root.exists():
        raise SourceError(f"{root} does not exist. Set 'path' to the folder of the products.")
    found = [product for where, files in _places(root) for product in _split(where, files, marker)]
    if not found:
        raise SourceError(f"{root} has no {kind} (no file name matches {marker}). Check 'path' and 'sensor'.")
    return found


def _places(root: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield each archive below a folder, then the folder itself, with its files by relative path."""
    if root.is_file():
        yield root, _members(root) if zipfile.is_zipfile(root) or root.suffix == ".zip" else {root.name: root}
        return
    plain = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix == ".zip":
            yield path, _members(path)
        elif path.is_file():
            plain[path.relative_to(root).as_posix()] = path
    yield root, plain


def _members(archive: Path) -> dict[str, Path]:
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [info.filename for info in opened.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise SourceError(f"{archive} is not a complete zip archive ({error}). Download it again.") from error
    if not names:
        raise SourceError(f"{archive} is an empty archive. Download it again, or move it out of the folder.")
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise SourceError(
                f"{archive} has a member called '{name}', which points outside of the archive. The archive is refused. Download "
                "it again from its provider."
            )
    return {name: zipped(archive, name) for name in names}


def _split(where: Path, files: dict[str, Path], marker: str) -> Iterator[Product]:
    for name in sorted(files):
        if re.fullmatch(marker, PurePosixPath(name).name):
            folder = PurePosixPath(name).parent.as_posix()
            before = "" if folder == "." else folder + "/"
            inside = {n[len(before) :]: path for n, path in files.items() if n.startswith(before)}
            place = where if where.suffix == ".zip" else where if not before else where / folder
            yield Product(place, PurePosixPath(folder).name or where.stem, inside, name[len(before) :])


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
    Acquisitions in order of date key, then of time. Acquisitions with the same key and time keep the order of `found`.

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
    return sorted(acquisitions, key=lambda a: (a.date, a.time))


def within(day: date, start: date | None, end: date | None) -> bool:
    """Return whether a day is between `start` and `end`, both included; None means no limit."""
    return (start is None or day >= start) and (end is None or day <= end)


def chosen_bands(spec: SensorSpec, bands: tuple[str, ...], default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return the bands to read: `bands`, else `default`, else all bands of the sensor.

    Raises
    ------
    SourceError
        The sensor does not have one of the bands.
    """
    known = [band.name for band in spec.bands]
    for name in bands:
        if name not in known:
            raise SourceError(
                f"The sensor {spec.name} has no band '{name}'.{did_you_mean(name, known)} Its bands are {', '.join(known)}."
            )
    return bands or default or tuple(known)


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
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise SourceError(f"{product}: '{text}' is not a valid time ({error}). Download the product again.") from error
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
