"""Features of a vector file, in any OGR format, GeoParquet in an archive included."""

import json
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio

from bocage.vectorfile import PARQUET, address_of, geoparquet, layer_of, layers_of, options_of

LAYER = "layer of [reference], or init --layer"
"""Where a layer is named."""


def features_in(path: Path, layer: str = "") -> gpd.GeoDataFrame:
    """Return all features and fields of a layer; the geometry of a table without location is missing.

    Lists and objects in a field become text.

    Raises
    ------
    LookupError
        The file has several layers and none is named, or is an archive without a single vector file.
    """
    with warnings.catch_warnings():
        # The warnings are harmless here: fields of mixed types stay text, curves become lines, M values are dropped.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)  # two fields of one name: the first one is read
        if address_of(path).lower().endswith(PARQUET):
            return as_text(geoparquet(path))
        found = layer_of(path, layer, LAYER)
        frame = gpd.read_file(found.address, engine="pyogrio", layer=found.name, **found.options)
    frame = as_text(frame)
    if isinstance(frame, gpd.GeoDataFrame):
        return frame
    return gpd.GeoDataFrame(frame, geometry=gpd.GeoSeries([None] * len(frame), index=frame.index))


def layers_with_features(path: Path) -> dict[str, int]:
    """Return name → number of features of the layers with geometries, if there are several; those with one or none are left out.

    A layer of one feature describes the data set (INSPIRE), or is an outline.
    """
    if (address := address_of(path)).lower().endswith(PARQUET):
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", RuntimeWarning)
        names = [name for name, kind in layers_of(address) if kind is not None]
        if len(names) < 2:
            return {}
        options = {"force_feature_count": True, **options_of(address)}
        counts = {name: int(pyogrio.read_info(address, layer=name, **options)["features"]) for name in names}
    return {name: n for name, n in counts.items() if n > 1}


def as_text(frame: gpd.GeoDataFrame) -> gpd.GeoDataFrame:
    """Return features whose fields with lists or objects, which are no labels and no ids, are text."""
    for name in (c for c in frame.columns if frame[c].dtype == object):
        if frame[name].map(lambda value: isinstance(value, np.ndarray | list | tuple | dict)).any():
            frame[name] = frame[name].map(_joined)
    return frame


def _joined(value: object) -> object:
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return ", ".join(map(str, value)) if isinstance(value, np.ndarray | list | tuple) else value
