"""Sections of the sources of a first recipe: what a folder contains, opened, with units and clear values from its pixels."""

import shlex
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.recipe.draft import UNKNOWN, DraftFill, DraftSource, escaped, quoted
from bocage.recipe.units import two_units, unnamed
from bocage.samples.labels import Labels
from bocage.sources import SENSORS, Readable, Source, open_source, sentinel1_grd
from bocage.sources.column_roles import is_band
from bocage.sources.columns import Layout, tables_in
from bocage.sources.declared import RADAR
from bocage.sources.folders import files_below
from bocage.sources.found import Found, Image, Series
from bocage.sources.inventory import first_file
from bocage.sources.opening import available_bands
from bocage.sources.quality_layers import names_quality
from bocage.sources.raster import inspect
from bocage.sources.table import TableSource, texts
from bocage.sources.values import OPTICAL as OPTICAL_BANDS
from bocage.sources.values import Unit, clear_of, codes_of, offset_since, stored_values, unit_of
from bocage.words import quantity

OPTICAL = ("sentinel2_l2a", "sentinel2_theia", "landsat_c2l2")
EVERY = 10
"""Fewest days between the regular dates of the gap filling."""
PARTLY = (
    "the offset of Sentinel-2: no value since {when} is below 1000, as in products of baseline 04.00, and earlier values are. "
    "Subtract 1000 from the later images, or read the products (sensor sentinel2_l2a): else the values of a surface change"
)
"""Doubt about a series with images of both kinds."""
NAMES = "spectral indices need common names (blue, green, red, nir, ...)"


@dataclass(frozen=True)
class Candidate:
    """A source that was found: opened, and as a section of the recipe."""

    draft: DraftSource
    source: Readable
    remarks: tuple[str, ...] = ()
    sample_id: str = ""
    """Field of the reference with the ids of a table; empty for imagery."""
    unknown: bool = False
    """Whether the clear values of its quality layer are unknown."""
    ask: str = ""
    """Comment on the field of the ids where several agree alike, so that the recipe asks for it."""

    @property
    def name(self) -> str:
        """Name of the source."""
        return self.draft.name

    @property
    def sample_id_line(self) -> str:
        """Line of the field of the reference with the ids, which asks for it where several agree alike."""
        return f'sample_id = "{UNKNOWN}"  # {self.ask}' if self.ask else f'sample_id = "{escaped(self.sample_id)}"'


def candidates_of(found: Found, folder: Path, out: Path) -> list[Candidate]:
    """Return the products, series and images of a folder that can be opened; the others become remarks."""
    makers: dict[str, Callable[[], Candidate]] = {
        **{
            key: make for name, one in found.products.items() for key, make in _products(name, *one, folder, out, found)
        },
        **{key: partial(_series, key, series, out) for key, series in found.series.items()},
        **{key: partial(_image, key, image, out) for key, image in found.images.items()},
    }
    candidates = [candidate for key, make in makers.items() for candidate in _tried(found.remarks, key, make)]
    found.remarks += _apart(candidates, found)
    return candidates


def _apart(candidates: Sequence[Candidate], found: Found) -> list[str]:
    """Return a remark if the bands of an image are a file each, so that no index can be computed."""
    single = [c for c in candidates if c.name in found.images and len(c.source.bands) == 1]
    grids = {c.source.grid for c in single if c.source.bands[0] in {"red", "nir"}}
    together = [c for c in single if c.source.grid in grids and c.source.bands[0] in {*OPTICAL_BANDS} - {"pan"}]
    bands = {c.source.bands[0] for c in together}
    if len(grids) != 1 or len(bands) < len(together) or not {"red", "nir"} <= bands:
        return []
    names = " ".join(shlex.quote(found.images[c.name].path) for c in together)
    return [
        f"the bands {', '.join(c.source.bands[0] for c in together)} are a file each, and each is a source without indices. For "
        f"one image of all of them, run: gdalbuildvrt -separate image.vrt {names}, and write their names in 'bands'"
    ]


def table_candidates(found: Found, folder: Path, labels: Labels, out: Path) -> list[Candidate]:
    """Return a source for each sensor of each table of series in a folder; tables that cannot be used are added to `found`.

    The reference itself is used if no other table has series: a table with a column per band and date, or with a row per date,
    can have the labels too.
    """
    reference = Path(labels.reference.path)
    own = [path for path in files_below(folder) if reference.exists() and path.samefile(reference)]
    others = [path for path in files_below(folder) if path not in own]
    candidates: list[Candidate] = []
    never = _no_bands(labels, {*labels.fields, *labels.siblings})
    for layout in tables_in(others, labels.ids(), found.skipped, never) or _own_layouts(own, labels, found):
        for key in layout.bands:
            taken = [c.name for c in candidates]
            name = key if key not in taken else f"{key}_{len(taken) + 1}"
            candidates += _tried(found.remarks, name, partial(_table, name, key, layout, labels, out))
    return candidates


