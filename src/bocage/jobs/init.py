"""``bocage init``: a commented recipe, written by looking at a folder of images and a vector file."""

import os
import re
import zipfile
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from bocage.errors import BocageError, Problem, RecipeError
from bocage.samples.reference import label_values
from bocage.sources import landsat_c2l2, sentinel1_grd, sentinel2_l2a, sentinel2_theia
from bocage.sources.raster import RasterInfo, inspect

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img")
DATE = re.compile(r"(?<!\d)(19|20)\d{2}-?[01]\d-?[0-3]\d(T\d{6})?(?!\d)")
SENTINEL2 = {code: name for name, code in sentinel2_l2a.CODES.items()}
"""Sentinel-2's band numbers and the common names by which indices ask for them."""
QUALITY = re.compile(r"(?i)(scl|quality|qa|mask|cloud|clm)")
REFERENCE = re.compile(r"(?i)(label|truth|reference|annotation|ground_?t)")
"""Names of rasters that hold the answer."""
SCL_CLEAR = "[4, 5, 6, 7]"
PRODUCTS = {
    sentinel2_l2a.MARKER: ("s2", "sentinel2_l2a", ""),
    sentinel2_theia.MARKER: ("s2_theia", "sentinel2_theia", ""),
    landsat_c2l2.MARKER: ("landsat", "landsat_c2l2", ""),
    r"DIM_SPOT[67]_P_.*\.XML": ("pan", "spot67", 'image = "pan"'),
    r"DIM_SPOT[67]_MS_.*\.XML": ("ms", "spot67", 'image = "ms"'),
    r"DIM_PHR1[AB]_P_.*\.XML": ("pan", "pleiades", 'image = "pan"'),
    r"DIM_PHR1[AB]_MS_.*\.XML": ("ms", "pleiades", 'image = "ms"'),
    sentinel1_grd.NAMES[0]: ("s1", "sentinel1_grd", 'stored = "linear"'),
}
"""Metadata files (or, of Sentinel-1, images) by which products are known: source name, sensor and what to say besides."""
OPTICAL = ("sentinel2_l2a", "sentinel2_theia", "landsat_c2l2")

TEMPLATE = """\
# Written by 'bocage init'. Read every line: it guesses from names.
name = "{name}"

# The map's grid: that of a source, or crs = "EPSG:...", resolution and bounds.
[grid]
like = "{like}"

{sources}
# Polygons: any vector file, in any CRS, or a PostGIS address.
[reference]
path = {reference}
label = "{label}"
# polygon_id = "field"         # where one surveyed field is several features
# buffer = 5                   # metres taken off inside each border

# The nomenclature: code (1 to 65535) in the map, name, color = "#rrggbb".
# Gather several labels in one class with values = [...].
[legend]
classes = [
{classes}
]

# The literature's protocol: 30 % of each class's polygons train, the rest test, over several draws.
[split]
train = 0.3
draws = 10
rare = "stop"                  # "drop" leaves out classes with fewer than 3 polygons
# unit = "block"               # squares of the ground instead of polygons: neighbouring fields stay on one side

{model}
# Other models on the same draws: 'bocage compare' sets them beside the one above.
# [[compare]]
# model = {{ name = "lightgbm" }}

# [report]
# language = "fr"
"""
PAN_MS = """\
# PAN and MS at their native resolutions; "random_forest" (without pan and ms) is the quick alternative.
[model]
name = "multiresolcc"
pan = "{pan}"
ms = "{ms}"

[training]
epochs = 40
samples_per_epoch = 4000
"""
FOREST = """\
# The operational baseline; for one series, "gru" is the network.
[model]
name = "random_forest"
"""


@dataclass
class Found:
    """What the folder holds."""

    images: dict[str, tuple[Path, RasterInfo]] = field(default_factory=dict)
    series: dict[str, dict[str, str]] = field(default_factory=dict)
    """Series name → variable → path, with ``{date}`` where files are dated."""
    quality: dict[str, str] = field(default_factory=dict)
    products: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Source name → sensor, and what its section says besides the path."""
    skipped: list[str] = field(default_factory=list)
    resolution: dict[str, float] = field(default_factory=dict)
    """Source name → its finest ground sampling distance."""
    starts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Series name → its first and last day."""


