"""``bocage init``: write a commented recipe for a folder of images and a vector file."""

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
"""Sentinel-2 band number → common name, as spectral indices use it."""
QUALITY = re.compile(r"(?i)(scl|quality|qa|mask|cloud|clm)")
REFERENCE = re.compile(r"(?i)(label|truth|reference|annotation|ground_?t)")
"""File names of reference rasters, which must not be used as imagery."""
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
"""Pattern of the metadata file that identifies a product (Sentinel-1: of the image) → source name, sensor, additional setting."""
OPTICAL = ("sentinel2_l2a", "sentinel2_theia", "landsat_c2l2")

TEMPLATE = """\
# Written by 'bocage init' from file names and file contents. Check every line before the run.
name = "{name}"

# Grid of the map: the grid of a source, or crs = "EPSG:...", resolution and bounds.
[grid]
like = "{like}"

{sources}
# Reference polygons: a vector file in any CRS, or the address of a PostGIS database.
[reference]
path = {reference}
label = "{label}"
# weight = "weight"            # if the polygons are a probability sample: field with 1 / probability of selection
# polygon_id = "field"         # if a surveyed field consists of several features: field with its identifier
# buffer = 5                   # inward buffer of each polygon, in metres

# Legend: for each class, its code in the map (1 to 65535), its name, and optionally color = "#rrggbb".
# To merge several labels into one class, list them: values = [...].
[legend]
classes = [
{classes}
]

# Split of the polygons of each class: 30 % for training, the rest for testing, repeated over 10 random draws.
[split]
train = 0.3
draws = 10
rare = "stop"                  # "drop" excludes classes with fewer than 3 polygons
# unit = "block"               # draw square blocks instead of polygons, to separate training from nearby test fields

{model}
# Other models, which 'bocage compare' trains and tests on the same draws.
# [[compare]]
# model = {{ name = "lightgbm" }}

# [report]
# language = "fr"
"""
PAN_MS = """\
# Network for PAN and MS images at their native resolutions. "random_forest" (remove pan and ms) is faster.
[model]
name = "multiresolcc"
pan = "{pan}"
ms = "{ms}"

[training]
epochs = 40
samples_per_epoch = 4000
"""
FOREST = """\
# Random forest, the usual baseline. "gru" is a network for a single time series.
[model]
name = "random_forest"
"""


@dataclass
class Found:
    """Images, series and products of a folder."""

    images: dict[str, tuple[Path, RasterInfo]] = field(default_factory=dict)
    """Source name → path and description of an image without dates."""
    series: dict[str, dict[str, str]] = field(default_factory=dict)
    """Series name → variable → path; ``{date}`` replaces the date in the names of dated files."""
    quality: dict[str, str] = field(default_factory=dict)
    """Series name → path of its quality layer."""
    products: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Source name → sensor, and additional setting of its section."""
    skipped: list[str] = field(default_factory=list)
    """Files that are not used, each with the reason."""
    resolution: dict[str, float] = field(default_factory=dict)
    """Source name → its finest ground sampling distance, in CRS units."""
    starts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Series name → its first and last day (ISO 8601)."""


def write_recipe(images: Path, reference: Path, label: str, out: Path) -> list[str]:
    """Write a recipe to `out`, and return messages for the user, one per line.

    Raises
    ------
    RecipeError
        `out` exists.
    BocageError
        The folder has no raster, or the vector file has no label field.
    """
    if out.exists():
        raise RecipeError(out, [Problem("", "the file exists; choose another --out")])
    if not images.is_dir():
        raise BocageError(f"{images} is not a folder. Give the folder of the images.")
    found = look(images)
    if not found.images and not found.series and not found.products:
        raise BocageError(f"{images} contains no known product and no readable raster ({', '.join(SUFFIXES)}).")
    label, values = label_values(reference, label)
    text = _recipe(found, images, out, reference, label, values)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    skipped = [f"skipped {line}" for line in found.skipped]
    sources = ", ".join([*found.products, *found.series, *found.images])
    return [
        *skipped,
        f"{out}: sources {sources}; label field '{label}' with {len(values)} classes. Check the recipe, then run:",
        f"  bocage run {out}",
    ]