def _own_layouts(own: list[Path], labels: Labels, found: Found) -> list[Layout]:
    """Return the layout of the table that holds the labels and the series."""
    never, repeated = _no_bands(labels, labels.siblings), labels.repeated_ids()
    why, why_dated = list[str](), list[str]()
    per_date = [layout for layout in tables_in(own, repeated, why_dated, never) if layout.date]
    layouts = per_date or tables_in(own, labels.ids(), why, never)
    if not found.skipped:  # else another file is the one with the series
        found.skipped += why_dated if repeated else why
    return layouts


def _no_bands(labels: Labels, fields: Collection[str]) -> frozenset[str]:
    """Return the names in lower case of the label and of fields of the reference, but not of fields with the name of a band."""
    return frozenset(f.lower() for f in fields if not is_band(f)) | {labels.reference.label.lower()}


def in_period(candidate: Candidate, first: date, last: date, days: int) -> DraftSource | None:
    """Return the section of a source with the dates of a period only; None if it is a series without a date in the period.

    Its gap filling ends `days` after its start, so that it has as many dates in all periods of this length.
    """
    draft, times = candidate.draft, [time.date() for time in candidate.source.times if time]
    if len(times) < 2:
        return draft
    inside = sum(first <= time <= last for time in times)
    if not inside:
        return None
    fill = draft.fill and replace(draft.fill, start=first, end=min(last, first + timedelta(days)))
    about = (f"Time series of {quantity(inside, 'date')} in this period, of {len(times)}.",)
    return replace(draft, comments=about, settings=(*draft.settings, f"period = [{first}, {last}]"), fill=fill)


def spans_of(source: Readable) -> dict[str, tuple[date, date]]:
    """Return the id of each sample of a table → the first and the last date of its series; empty for imagery."""
    if not isinstance(source, TableSource):
        return {}
    days = [time.date() for time in source.times]
    dates = [np.flatnonzero(seen) for seen in source.seen]
    return {name: (days[own[0]], days[own[-1]]) for name, own in zip(source.ids, dates, strict=True) if len(own)}


def _tried(remarks: list[str], name: str, make: Callable[[], Candidate]) -> list[Candidate]:
    try:
        return [make()]
    except SourceError as error:
        remarks.append(f"source '{name}' is left out, because it cannot be opened: {error}")
        return []


# --- products
def _product(key: str, sensor: str, more: str, folder: Path, out: Path) -> Candidate:
    comments = ["All products of this sensor in the folder and its subfolders, in archives or not."]
    settings, remarks = tomllib.loads(more), list[str]()
    if sensor == "sentinel1_grd":
        source, settings["stored"] = _radar(key, folder, settings)
    else:
        source, settings = _with_bands(key, sensor, {"path": folder.absolute(), **settings})
        settings.pop("path")
        if "bands" in settings:
            remarks.append(
                f"source '{key}': products lack bands; those that all products have are used: {', '.join(settings['bands'])}"
            )
    lines = [f'sensor = "{sensor}"', f"path = {quoted(folder.absolute(), out)}"]
    lines += [f"{name} = {_written(value)}" for name, value in settings.items()]
    if sensor in OPTICAL:
        lines.append('indices = ["ndvi"]')
    return Candidate(DraftSource(key, tuple(comments), tuple(lines), fill=_fill(source)), source, tuple(remarks))


def _with_bands(key: str, sensor: str, settings: dict[str, Any]) -> tuple[Readable, dict[str, Any]]:
    """Return the opened source of a folder of products, and its settings, with the bands that all products have if some lack one.

    Raises
    ------
    SourceError
        A product cannot be read, or has no band.
    """
    try:
        return _opened(key, sensor, settings), settings
    except SourceError as error:
        bands = available_bands(SENSORS.get(sensor), settings) if sensor in OPTICAL else ()
        if not bands:
            raise error
        chosen = settings | {"bands": bands}
        return _opened(key, sensor, chosen), chosen


def _written(value: str | int | Sequence[str]) -> str:
    """Return the value of a setting as TOML."""
    if isinstance(value, str):
        return f'"{escaped(value)}"'
    return str(value) if isinstance(value, int) else f"[{_listed(value)}]"