def write_recipe(images: Path, reference: Path, label: str, out: Path) -> list[str]:
    """Write a recipe to `out` and return what the user should be told.

    Raises
    ------
    RecipeError
        `out` exists already.
    BocageError
        There is no raster in the folder, or no label field that could be meant.
    """
    if out.exists():
        raise RecipeError(out, [Problem("", "the file exists; choose another --out")])
    if not images.is_dir():
        raise BocageError(f"{images} is not a folder; give the folder that holds the images.")
    found = look(images)
    if not found.images and not found.series and not found.products:
        raise BocageError(f"{images} holds no product and no raster that can be read ({', '.join(SUFFIXES)}).")
    label, values = label_values(reference, label)
    text = _recipe(found, images, out, reference, label, values)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    said = [f"skipped {line}" for line in found.skipped]
    sources = ", ".join([*found.products, *found.series, *found.images])
    return [
        *said,
        f"{out}: sources {sources}; label field '{label}' with {len(values)} classes. Read it, then:",
        f"  bocage run {out}",
    ]


def look(folder: Path) -> Found:
    """Sort the rasters of a folder (and its subfolders) into images and series."""
    found = Found()
    dated: dict[str, list[Path]] = defaultdict(list)
    inside = _find_products(folder, found)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        if path in inside or any(parent in inside for parent in path.parents):
            continue
        if REFERENCE.search(path.stem):
            found.skipped.append(f"{path}: its name says reference, and a model must not see what it is tested on")
            continue
        try:
            info = inspect(path)
        except BocageError as error:
            found.skipped.append(str(error))
            continue
        if DATE.search(path.name):
            dated[str(path.with_name(DATE.sub("{date}", path.name, count=1)))].append(path)
        elif info.count > 1 and all(DATE.search(d) for d in info.descriptions):
            _add_variable(found, path, str(path), info.descriptions)
        else:
            found.images[_name(path.stem)] = (path, info)
            found.resolution[_name(path.stem)] = info.grid.resolution
    for pattern, paths in dated.items():
        days = tuple(m[0] for p in paths if (m := DATE.search(p.name)))
        _add_variable(found, paths[0], pattern, days)
    return found


def _find_products(folder: Path, found: Found) -> set[Path]:
    """Note the products of a folder, packed ones too; return the folders and images that belong to them."""
    inside = set()
    for path in (p for p in folder.rglob("*") if p.is_file()):
        names = [path.name]
        if zipfile.is_zipfile(path) and path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name.rpartition("/")[2] for name in archive.namelist()]
        for pattern, (name, sensor, more) in PRODUCTS.items():
            if any(re.fullmatch(pattern, one) for one in names):
                found.products[name] = (sensor, more)
                inside.add(path if sensor == "sentinel1_grd" else path.parent)
    return inside - {folder}


def _add_variable(found: Found, path: Path, pattern: str, days: tuple[str, ...]) -> None:
    stamp = DATE.sub("", path.stem)
    key = _series_of(path, days, found)
    first, last = (_iso(d) for d in (min(days), max(days)))
    found.starts.setdefault(key, (first, last))
    gsd = inspect(path).grid.resolution
    found.resolution[key] = min(gsd, found.resolution.get(key, gsd))
    if QUALITY.search(stamp):
        found.quality[key] = pattern
    else:
        found.series.setdefault(key, {})[_variable(stamp)] = pattern


def _series_of(path: Path, days: tuple[str, ...], found: Found) -> str:
    """Variables of one folder with the same dates are one series; name it after the sensor its file name tells."""
    match = re.match(r"(?i)(s1|s2|l8|l9)", path.stem) or re.match(r"(?i)(s1|s2|l8|l9)", path.parent.name)
    name = match[0].lower() if match else _name(path.parent.name)
    span = (_iso(min(days)), _iso(max(days)))
    while found.starts.get(name, span) != span:
        name += "_"
    return name


def _variable(stem: str) -> str:
    for code, common in SENTINEL2.items():
        if re.search(rf"(?<![A-Za-z0-9]){code}(?![A-Za-z0-9])", stem.upper().replace("_", " ")):
            return common
    for word in ("vv", "vh", "blue", "green", "red", "nir"):
        if re.search(rf"(?i)(^|[_\W]){word}([_\W]|$)", stem):
            return word
    return _name(stem)


def _name(stem: str) -> str:
    return re.sub(r"\W+", "_", stem.lower()).strip("_") or "source"


def _iso(text: str) -> str:
    match = DATE.search(text)
    digits = re.sub(r"\D", "", match[0] if match else text)[:8]
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"


def _quoted(path: object, out: Path) -> str:
    """Path as the recipe says it: relative to the recipe, with forward slashes."""
    return '"' + os.path.relpath(str(path), out.resolve().parent).replace(os.sep, "/") + '"'


