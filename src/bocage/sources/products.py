"""Folders and archives of products: found by their metadata file, listed once, their XML read safely.

A product is whatever lies beside (or below) its metadata file, in a folder or in a zip archive; archives are read in
place. Nothing is unpacked and no name inside an archive is trusted.
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
from bocage.sources.raster import inspect, on_disk, zipped
from bocage.words import Note

LARGEST_XML = 64 << 20
"""Bytes of metadata that are read at most."""


@dataclass(frozen=True)
class ProductSettings:
    """What every sensor that comes as products may be told."""

    path: Path
    """A folder of products, zipped or not, at any depth; or one product."""
    bands: tuple[str, ...] = ()
    """Common names of the bands to read, in order; empty takes all that the sensor has by default."""
    start: date | None = None
    """First day, UTC."""
    end: date | None = None
    """Last day, UTC."""
    on_error: Literal["stop", "skip"] = "stop"
    """A product that cannot be used: stop, or leave it out and say so in the report."""


@dataclass(frozen=True)
class Product:
    """One product: the files below its folder, by their path relative to it."""

    where: Path
    """Its folder, or the archive that holds it."""
    name: str
    files: Mapping[str, Path]
    """Relative path to the path by which GDAL opens it."""
    metadata: str
    """Relative path of the metadata file by which it was found."""

    def match(self, pattern: str) -> list[str]:
        """Relative paths that `pattern` (a regular expression) matches to their end, sorted."""
        return sorted(name for name in self.files if re.search(pattern + r"\Z", name))

    def one(self, pattern: str, what: str) -> Path:
        """Return the only file that `pattern` matches.

        Raises
        ------
        SourceError
            There is none, or more than one.
        """
        found = self.match(pattern)
        if not found:
            raise SourceError(f"{self} has no file for {what} (none ends like {pattern}); download the product again.")
        if len(found) > 1:
            raise SourceError(f"{self} has {len(found)} files for {what}: {', '.join(found[:3])}; keep one.")
        return self.files[found[0]]

    def xml(self, name: str = "") -> Element:
        """Parse one of its XML files; its metadata file if no `name` is given.

        Raises
        ------
        SourceError
            It is damaged, too large, or declares entities, which no product needs.
        """
        name = name or self.metadata
        try:
            root: Element = defusedxml.ElementTree.fromstring(_bytes(self.files[name]), forbid_dtd=False)
        except ParseError as error:
            raise SourceError(f"{self}: {name} is not complete XML ({error}); download the product again.") from error
        except defusedxml.DefusedXmlException as error:
            raise SourceError(
                f"{self}: {name} declares XML entities, which no product needs and which could read other files; it is "
                "refused. Download the product again from its maker."
            ) from error
        return root

    def text(self, root: Element, path: str) -> str:
        """Return the text of the element at `path`.

        Raises
        ------
        SourceError
            There is none.
        """
        found = root.findtext(path)
        if found is None or not found.strip():
            raise SourceError(f"{self}: {self.metadata} does not say {path.rpartition('/')[2]}; it is not complete.")
        return found.strip()

    def __str__(self) -> str:
        return str(self.where / self.name) if self.where.suffix == ".zip" else str(self.where)


def _bytes(path: Path) -> bytes:
    """Read a file, or a member of an archive, if it is no larger than metadata may be."""
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
            raise SourceError(f"{archive}: {member} is damaged ({error}); download the archive again.") from error
    raise SourceError(f"{path} has more than {LARGEST_XML >> 20} MB: too much for metadata; it is not read.")


def products(root: Path, marker: str, kind: str) -> list[Product]:
    """Return the products below `root` whose metadata file `marker` (a regular expression of its name) matches.

    Raises
    ------
    SourceError
        There is none; an archive is empty, damaged, or has a member that points outside of it.
    """
    if not root.exists():
        raise SourceError(f"{root} does not exist; give the folder that holds the products.")
    found = [product for where, files in _places(root) for product in _split(where, files, marker)]
    if not found:
        raise SourceError(f"{root} holds no {kind} (no file is called like {marker}); check the path and the sensor.")
    return found


def _places(root: Path) -> Iterator[tuple[Path, dict[str, Path]]]:
    """The files of a folder, and of every archive in it, by relative path."""
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
        raise SourceError(f"{archive} is not a complete zip archive ({error}); download it again.") from error
    if not names:
        raise SourceError(f"{archive} is an empty archive; download it again, or move it away.")
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise SourceError(
                f"{archive} has a member called '{name}', which points outside of the archive; it is refused. Download it "
                "again from its maker."
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
    """Read every product; one that cannot be used stops the run, or is left out and told, as the settings say.

    Returns
    -------
    The acquisitions between the settings' days, in order of time; those of one date in the order that `read` and the
    products' names give.

    Raises
    ------
    SourceError
        A product cannot be used, or none is left.
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
                raise SourceError(f'{error} (Or set on_error = "skip" to go on without this product.)') from error
            skipped += 1
            progress.say(Note.of("left_out", reason=str(error)))
        progress.step("opening products", done, len(found))
    acquisitions = [a for a in acquisitions if a.time and within(a.time.date(), settings.start, settings.end)]
    if not acquisitions:
        raise SourceError(
            f"{settings.path}: none of {len(found)} products is left ({skipped} left out for their faults; days asked for: "
            f"{settings.start or 'any'} to {settings.end or 'any'})."
        )
    if skipped:
        progress.say(Note.of("products_left_out", n=skipped, total=len(found)))
    return sorted(acquisitions, key=lambda a: (a.date, a.time))


def within(day: date, start: date | None, end: date | None) -> bool:
    """Whether a day lies between two, either of which may be left open."""
    return (start is None or day >= start) and (end is None or day <= end)


def chosen_bands(spec: SensorSpec, bands: tuple[str, ...], default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Bands to read, checked against what the sensor has.

    Raises
    ------
    SourceError
        The sensor has no such band.
    """
    known = [band.name for band in spec.bands]
    for name in bands:
        if name not in known:
            raise SourceError(
                f"The sensor {spec.name} has no band '{name}'.{did_you_mean(name, known)} It has {', '.join(known)}."
            )
    return bands or default or tuple(known)


def check_size(product: Product, path: Path, height: int, width: int) -> None:
    """Refuse a raster whose size is not what the metadata says.

    Raises
    ------
    SourceError
        It differs.
    """
    shape = inspect(path).grid.shape
    if shape != (height, width):
        raise SourceError(
            f"{product}: {path.name} has {shape[0]} x {shape[1]} pixels, but {product.metadata} says {height} x {width}; "
            "the file is damaged or belongs to another product. Download it again."
        )


def utc(text: str, product: Product) -> datetime:
    """Parse the time of a metadata file; the result is UTC without a zone.

    Raises
    ------
    SourceError
        It is not a time.
    """
    try:
        time = datetime.fromisoformat(text.strip().replace("Z", "+00:00"))
    except ValueError as error:
        raise SourceError(f"{product}: '{text}' is not a time ({error}).") from error
    return time.astimezone(UTC).replace(tzinfo=None) if time.tzinfo else time
