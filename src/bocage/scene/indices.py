"""Spectral indices: functions whose argument names are the common names of the bands that they need.

An argument with a default value is a constant, not a band.

Bands are reflectance, of any shape. The result has the same shape. Where a denominator is 0, the index is 0. Nodata is not
represented in indices, but in the mask.

The docstring of an index states its range, and its values are clipped to this range: reflectance is between 0 and about 1, but
atmospheric correction leaves slightly negative values over water and shadow, for which a ratio has no bound.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bocage.errors import SourceError
from bocage.shelf import Shelf

Array = NDArray[np.floating[Any]]
Index = Callable[..., Array]


def _difference(first: Array, second: Array) -> Array:
    """Return the normalised difference of two bands, −1 to 1."""
    return np.asarray(np.clip(_ratio(first - second, first + second), -1, 1))


def _ratio(above: Array, below: Array) -> Array:
    safe = np.where(np.abs(below) > 1e-9, below, 1)
    return np.asarray(np.where(np.abs(below) > 1e-9, above / safe, 0))


def ndvi(red: Array, nir: Array) -> Array:
    """Normalised difference vegetation index, −1 to 1 (Tucker 1979, doi:10.1016/0034-4257(79)90013-0)."""
    return _difference(nir, red)


def ndwi(green: Array, nir: Array) -> Array:
    """Normalised difference water index of open water, −1 to 1 (McFeeters 1996, doi:10.1080/01431169608948714)."""
    return _difference(green, nir)


def mndwi(green: Array, swir16: Array) -> Array:
    """Modified NDWI with short-wave infrared, −1 to 1 (Xu 2006, doi:10.1080/01431160600589179)."""
    return _difference(green, swir16)


def ndmi(nir: Array, swir16: Array) -> Array:
    """Normalised difference moisture index of vegetation (Gao's NDWI), −1 to 1 (Gao 1996, doi:10.1016/S0034-4257(96)00067-3)."""
    return _difference(nir, swir16)


def evi(blue: Array, red: Array, nir: Array) -> Array:
    """Enhanced vegetation index, −2 to 2, mostly 0 to 1 (Huete et al. 2002, doi:10.1016/S0034-4257(02)00096-2)."""
    return np.asarray(np.clip(2.5 * _ratio(nir - red, nir + 6 * red - 7.5 * blue + 1), -2, 2))


def savi(red: Array, nir: Array) -> Array:
    """Soil-adjusted vegetation index with L = 0.5, −1.5 to 1.5 (Huete 1988, doi:10.1016/0034-4257(88)90106-X)."""
    return np.asarray(np.clip(1.5 * _ratio(nir - red, nir + red + 0.5), -1.5, 1.5))


def msavi(red: Array, nir: Array) -> Array:
    """Modified SAVI without a soil constant (MSAVI2), −1 to 1 (Qi et al. 1994, doi:10.1016/0034-4257(94)90134-1)."""
    root = np.sqrt(np.maximum((2 * nir + 1) ** 2 - 8 * (nir - red), 0))
    return np.asarray(np.clip((2 * nir + 1 - root) / 2, -1, 1))


def ndre(rededge1: Array, nir: Array) -> Array:
    """Normalised difference red edge index, −1 to 1 (Gitelson & Merzlyak 1994, doi:10.1016/S0176-1617(11)81633-0)."""
    return _difference(nir, rededge1)


def nbr(nir: Array, swir22: Array) -> Array:
    """Normalised burn ratio, −1 to 1 (García & Caselles 1991, doi:10.1080/10106049109354290)."""
    return _difference(nir, swir22)


def brightness(green: Array, red: Array, nir: Array) -> Array:
    """Soil brightness (BI2), the root mean square of three bands, 0 to 1 (Escadafal 1989, doi:10.1016/0273-1177(89)90481-X)."""
    return np.asarray(np.clip(np.sqrt((green**2 + red**2 + nir**2) / 3), 0, 1))


def _no_index(thing: Any) -> str:
    """Return why an object is not an index: it is tried on small bands."""
    try:
        needs = bands_of(thing)
        kinds = {one.kind for one in inspect.signature(thing).parameters.values()}
        if not needs or kinds & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}:
            return "its arguments are not the names of bands"
        shape = np.shape(thing(**{band: np.full((2, 2), 0.3, np.float32) for band in needs}))
        return "" if shape == (2, 2) else f"for bands of shape (2, 2), its result has shape {shape}"
    except Exception as error:  # the function is not ours
        return f"of bands, it raises {type(error).__name__}: {error}"


INDICES: Shelf[Index] = Shelf(
    "index",
    "indices",
    {
        "ndvi": ndvi,
        "ndwi": ndwi,
        "mndwi": mndwi,
        "ndmi": ndmi,
        "evi": evi,
        "savi": savi,
        "msavi": msavi,
        "ndre": ndre,
        "nbr": nbr,
        "brightness": brightness,
    },
    _no_index,
)


def computed(name: str, bands: Mapping[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return an index of bands of one shape; it is 0 where the function gives no finite number, as for 0 / 0.

    The function gets bands that it cannot change.

    Raises
    ------
    SourceError
        The function raises an error, or its result has another shape or no real numbers.
    """
    index = INDICES.get(name)
    given = {band: bands[band].view() for band in bands_of(index)}
    for band in given.values():
        band.flags.writeable = False
    try:
        found = np.asarray(index(**given))
    except Exception as error:  # the function may not be ours
        raise SourceError(f"The index {name} raises {type(error).__name__}: {error}") from error
    shape = next(iter(given.values())).shape
    if found.shape != shape or found.dtype.kind not in "biuf":
        raise SourceError(
            f"The index {name} returns an array of shape {found.shape} and type {found.dtype} for bands of shape {shape}; "
            "return real numbers of the same shape."
        )
    layer = found.astype(np.float32)
    return layer if np.isfinite(layer).all() else np.nan_to_num(layer, posinf=0.0, neginf=0.0)


def bands_of(index: Index) -> tuple[str, ...]:
    """Return the common names of the bands that an index needs, from its signature.

    >>> bands_of(ndvi)
    ('red', 'nir')
    """
    needs = inspect.signature(index).parameters.values()
    return tuple(one.name for one in needs if one.default is inspect.Parameter.empty)