def look(folder: Path) -> Found:
    """Return the images, series and products of a folder and its subfolders."""
    found = Found()
    dated: dict[str, list[Path]] = defaultdict(list)
    inside = _find_products(folder, found)
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        if path in inside or any(parent in inside for parent in path.parents):
            continue
        if REFERENCE.search(path.stem):
            found.skipped.append(
                f"{path}: the file name indicates reference data, which must not be an input of the model"
            )
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
    """Add the products of a folder, zip archives included; return the folders and images that belong to them."""
    inside = set()
    for path in (p for p in folder.rglob("*") if p.is_file()):
        names = [path.name]
        if zipfile.is_zipfile(path) and path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                names = [name.rpartition("/")[2] for name in archive.namelist()]
        for pattern, (name, sensor, more) in PRODUCTS.items():
            if any(re.fullmatch(pattern, file) for file in names):
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
    """Return the name of the series: from the sensor in the file or folder name, else the folder name.

    Files of one folder with the same first and last date belong to one series.
    """
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
    """Return the quoted path for the recipe: relative to the recipe, with forward slashes."""
    return '"' + os.path.relpath(str(path), out.resolve().parent).replace(os.sep, "/") + '"'


def _recipe(found: Found, images: Path, out: Path, reference: Path, label: str, values: list[int | str]) -> str:
    like, model = _advice(found)
    name = _name(out.stem if out.stem != "recipe" else out.resolve().parent.name)
    series = [_series_text(found, key, out) for key in found.series]
    plain = [_image_text(key, path, info, out) for key, (path, info) in found.images.items()]
    products = [_product_text(key, *product, images, out) for key, product in found.products.items()]
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
    """Return the source of the grid and the section of the model, chosen from the sources."""
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
    lines = [f"# Time series from {first} to {last}.", f"[sources.{key}]", 'sensor = "series"']
    if key in found.quality:
        clear = SCL_CLEAR if "scl" in found.quality[key].lower() else "[]"
        lines.append(f"quality = {_quoted(found.quality[key], out)}")
        lines.append(f"clear = {clear}  # values of clear pixels; empty list: all values except 0")
    optical = {"red", "nir"} <= set(found.series[key])
    if optical:
        lines += ["scale = 0.0001                 # from stored integers to reflectance", 'indices = ["ndvi"]']
    lines.append(
        "# Interpolation to regular dates (every: days). Without this line, the native dates and their mask are used."
    )
    lines.append(f"fill = {{ every = 10, start = {first}, end = {last} }}")
    lines.append(f"[sources.{key}.variables]")
    lines += [f"{variable} = {_quoted(path, out)}" for variable, path in found.series[key].items()]
    return "\n".join(lines) + "\n"


def _product_text(key: str, sensor: str, more: str, images: Path, out: Path) -> str:
    lines = [f"# All products of this sensor in the folder and its subfolders, zipped or not.\n[sources.{key}]"]
    lines += [f'sensor = "{sensor}"', f"path = {_quoted(images.resolve(), out)}", *filter(None, [more])]
    if sensor in OPTICAL:
        lines.append('indices = ["ndvi"]')
    if sensor in (*OPTICAL, "sentinel1_grd"):
        lines.append(
            "# Interpolation to regular dates (every: days). Without such a line, the native dates and their mask are used."
        )
        lines.append("# fill = { every = 10, start = 2022-01-01, end = 2022-12-31 }")
    return "\n".join(lines) + "\n"


def _image_text(key: str, path: Path, info: RasterInfo, out: Path) -> str:
    names = [_band(d) if d else f"b{i}" for i, d in enumerate(info.descriptions, start=1)]
    listed = ", ".join(f'"{n}"' for n in names)
    return (
        f'# {info.grid}, {info.dtype}.\n[sources.{key}]\nsensor = "image"\npath = {_quoted(path.resolve(), out)}\n'
        f"bands = [{listed}]  # spectral indices need common names (blue, green, red, nir, ...)\n"
    )


def _band(description: str) -> str:
    """Return the common name of a band with a description such as ``B4 nir``."""
    name = re.sub(r"^b\d+[a-z]?_", "", _name(description))
    return {"swir1": "swir16", "swir2": "swir22"}.get(name, name)


def _class_text(number: int, value: int | str) -> str:
    if isinstance(value, int) and 1 <= value <= 65535:
        return f'  {{ code = {value}, name = "{value}" }},'
    escaped = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'  {{ code = {number}, name = "{escaped}", values = ["{escaped}"] }},'