def _products(
    key: str, sensor: str, more: str, folder: Path, out: Path, found: Found
) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    """Yield name and maker of each source of products: one per sensor, and for Sentinel-1 one per orbit."""
    orbits = _orbits(folder) if sensor == "sentinel1_grd" else {}
    for (direction, orbit), polarisations in orbits.items():
        lines = [f"relative_orbit = {int(orbit)}"] if orbit else []
        if direction and not orbit:
            lines = [f'orbit = "{"ascending" if direction.upper().startswith("A") else "descending"}"']
        if len(orbits) == 1 or not lines:
            lines = []
        if len(polarisations) == 1:
            lines.append(f'bands = ["{polarisations[0]}"]')
        name = f"{key}_{(direction + orbit).lower()}" if len(orbits) > 1 else key
        yield name, partial(_product, name, sensor, "\n".join([more, *lines]), folder, out)
    if len(orbits) > 1:
        shown = ", ".join(" ".join(filter(None, orbit)) for orbit in orbits)
        found.remarks.append(
            f"source '{key}': a source for each orbit ({shown}), because backscatter differs between orbits"
        )
    if not orbits:
        yield key, partial(_product, key, sensor, more, folder, out)


def _orbits(folder: Path) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return the orbits of the Sentinel-1 images of a folder; none if they are not known or cannot be chosen by a setting."""
    try:
        orbits = sentinel1_grd.orbits_in(folder.absolute())
    except SourceError:
        return {}  # the source says why when it is opened
    numbers = [orbit for _, orbit in orbits]
    apart = all(numbers) and len(set(numbers)) == len(numbers)
    apart |= not any(numbers) and all(direction for direction, _ in orbits)
    return orbits if len(orbits) == 1 or apart else {}


def _radar(key: str, folder: Path, settings: Mapping[str, Any]) -> tuple[Readable, str]:
    """Return the opened source of a folder of Sentinel-1 images, and the unit of the files that its names and values show."""
    problems = []
    for stored in ("linear", "db", "amplitude"):
        try:
            return _opened(key, "sentinel1_grd", {"path": folder.absolute(), **settings, "stored": stored}), stored
        except SourceError as error:
            problems.append(error)
    raise problems[0]


def _opened(name: str, sensor: str, settings: Mapping[str, Any]) -> Readable:
    kind = SENSORS.get(sensor)
    return open_source(name, kind, kind.Settings(**settings))


# --- rasters
def _series(key: str, series: Series, out: Path) -> Candidate:
    given: dict[str, Any] = {"variables": {name: Path(path) for name, path in series.variables.items()}}
    if series.path:
        given = {"path": Path(series.path), "bands": series.bands}
    listed = isinstance(series.dates, tuple)
    given |= {"dates": series.dates if listed else Path(str(series.dates))} if series.dates else {}
    source = _opened(key, "series", given | _quality(series))
    lines = ['sensor = "series"']
    if series.path:
        lines += [f"path = {quoted(series.path, out)}", f"bands = [{_listed(series.bands)}]  # {NAMES}"]
    if series.dates:
        dates = f"[{_listed(series.dates)}]" if isinstance(series.dates, tuple) else quoted(series.dates, out)
        lines.append(f"dates = {dates}  # one date for each band, in their order")
    draft = DraftSource(
        key, (), tuple(lines), "variables" if series.variables else "",
        tuple(f"{variable} = {quoted(path, out)}" for variable, path in series.variables.items()),
    )  # fmt: skip
    return _described(draft, series, source, out)


def _image(key: str, image: Image, out: Path) -> Candidate:
    source = _opened(key, "image", {"path": Path(image.path), "bands": image.bands} | _quality(image))
    lines = ['sensor = "image"', f"path = {quoted(image.path, out)}", f"bands = [{_listed(image.bands)}]  # {NAMES}"]
    return _described(DraftSource(key, (), tuple(lines)), image, source, out)


def _quality(found: Series | Image) -> dict[str, Any]:
    if not found.quality:
        return {}
    return {"quality": Path(found.quality), "quality_band": found.quality_band}


def _layer_name(found: Series | Image) -> str:
    """Return the name of a quality layer: that of its band, else that of its file, with the folder if the file has none."""
    if isinstance(found, Series) and found.layer:
        return found.layer
    if found.quality_band and found.quality == found.path:
        described = inspect(first_file(found.quality)).descriptions[found.quality_band - 1]
        if described:
            return described
    path = Path(found.quality)
    return path.name if names_quality(path.name) else f"{path.parent.name}/{path.name}"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f'"{escaped(name)}"' for name in names)


def _described(draft: DraftSource, found: Series | Image, source: Readable, out: Path) -> Candidate:
    """Complete the section of rasters with the quality layer, the unit and the indices."""
    key, lines = draft.name, list(draft.settings)
    assert isinstance(source, Source)
    remarks, unknown = [], False
    if found.quality:
        codes = codes_of(source)
        clear = clear_of(_layer_name(found), codes)
        unknown = not clear.values
        lines = [*lines, f"quality = {quoted(found.quality, out)}"]
        lines += [f"quality_band = {found.quality_band}"] if found.quality_band else []
        if unknown:
            lines.append(
                f'clear = "{UNKNOWN}"  # found {codes}: write the values that mean clear, as in [4, 5]; {clear.why}'
            )
        else:
            lines.append(f"clear = [{', '.join(map(str, clear.values))}]  # values of clear pixels: {clear.why}")
            if not codes.share(clear.values):
                remarks.append(f"source '{key}': no pixel of the dates that were read has a clear value; check 'clear'")
    unit, declared = _unit(source)
    remarks += unnamed(key, source, unit)
    lines = [*lines, *_unit_lines(unit, declared)]
    if unit.doubt:
        remarks.append(f"source '{key}': check {unit.doubt} ({unit.why})")
    remarks += two_units(key, source, unit)
    if {"red", "nir"} <= set(source.bands) and "ndvi" not in source.bands:
        lines.append('indices = ["ndvi"]')
    what = f"{found.info.grid}, {found.info.dtype}" if isinstance(found, Image) else f"Time series of {_span(source)}"
    draft = replace(draft, comments=(f"{what}.",), settings=tuple(lines), fill=_fill(source))
    return Candidate(draft, source, tuple(remarks), unknown=unknown)


def _span(source: Readable) -> str:
    """Return the number of dates, the first and the last."""
    first, last = (f"{time:%Y-%m-%d}" for time in (source.times[0], source.times[-1]))
    return f"{len(source.times)} dates from {first} to {last}"


def _unit(source: Source) -> tuple[Unit, bool]:
    """Return the unit of a raster source, and whether its files declare a scale or an offset."""
    named = source.acquisitions[0].files
    files = list(named.values())
    declared = any((f.decoding.scale, f.decoding.offset) != (1.0, 0.0) for f in files)
    # The files of the bands give the unit: a mask or an index beside them can have another data type.
    bands = [file for name, file in named.items() if name in {*OPTICAL_BANDS, *RADAR}] or files
    info = inspect(bands[0].path)
    layers = [*files, *source.acquisitions[0].quality.values()]
    names = [source.name, *(f"{file.path.name} {' '.join(inspect(file.path).descriptions)}" for file in layers)]
    unit = unit_of(stored_values(source), info.dtypes[bands[0].index - 1], source.times, " ".join(names))
    if declared:
        unit = Unit(why="the files declare scale and offset", nodata=unit.nodata)
    elif when := offset_since(source):
        unit = replace(unit, doubt=PARTLY.format(when=f"{when:%Y-%m-%d}"))
    if any(value is not None for value in info.nodatas):
        unit = Unit(unit.scale, unit.offset, unit.decibel, None, unit.why, unit.doubt)
    return unit, declared


def _unit_lines(unit: Unit, declared: bool) -> list[str]:
    """Return the lines of scale, offset, decibel and nodata; the first has the reason as comment."""
    lines = []
    if unit.scale != 1 and not declared:
        lines.append(f"scale = {_number(unit.scale)}")
    if unit.offset and not declared:
        lines.append(f"offset = {_number(unit.offset)}")
    if unit.decibel:
        lines.append(f'decibel = "{unit.decibel}"')
    if lines and unit.why:
        lines[0] += f"  # {unit.why}"
    elif unit.why:
        lines.append(f"# {unit.why}")
    if unit.nodata is not None:
        lines.append(f"nodata = {_number(unit.nodata)}  # no nodata value is declared, and this one occurs")
    return lines


def _number(value: float) -> str:
    """Return a number as TOML writes it, without an exponent where it is short."""
    return f"{value:.10f}".rstrip("0").rstrip(".") if value == 0 or abs(value) >= 1e-6 else repr(value)


def _fill(source: Readable) -> DraftFill | None:
    """Return the regular dates of a series; None for an image, and for tables of several seasons.

    The step of a table whose samples share few dates is that of the dates of a sample.
    """
    times = [time for time in source.times if time]
    if len(times) < 2 or times[0].date() == times[-1].date():
        return None
    step = float(np.median([(b - a).days for a, b in pairwise(times)]))
    if isinstance(source, TableSource):
        if source.different_seasons:
            return None
        step = source.own_step if source.different_dates else step
    every = max(EVERY, round(step))
    return DraftFill(every, times[0].date(), times[-1].date())


# --- tables
def _table(name: str, key: str, layout: Layout, labels: Labels, out: Path) -> Candidate:
    given: dict[str, Any] = {"path": layout.path.absolute(), "id": layout.id, "bands": dict(layout.bands[key])}
    columns = {n: c for n, c in (("date", layout.date), ("wide", layout.wide), ("valid", layout.valid)) if c}
    clear = {"clear": layout.clear.values} if layout.clear.values else {}
    source = _opened(name, "table", given | columns | clear)
    assert isinstance(source, TableSource)
    unit = unit_of(_table_values(source), _table_dtype(source), source.times, name)
    remarks, column, ask = _about_ids(name, layout, labels)
    id_line = f'id = "{UNKNOWN}"  # {column}' if column else f'id = "{escaped(layout.id)}"'
    lines = ['sensor = "table"', f"path = {quoted(layout.path.absolute(), out)}", id_line]
    lines += [f'{setting} = "{escaped(text)}"' for setting, text in columns.items()]
    lines += [f"clear = {list(values)}  # {layout.clear.why}" for values in clear.values()]
    lines += _unit_lines(unit, False)
    if {"red", "nir"} <= set(source.bands) and "ndvi" not in source.bands:
        lines.append('indices = ["ndvi"]')
    entries = tuple(f'{band} = "{escaped(column)}"' for band, column in layout.bands[key].items())
    remarks += [f"source '{name}': check {unit.doubt} ({unit.why})"] if unit.doubt else []
    remarks += _about_dates(source)
    if key == next(iter(layout.bands)):  # once for each table
        remarks += [f"{layout.path.name}: {remark}" for remark in layout.remarks]
    comment = f"Table of {len(source.ids)} samples, {_span(source)}."
    draft = DraftSource(name, (comment,), tuple(lines), "bands", entries, _fill(source))
    return Candidate(draft, source, tuple(remarks), layout.field, ask=ask)


def _about_dates(source: TableSource) -> list[str]:
    """Return a remark if the samples of a table share few dates, which a random forest compares."""
    if source.different_seasons:
        return [
            f"source '{source.name}': its samples are of different seasons and share few dates; a random forest compares dates, "
            "patchwork days of the year"
        ]
    if not source.different_dates:
        return []
    share = f"{100 * source.own_dates:.0f} % of the {len(source.times)} dates"
    return [
        f"source '{source.name}': a sample has a value at {share} on average. A random forest compares dates: its series are "
        'interpolated ("fill" in the recipe of the forest, gaps = "linear" in [[compare]])'
    ]


def _about_ids(name: str, layout: Layout, labels: Labels) -> tuple[list[str], str, str]:
    """Return remarks on other ids that agree as well, and what to choose from where column or field is unknown, or nothing."""
    first, frame = layout.pair, labels.frame
    own = texts(frame[layout.field])
    rivals = [
        r
        for r in layout.rivals
        if r.column != layout.id or not (texts(frame[r.field]).to_numpy() == own.to_numpy()).all()
    ]
    if not first or not rivals:
        return [], "", ""
    pairs = "; ".join(f"column '{r.column}' with field '{r.field}'" for r in rivals)
    remark = (
        f"source '{name}': column '{layout.id}' has the ids of field '{layout.field}', but others agree as well: {pairs}. Check "
        "'id' of the source and 'sample_id' of the reference: a wrong pair gives wrong labels"
    )
    alike = [r for r in rivals if r.rank == first.rank]
    ask = "which is the right one? found {}"
    asked = []
    for part in ("column", "field"):
        names = list(dict.fromkeys(getattr(pair, part) for pair in (first, *alike)))
        asked.append(ask.format(", ".join(names)) if len(names) > 1 else "")
    return [remark], asked[0], asked[1]


def _table_values(source: TableSource) -> dict[str, NDArray[np.float64]]:
    values = source.stored[source.seen]
    return {band: values[:, i].astype(np.float64) for i, band in enumerate(source.bands)}


def _table_dtype(source: TableSource) -> str:
    values = source.stored[source.seen]
    return "int64" if values.size and not (values % 1 != 0).any() else "float32"
