"""What a folder of images contains: images, time series and products, by the names and the content of its files."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bocage.disk import sha256_of
from bocage.errors import BocageError, SourceError
from bocage.sources import alphaearth, landsat_c2l2, sentinel1_grd, sentinel2_l2a, sentinel2_theia, tessera
from bocage.sources.band_folders import RESOLUTION, labels_of, names_band
from bocage.sources.band_names import band_names, plain_name, variable_of
from bocage.sources.dating import (
    DATE,
    member_of,
    remark_undated,
    several_variables,
    with_dates_beside,
    with_known_dates,
    with_loose_dates,
)
from bocage.sources.declared import COMMON
from bocage.sources.folders import files_below, is_archive
from bocage.sources.found import Found, Image, Member, Series
from bocage.sources.identifiers import UNIT, with_tile
from bocage.sources.pattern import matching
from bocage.sources.products import Product, members, split, stem_of
from bocage.sources.quality_layers import (
    FEW_CODES,
    LAND_MASK,
    PROBABILITY,
    SNOW,
    codes_in,
    is_quality,
    names_quality,
    of_imagery,
    rank,
)
from bocage.sources.raster import RasterInfo, inspect
from bocage.sources.series import QUALITY
from bocage.sources.stacks import names_of
from bocage.sources.values import MOST_CODES

SUFFIXES = (".tif", ".tiff", ".vrt", ".jp2", ".img")
REFERENCE = re.compile(r"(?i)(label|truth|reference|annotation|ground_?t)")
"""File names of reference rasters, which must not be used as imagery."""
DAY_OF_YEAR = re.compile(r"(?i)(?<![a-z])(doy(?!\d{7})|day_of_(the_)?year|composite_day)")
"""File names of rasters that give the day of the year of the observation in each pixel of a composite (MODIS)."""
ANGLE = re.compile(r"(?i)(?:local_?)?(?:inc(?:idence)?_?)?angle|lia|inc_map")
"""Names of the incidence angle of radar images."""
RADAR_SIDE = re.compile(
    r"(?i)(?<![a-z])(?:ls_map|inc_map|layover\w*|(?:projected_?)?(?:local_?)?incidence_?angle\w*|(?:sin_)?lia)(?![a-z])"
)
"""File names of the layers beside radar images that are no backscatter."""
SIDE_MASK = re.compile(r"_(?:EDG|SAT|PIX|IAB|USI|DTF)_(?:R[12]|X[SX]|ALL)$")
"""File names of the masks of THEIA products that are neither clouds nor measurements: edges, saturation, pixels of an orbit."""
MAP = re.compile(
    r"(?i)(?<![a-z])(?:classif\w*|classes|predict(?:ion|ed)s?|pred|results?|land_?(?:cover|use)\w*|lulc|world_?cover|dynamic_?world"
    r"|ocs(?:ge|ol)?|occ?_?sol|oso|clc|corine|cdl|crop_?(?:type|map)\w*|eurocrops|rpg|(?:land)?cover_?map|map|carte)(?![a-z])"
)
"""File names of maps of land cover, and of registers as rasters."""
NO_IMAGERY = {
    REFERENCE: "reference data, which must not be an input of the model",
    DAY_OF_YEAR: "the day of the year of each pixel, which no sensor reads",
    RADAR_SIDE: "the incidence angle or the layover of a radar image, which is no backscatter",
    SIDE_MASK: "a mask of THEIA of edges or saturated pixels, which is neither clouds nor a measurement",
}
"""File names of rasters that are no imagery → what they indicate."""
SCORE = re.compile(r"cs|cs_cdf|cloud_?score(_?plus)?")
"""Names of the bands of Cloud Score+, from 0 to 1."""
PRODUCTS = {
    sentinel2_l2a.MARKER: ("s2", "sentinel2_l2a", ""),
    sentinel2_theia.MARKER: ("s2_theia", "sentinel2_theia", ""),
    landsat_c2l2.MARKER: ("landsat", "landsat_c2l2", ""),
    r"DIM_SPOT[67]_P_.*\.XML": ("pan", "spot67", 'image = "pan"'),
    r"DIM_SPOT[67]_MS_.*\.XML": ("ms", "spot67", 'image = "ms"'),
    r"DIM_SPOT[67]_PMS_.*\.XML": ("pms", "spot67", 'image = "pms"'),
    r"DIM_PHR1[AB]_P_.*\.XML": ("pan", "pleiades", 'image = "pan"'),
    r"DIM_PHR1[AB]_MS_.*\.XML": ("ms", "pleiades", 'image = "ms"'),
    r"DIM_PHR1[AB]_PMS_.*\.XML": ("pms", "pleiades", 'image = "pms"'),
    sentinel1_grd.NAMES[0]: ("s1", "sentinel1_grd", 'stored = "linear"'),
    sentinel1_grd.NAMES[1]: ("s1", "sentinel1_grd", 'stored = "linear"'),
}
"""Pattern of the metadata file that identifies a product (Sentinel-1: of the image) → source name, sensor, additional setting."""


def look(folder: Path, labels: Path | None = None) -> Found:
    """Return the images, series and products of a folder and its subfolders, without the file of the labels."""
    found = Found()
    files = files_below(folder, lambda run: found.skipped.append(f"{run}: a run or a map of Bocage, not imagery"))
    own, names = _find_products(folder, files, found)
    rasters, skipped = [], defaultdict[str, list[Path]](list)
    for path in (p for p in files if p.suffix.lower() in SUFFIXES and p not in own):
        if labels and path.samefile(labels):
            continue
        try:
            if reason := _no_imagery(path, names) or several_variables(path, inspect(path)):
                skipped[reason].append(path)
            elif sensor := _features_of(path, inspect(path)):
                _add_product(found, sensor, sensor, "")
            else:
                rasters.append(member_of(folder, path, inspect(path)))
        except BocageError as error:
            found.skipped.append(str(error))
    for reason, paths in skipped.items():
        found.skipped.append(f"{paths[0]}{f' and {len(paths) - 1} more' * (len(paths) > 1)}: {reason}")
    groups: dict[str, list[Member]] = defaultdict(list)
    stacks = with_dates_beside(_once(with_loose_dates(folder, rasters, found), found), files, found)
    for member in _with_tiles(folder, with_known_dates(stacks, found)):
        groups[member.pattern].append(member)
    _add_groups(folder, groups, found)
    return found


def _add_groups(folder: Path, groups: Mapping[str, list[Member]], found: Found) -> None:
    """Add the rasters of each pattern, and give the quality layers to the series and images that they belong to."""
    texts = labels_of(groups)
    remark_undated(folder, [member for group in groups.values() for member in group], found)
    firsts = [group[0] for group in groups.values() if not group[0].days]
    masks = [member for member in firsts if _is_quality(member, texts[member.pattern], found)]
    for pattern, group in sorted(groups.items(), key=lambda item: bool(PROBABILITY.search(texts[item[0]]))):
        if reason := _no_codes(group[0], texts[pattern]):
            found.skipped.append(f"{pattern}: {reason}")
        elif group[0] not in masks:
            _add_group(group, texts[pattern], found)
    _join_codes(found)
    _join_quality(found)
    for mask in sorted(masks, key=lambda mask: rank(texts[mask.pattern])):
        if not _no_codes(mask, texts[mask.pattern]):
            _join_mask(mask, found)


def _no_codes(member: Member, name: str) -> str:
    """Return why a probability can be neither imagery nor a quality layer; empty if it can, and for other rasters."""
    if SNOW.search(name):
        return "the name indicates a probability of snow, which does not show clouds"
    probability = PROBABILITY.search(name) and names_quality(name) and not of_imagery(member.info, name)
    if probability and not is_quality(member.path, member.info, name):
        return (
            "the name indicates a probability of clouds, and a quality layer needs whole numbers: store it in percent"
        )
    return ""


def _features_of(path: Path, info: RasterInfo) -> str:
    """Return the sensor of a raster of features (an embedding), by its bands and its name; empty for another raster."""
    if info.descriptions == alphaearth.NAMES:
        return "alphaearth"
    is_tile = re.match(r"grid_-?\d+\.\d+_-?\d+\.\d+_20\d\d$", path.stem)
    return "tessera" if is_tile and info.count == len(tessera.NAMES) else ""


def _once(members: list[Member], found: Found) -> list[Member]:
    """Return the rasters without those whose content another one has: copies, virtual rasters, coarser versions of a band."""
    kept: list[Member] = []
    behind = {file for m in members if m.path.suffix.lower() == ".vrt" for file in m.info.files if file != m.path}
    dated = {m.path for m in members if m.days}
    finest: dict[tuple[Any, ...], float] = {}
    for m in members:
        finest[_alike(m)] = min(m.info.grid.resolution, finest.get(_alike(m), m.info.grid.resolution))
    real: dict[tuple[Any, ...], list[Path]] = defaultdict(list)
    for m in members:
        twins = real[m.path.name, m.path.stat().st_size, m.days, m.info.grid]
        parts = {file for file in m.info.files if file != m.path} if m.path.suffix.lower() == ".vrt" else set()
        if twin := next((t for t in twins if t.samefile(m.path) or sha256_of(t) == sha256_of(m.path)), None):
            found.skipped.append(f"{m.path}: a copy of {twin}")
        elif m.path in behind and m.path not in dated:
            found.skipped.append(f"{m.path}: a part of a virtual raster (VRT) of the folder, which is used instead")
        elif parts & dated:
            found.skipped.append(f"{m.path}: a virtual raster (VRT) of files with dates, which are used instead")
        elif m.info.grid.resolution > 1.01 * finest[_alike(m)]:
            found.skipped.append(f"{m.path}: the folder has a finer version of this raster")
        else:
            kept.append(m)
        twins.append(m.path)
    return kept


def _alike(member: Member) -> tuple[Any, ...]:
    """Return what two versions of a raster at two resolutions have in common."""
    return RESOLUTION.sub("", member.pattern), member.days, member.info.count


def _is_quality(member: Member, stem: str, found: Found) -> bool:
    """Return whether a raster is a quality layer; a name that its values contradict becomes a remark."""
    if is_quality(member.path, member.info, stem):
        return True
    if names_quality(stem) and not of_imagery(member.info, stem):
        found.remarks.append(
            f"{member.pattern}: named as a quality layer, but its values are measurements: used as imagery"
        )
    return False


def _join_mask(mask: Member, found: Found) -> None:
    """Give a quality layer without a date to the images that it covers."""
    own, used = mask.info.grid, False
    for image in found.images.values():
        theirs = image.info.grid
        near = 2 * max(own.resolution, theirs.resolution)
        if own.crs == theirs.crs and np.allclose(own.bounds, theirs.bounds, rtol=0, atol=near) and not image.quality:
            image.quality, image.quality_band, used = mask.pattern, int(mask.info.count > 1), True
    if not used:
        found.remarks.append(f"{mask.path}: this quality layer is not used, because {_why_unused(mask, found)}")


def _why_unused(mask: Member, found: Found) -> str:
    """Return why a quality layer without a date has no image."""
    own = mask.info.grid
    if not found.images:
        return "its name has no date, and the folder has no image without a date"
    grids = [image.info.grid for image in found.images.values()]
    near = [2 * max(own.resolution, grid.resolution) for grid in grids]
    if any(
        own.crs == grid.crs and np.allclose(own.bounds, grid.bounds, rtol=0, atol=most)
        for grid, most in zip(grids, near, strict=True)
    ):
        return "the images of its extent have another one"
    return "no image has its extent"


def _no_imagery(path: Path, names: set[str]) -> str:
    """Return why a raster must not become a source; empty if it may."""
    if path.stem in names:
        return "a product in the folder has a file of this name"
    for pattern, what in NO_IMAGERY.items():
        if pattern.search(path.stem):
            return f"the file name indicates {what}"
    if inspect(path).paletted and not names_quality(path.stem):
        return "it has a colour table, as a map of classes has, and a map must not be an input of the model"
    return _why_a_map(path)


def _why_a_map(path: Path) -> str:
    """Return why a raster is a map of classes, by its name and its values; empty if it is none."""
    info, named = inspect(path), MAP.search(path.stem) or LAND_MASK.search(path.stem)
    if not named or info.count > 1 or np.dtype(info.dtype).kind not in "iu" or (found := codes_in(path)) > MOST_CODES:
        return ""
    return (
        f"its name ('{named[0]}') and its {found} values are those of a map of classes, and an earlier map must not be an input "
        "of the model; to use it as history, write a source with the sensor 'history'"
    )


def _find_products(folder: Path, files: list[Path], found: Found) -> tuple[set[Path], set[str]]:
    """Add the products of a folder, archives included; return the files that belong to them, and their names without suffix."""
    own: set[Path] = set()
    names: set[str] = set()
    for where, inside in _places(folder, files, found):
        for pattern, (name, sensor, more) in PRODUCTS.items():
            for product in split(where, inside, pattern):
                _add_product(found, name, sensor, more)
                kept = [product.metadata] if sensor == "sentinel1_grd" else _own_files(product)
                own |= {product.files[n] for n in kept}
                names |= {Path(n).stem for n in kept if Path(n).suffix.lower() in SUFFIXES}
    return own, names


def _places(folder: Path, files: list[Path], found: Found) -> Iterator[tuple[Path, dict[str, Path]]]:
    """Yield each archive, then the folder, with its files by relative path. A damaged archive is skipped."""
    for path in filter(is_archive, files):
        try:
            yield path, members(path)
        except SourceError as error:
            found.skipped.append(str(error))
    yield folder, {path.relative_to(folder).as_posix(): path for path in files if not is_archive(path)}


def _add_product(found: Found, name: str, sensor: str, more: str) -> None:
    if (sensor, more) not in found.products.values():
        found.products[found.unused(name)] = (sensor, more)


def _own_files(product: Product) -> list[str]:
    """Return the files of a product: those in its subfolders, and those whose names begin with the name of the product.

    Other files may lie beside them where the folder of a product is also that of the user's own images.
    """
    stem = stem_of(product.metadata) or re.sub(r"^DIM_(.*)\.XML$", r"IMG_\1", product.metadata)
    inside = ("GRANULE/", "DATASTRIP/", "MASKS/", "DATA/", "AUX_DATA/", "LIBRARY/")
    return [name for name in product.files if name.startswith((*inside, stem))]


def _with_tiles(folder: Path, members: list[Member]) -> list[Member]:
    """Return the rasters with ``{tile}`` in their patterns, and ``*`` for one satellite of several, where this joins patterns."""
    tiled, united = [], []
    for member in members:
        relative = Path(member.pattern).relative_to(folder).as_posix()
        relative, tile = with_tile(relative)
        tiled.append(replace(member, pattern=str(folder / relative), tile=tile))
    for member in _joined(members, tiled):
        relative = UNIT.sub("*", Path(member.pattern).relative_to(folder).as_posix())
        united.append(replace(member, pattern=str(folder / relative)) if member.days else member)
    return _joined(_joined(members, tiled), united)


def _joined(old: list[Member], new: list[Member]) -> list[Member]:
    """Return the new form of the rasters whose new pattern joins several of the old ones, and the old form of the others."""
    patterns = defaultdict(set)
    for before, after in zip(old, new, strict=True):
        patterns[after.pattern].add((before.pattern, after.tile))
    return [after if len(patterns[after.pattern]) > 1 else before for before, after in zip(old, new, strict=True)]


def _add_group(group: list[Member], label: str, found: Found) -> None:
    """Add the rasters of one pattern as a series, a mosaic or an image; `label` names its band if it has one."""
    pattern = group[0].pattern
    tiles = sorted({member.tile for member in group})
    if group[0].tile and len({day for member in group for day in member.days[:1]}) < len(group):
        found.remarks.append(
            f"{pattern}: the tiles {', '.join(tiles[:4])}{' …' * (len(tiles) > 4)} are merged ({{tile}})."
        )
    if group[0].days:
        _add_variable(group, label, found)
        return
    path = group[0].path
    stem = plain_name(path.stem if not group[0].tile else path.stem.removesuffix(group[0].tile))
    if stem in found.images:
        stem = plain_name(f"{path.parent.name} {path.stem}")
    bands, quality_band = _without_quality(pattern, band_names(group[0].info, label), found)
    found.images[found.unused(stem)] = Image(
        pattern, group[0].info, pattern if quality_band else "", quality_band, bands
    )


def _add_variable(group: list[Member], stem: str, found: Found) -> None:
    pattern = group[0].pattern
    places = frozenset((day, member.tile) for member in group for day in member.days)
    first = group[0]
    if first.variables:
        _add_stack(first, places, stem, found)
        return
    quality = _is_quality(first, stem, found)
    several = "{date}" in pattern and first.info.count > 1 and not quality
    if counts := {m.info.count for m in group if "{date}" in pattern} - {first.info.count}:
        found.skipped.append(
            f"{pattern}: its files have different numbers of bands ({first.info.count}, {', '.join(map(str, sorted(counts)))})"
        )
        return
    variable = "" if several else variable_of(stem)
    series = _series_of(first, places, variable, quality, found)
    series.resolution = min(first.info.grid.resolution, series.resolution or first.info.grid.resolution)
    if quality:
        series.quality, series.quality_band = pattern, int("{date}" in pattern and first.info.count > 1)
        return
    if several:
        names = band_names(first.info, stem)
        series.path, (series.bands, series.quality_band) = pattern, _without_quality(pattern, names, found)
        series.quality = pattern if series.quality_band else ""
    else:
        series.variables[variable] = pattern


def _add_stack(first: Member, places: frozenset[tuple[str, str]], stem: str, found: Found) -> None:
    """Add a raster whose bands are several variables on several dates as a series."""
    names = names_of(first.info, first.variables, stem)
    kept, quality_band = _without_quality(first.pattern, tuple(names.values()), found)
    bands = dict(zip(names, kept, strict=True))
    series = _series_of(first, places, "", False, found)
    if quality_band:
        variable = list(names)[quality_band - 1]
        bands[variable], series.quality, series.layer = QUALITY, first.pattern, variable
    series.path, series.bands = first.pattern, tuple(bands[variable] for variable in first.variables)
    series.resolution = first.info.grid.resolution


def _without_quality(pattern: str, names: tuple[str, ...], found: Found) -> tuple[tuple[str, ...], int]:
    """Return the names of the bands of a file, "-" for its quality layers, and the number of the layer to use, from 1, or 0.

    Of several quality layers, the scene classification is used, or else the first one that is no probability. The incidence
    angle of a radar image is left out too.
    """
    layers = [i for i, name in enumerate(names) if names_quality(name)]
    if not layers or len(layers) == len(names):
        return _without_others(pattern, names, found), 0
    clouds = [i for i in layers if not SNOW.search(names[i])]
    used = min(clouds, key=lambda i: (rank(names[i]), i), default=-1)
    if others := [names[i] for i in layers if i != used]:
        by = f"'{names[used]}' is used, and not {', '.join(map(repr, others))}" if clouds else "none shows clouds"
        found.remarks.append(f"{pattern}: of its quality layers, {by}")
    return tuple("-" if i in layers else name for i, name in enumerate(names)), used + 1


def _without_others(pattern: str, names: tuple[str, ...], found: Found) -> tuple[str, ...]:
    """Return the names of the bands of a file, "-" for an alpha band, an angle beside backscatter, a score of clear sky."""
    radar = {"vv", "vh", "hh", "hv"} & set(names)
    angles = [name for name in names if radar and ANGLE.fullmatch(name)]
    scores = [name for name in names if len(names) > 1 and SCORE.fullmatch(name)]
    if angles:
        found.remarks.append(f"{pattern}: its band '{angles[0]}' is the incidence angle, not backscatter: left out")
    if scores:
        found.remarks.append(
            f"{pattern}: its band '{scores[0]}' is a score of clear sky with fractions, which no quality layer has: no cloud is "
            "masked. Mask clouds before the export, or export the score in percent as whole numbers, and list the clear ones in "
            "'clear'"
        )
    return tuple("-" if name in {*angles, *scores, "alpha"} else name for name in names)


def _join_codes(found: Found) -> None:
    """Make a variable of codes the quality layer of its series: 8 bits and few values, beside bands of more bits."""
    for series in found.series.values():
        if series.quality or len(series.variables) < 2:
            continue
        files = {name: first_file(pattern) for name, pattern in series.variables.items()}
        small = [name for name in files if name not in COMMON and inspect(files[name]).dtype in ("uint8", "int8")]
        if len(small) == 1 and len(files) > 1 and codes_in(files[small[0]]) <= FEW_CODES:
            large = {inspect(path).dtype for name, path in files.items() if name != small[0]}
            if not large & {"uint8", "int8"}:
                series.quality = series.variables.pop(small[0])


def first_file(pattern: str) -> Path:
    """Return the first file of a pattern."""
    return matching(Path(pattern))[0].path if "{" in pattern or "*" in pattern else Path(pattern)


def _series_of(first: Member, places: frozenset[tuple[str, str]], variable: str, quality: bool, found: Found) -> Series:
    """Return the series that a variable belongs to, which may be new.

    Its name is that of the sensor in the file or folder name, else that of the folder. Variables of one name with the same days
    and tiles belong to one series. A variable that the series has already begins another one.
    """
    folders = [
        DATE.sub("", part) for part in Path(first.pattern.replace("{tile}", "").replace("{date}", "")).parent.parts
    ]
    folder = next((p for p in reversed(folders) if plain_name(p) != "source" and not names_band(p)), "series")
    match = re.match(r"(?i)(s1|s2|l8|l9)(?![0-9])", first.path.stem) or re.match(r"(?i)(s1|s2|l8|l9)(?![0-9])", folder)
    name = match[0].lower() if match else plain_name(folder)
    same = [key for key in found.series if re.fullmatch(rf"{re.escape(name)}(_\d+)?", key)]
    for key in same:
        series = found.series[key]
        free = (
            not series.quality if quality else bool(variable) and not series.path and variable not in series.variables
        )
        if series.places == places and series.dates == first.dates and free:
            return series
    if same and all(found.series[key].places != places for key in same):
        days = sorted(day for day, _ in places ^ found.series[same[0]].places)
        found.remarks.append(
            f"{first.pattern}: its dates differ from those of '{same[0]}' ({days[0]}): another series."
        )
    new = found.series[found.unused(name)] = Series(places, first.dates)
    return new


def _join_quality(found: Found) -> None:
    """Give the quality layers that came before or without their variables to the series of the same days and tiles."""
    for key, series in list(found.series.items()):
        if series.names:
            continue
        same = [s for s in found.series.values() if s.places == series.places and s.names]
        others = [s for s in same if not s.quality]
        if others:
            others[0].quality, others[0].quality_band = series.quality, series.quality_band
        elif same:
            found.remarks.append(
                f"{series.quality}: not used, because '{Path(same[0].quality).name}' is the quality layer"
            )
        else:
            found.remarks.append(
                f"{series.quality}: this quality layer is not used, because no series has the same dates. Complete its dates"
            )
        del found.series[key]
