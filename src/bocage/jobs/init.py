"""``bocage init``: write a commented recipe for a folder of images and a vector file."""

import itertools
import json
import os
from pathlib import Path

from bocage.errors import BocageError, Problem, RecipeError
from bocage.legend import LONGEST
from bocage.samples import Reference
from bocage.samples.reference import label_values
from bocage.sources.inventory import SUFFIXES, Found, Series, band_names, look, plain_name
from bocage.sources.raster import RasterInfo

SCL_CLEAR = "[4, 5, 6, 7]"
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
{layer}# weight = "weight"            # if the polygons are a probability sample: field with 1 / probability of selection
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


def write_recipe(images: Path, reference: Path, label: str, out: Path, layer: str = "") -> list[str]:
    """Write a recipe to `out`, and return messages for the user, one per line.

    If `label` is empty, the field is guessed. `layer` is required if the vector file has several layers.

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
    skipped = [f"skipped {line}" for line in found.skipped]
    if not found.images and not found.series and not found.products:
        shown = f" {skipped[0]}" if skipped else ""
        raise BocageError(f"{images} contains no known product and no readable raster ({', '.join(SUFFIXES)}).{shown}")
    label, values = label_values(reference, label, layer)
    text = _recipe(found, images, out, Reference(reference.resolve(), label, layer=layer), values)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, encoding="utf-8")
    sources = ", ".join([*found.products, *found.series, *found.images])
    return [
        *skipped,
        *found.remarks,
        f"{out}: sources {sources}; label field '{label}' with {len(values)} classes. Check the recipe, then run:",
        f"  bocage run {out}",
    ]


def _quoted(path: object, out: Path) -> str:
    """Return the quoted path for the recipe: relative to the recipe, with forward slashes."""
    relative = os.path.relpath(str(path), out.resolve().parent).replace(os.sep, "/")
    return '"' + _escaped(relative) + '"'


def _recipe(found: Found, images: Path, out: Path, reference: Reference, values: list[int | str]) -> str:
    like, model = _advice(found)
    name = plain_name(out.stem if out.stem != "recipe" else out.resolve().parent.name)
    series = [_series_text(key, series, out) for key, series in found.series.items()]
    plain = [_image_text(key, Path(path), info, out) for key, (path, info) in found.images.items()]
    products = [_product_text(key, *product, images, out) for key, product in found.products.items()]
    return TEMPLATE.format(
        name=name,
        like=like,
        sources="\n".join(products + series + plain),
        reference=_quoted(reference.path, out),
        label=_escaped(reference.label),
        layer=f'layer = "{_escaped(reference.layer)}"\n' if reference.layer else "",
        classes="\n".join(_class_texts(values)),
        model=model,
    )


def _advice(found: Found) -> tuple[str, str]:
    """Return the source of the grid and the section of the model, chosen from the sources."""
    if found.products:
        if {"pan", "ms"} <= set(found.products):
            return "pan", PAN_MS.format(pan="pan", ms="ms")
        finest = ("pan", "pms", "ms", "s2", "s2_theia", "s1", "landsat")
        return next(name for name in finest if name in found.products), FOREST
    pans = [k for k, (_, info) in found.images.items() if info.count == 1]
    for pan in pans:
        grid = found.images[pan][1].grid
        for ms, (_, info) in found.images.items():
            ratio = info.grid.resolution / grid.resolution
            if info.count > 1 and abs(ratio - round(ratio)) < 0.01 and round(ratio) in (2, 4):
                return pan, PAN_MS.format(pan=pan, ms=ms)
    resolution = {k: s.resolution for k, s in found.series.items()} or {
        k: info.grid.resolution for k, (_, info) in found.images.items()
    }
    return min(resolution, key=lambda name: resolution[name]), FOREST


def _series_text(key: str, series: Series, out: Path) -> str:
    first, last = min(day for day, _ in series.places), max(day for day, _ in series.places)
    lines = [f"# Time series from {first} to {last}.", f"[sources.{key}]", 'sensor = "series"']
    if series.path:
        lines.append(f"path = {_quoted(series.path, out)}")
        lines.append(
            f"bands = [{_listed(series.bands)}]  # spectral indices need common names (blue, green, red, nir, ...)"
        )
    if series.quality:
        clear = SCL_CLEAR if "scl" in series.quality.lower() else "[]"
        lines.append(f"quality = {_quoted(series.quality, out)}")
        lines += [f"quality_band = {series.quality_band}"] if series.quality_band else []
        lines.append(f"clear = {clear}  # values of clear pixels; empty list: all values except 0")
    if {"red", "nir"} <= set(series.names):
        if not series.is_float:
            lines.append("scale = 0.0001                 # from stored integers to reflectance")
        lines.append('indices = ["ndvi"]')
    lines.append(
        "# Interpolation to regular dates (every: days). Without this line, the native dates and their mask are used."
    )
    if first < last:
        lines.append(f"fill = {{ every = 10, start = {first}, end = {last} }}")
    if series.variables:
        lines.append(f"[sources.{key}.variables]")
        lines += [f"{variable} = {_quoted(path, out)}" for variable, path in series.variables.items()]
    return "\n".join(lines) + "\n"


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _product_text(key: str, sensor: str, more: str, images: Path, out: Path) -> str:
    lines = [f"# All products of this sensor in the folder and its subfolders, in archives or not.\n[sources.{key}]"]
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
    return (
        f'# {info.grid}, {info.dtype}.\n[sources.{key}]\nsensor = "image"\npath = {_quoted(path.absolute(), out)}\n'
        f"bands = [{_listed(band_names(info, path.stem))}]  # spectral indices need common names (blue, green, red, nir, ...)\n"
    )


def _class_texts(values: list[int | str]) -> list[str]:
    """Return the line of each class: a label that can be a code is its code, the others get the lowest free codes."""
    codes = [value for value in values if isinstance(value, int) and 1 <= value <= 65535]
    free = (code for code in itertools.count(1) if code not in codes)
    lines = []
    for value in values:
        text = _escaped(str(value))
        own = f"code = {value}" if value in codes else f"code = {next(free)}"
        name = _escaped("".join(c for c in str(value) if c.isprintable())[:LONGEST])
        lines.append(f'  {{ {own}, name = "{name}"' + ("" if value in codes else f', values = ["{text}"]') + " },")
    return lines


def _escaped(text: str) -> str:
    """Return a text as the inside of a TOML string."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