def _recipe(found: Found, images: Path, out: Path, reference: Path, label: str, values: list[int | str]) -> str:
    like, model = _advice(found)
    name = _name(out.stem if out.stem != "recipe" else out.resolve().parent.name)
    series = [_series_text(found, key, out) for key in found.series]
    plain = [_image_text(key, path, info, out) for key, (path, info) in found.images.items()]
    products = [_product_text(key, *said, images, out) for key, said in found.products.items()]
    return TEMPLATE.format(
        name=name,
        like=like,
        sources="\n".join(products + series + plain),
        reference=_quoted(reference.resolve(), out),
        label=label,
        classes="\n".join(_class_text(i, value) for i, value in enumerate(values, start=1)),
        model=model,
    )


def _advice(found: Found) -> tuple[str, str]:
    """Choose the grid's source and the model that suit what was found."""
    if found.products:
        if {"pan", "ms"} <= set(found.products):
            return "pan", PAN_MS.format(pan="pan", ms="ms")
        finest = ("pan", "ms", "s2", "s2_theia", "s1", "landsat")
        return next(name for name in finest if name in found.products), FOREST
    pans = [k for k, (_, info) in found.images.items() if info.count == 1]
    for pan in pans:
        grid = found.images[pan][1].grid
        for ms, (_, info) in found.images.items():
            ratio = info.grid.resolution / grid.resolution
            if info.count > 1 and abs(ratio - round(ratio)) < 0.01 and round(ratio) in (2, 4):
                return pan, PAN_MS.format(pan=pan, ms=ms)
    return min(found.series or found.images, key=lambda name: found.resolution[name]), FOREST


def _series_text(found: Found, key: str, out: Path) -> str:
    first, last = found.starts[key]
    lines = [f"# A series from {first} to {last}.", f"[sources.{key}]", 'sensor = "series"']
    if key in found.quality:
        clear = SCL_CLEAR if "scl" in found.quality[key].lower() else "[]"
        lines.append(f"quality = {_quoted(found.quality[key], out)}")
        lines.append(f'clear = {clear}  # values that mean "clear"; empty: every value but 0')
    optical = {"red", "nir"} <= set(found.series[key])
    if optical:
        lines += ["scale = 0.0001                 # stored integers to reflectance", 'indices = ["ndvi"]']
    lines.append("# Interpolated onto regular dates; without this line: native dates and their mask.")
    lines.append(f"fill = {{ every = 10, start = {first}, end = {last} }}")
    lines.append(f"[sources.{key}.variables]")
    lines += [f"{variable} = {_quoted(path, out)}" for variable, path in found.series[key].items()]
    return "\n".join(lines) + "\n"


def _product_text(key: str, sensor: str, more: str, images: Path, out: Path) -> str:
    lines = [f"# Products of this sensor, wherever they lie below the folder, zipped or not.\n[sources.{key}]"]
    lines += [f'sensor = "{sensor}"', f"path = {_quoted(images.resolve(), out)}", *filter(None, [more])]
    if sensor in OPTICAL:
        lines.append('indices = ["ndvi"]')
    if sensor in (*OPTICAL, "sentinel1_grd"):
        lines.append("# Interpolated onto regular dates; without such a line: native dates and their mask.")
        lines.append("# fill = { every = 10, start = 2022-01-01, end = 2022-12-31 }")
    return "\n".join(lines) + "\n"


def _image_text(key: str, path: Path, info: RasterInfo, out: Path) -> str:
    names = [_band(d) if d else f"b{i}" for i, d in enumerate(info.descriptions, start=1)]
    listed = ", ".join(f'"{n}"' for n in names)
    return (
        f'# {info.grid}, {info.dtype}.\n[sources.{key}]\nsensor = "image"\npath = {_quoted(path.resolve(), out)}\n'
        f"bands = [{listed}]  # common names (blue, green, red, nir, ...) where indices are wanted\n"
    )


def _band(description: str) -> str:
    """Common name of a band described like ``B4 nir``."""
    name = re.sub(r"^b\d+[a-z]?_", "", _name(description))
    return {"swir1": "swir16", "swir2": "swir22"}.get(name, name)


def _class_text(number: int, value: int | str) -> str:
    if isinstance(value, int) and 1 <= value <= 65535:
        return f'  {{ code = {value}, name = "{value}" }},'
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'  {{ code = {number}, name = "{escaped}", values = ["{escaped}"] }},'
