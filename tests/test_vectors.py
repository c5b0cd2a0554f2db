"""Reference polygons as people have them: layers, labels, identifiers, units, coordinate reference systems."""

import json

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from affine import Affine
from shapely.geometry import GeometryCollection, LineString, box

from bocage.errors import MappingError, SamplesError
from bocage.grid import Grid
from bocage.legend import LandClass, Legend
from bocage.mapping import Mapping
from bocage.mapping.region import read_region
from bocage.samples import Reference
from bocage.samples.labels import read_labels
from bocage.samples.rasterise import rasterise
from bocage.samples.reference import labelled_features, read_polygons
from bocage.samples.shapes import shrunk

GRID = Grid.of("EPSG:32631", Affine(10, 0, 500000, 0, -10, 4800000), (60, 60))
LEGEND = Legend((LandClass(1, "maize"), LandClass(2, "wheat"), LandClass(3, "grass")))


def fields(labels=(1, 2, 3, 1, 2, 3), crs="EPSG:32631"):
    """Squares of 40 m, 60 m apart, in a row."""
    squares = [box(500010 + 60 * i, 4799900, 500050 + 60 * i, 4799940) for i in range(len(labels))]
    return gpd.GeoDataFrame({"crop": list(labels)}, geometry=squares, crs="EPSG:32631").to_crs(crs)


def saved(tmp_path, frame, name="fields.gpkg", **more):
    frame.to_file(tmp_path / name, **more)
    return tmp_path / name


def legend_of(*values):
    return Legend(tuple(LandClass(i, f"class {i}", values=(v,)) for i, v in enumerate(values, start=1)))


def test_one_of_several_layers_must_be_named(tmp_path):
    path = saved(tmp_path, fields((3, 3, 3)), layer="survey_2019")
    saved(tmp_path, fields(), layer="survey_2022", mode="a")
    with pytest.raises(SamplesError, match="has 2 layers: survey_2019, survey_2022"):
        read_polygons(Reference(path, "crop"), GRID, LEGEND)
    with pytest.raises(SamplesError, match="no layer 'survey_2021'. Did you mean 'survey_20"):
        read_polygons(Reference(path, "crop", layer="survey_2021"), GRID, LEGEND)
    assert len(read_polygons(Reference(path, "crop", layer="survey_2022"), GRID, LEGEND)[0]) == 6
    assert [c.code for c in read_labels(path, "crop", "survey_2019").classes] == [3]


def test_a_layer_of_styles_is_no_choice(tmp_path):
    path = tmp_path / "fields.gpkg"
    styles = pd.DataFrame({"f_table_name": ["x"], "styleQML": ["<qgis/>"]})
    pyogrio.write_dataframe(styles, path, layer="layer_styles", driver="GPKG")
    saved(tmp_path, fields(), layer="fields", mode="a")
    assert len(read_polygons(Reference(path, "crop"), GRID, LEGEND)[0]) == 6


def test_polygons_without_identifier_stay_apart(tmp_path):
    frame = fields((1,) * 6).assign(pid=["a", "a", None, None, "", "b "])
    table, _ = labelled_features(Reference(saved(tmp_path, frame), "crop", polygon_id="pid"), LEGEND)
    assert table.polygon.nunique() == 5
    assert table.polygon[0] == table.polygon[1]


@pytest.mark.parametrize("stored", ["text", "number"])
def test_features_without_label_are_counted_and_told(tmp_path, stored):
    frame = fields((1, 2, 3, None, None, 1))
    if stored == "text":
        frame["crop"] = ["1", "2", "3", "", None, " "]
    table, rejections, notes = read_polygons(Reference(saved(tmp_path, frame), "crop"), GRID, LEGEND)
    missing = 3 if stored == "text" else 2
    assert len(table) == 6 - missing
    assert [(r.reason, r.polygons) for r in rejections] == [("no_label", missing)]
    assert [str(note) for note in notes] == [f"{missing} features have no label and are not used."]


def test_no_label_at_all_is_refused(tmp_path):
    frame = fields((None,) * 4).assign(crop=[None, "", None, ""])
    with pytest.raises(SamplesError, match="none of its 4 features has a label in the field 'crop'"):
        labelled_features(Reference(saved(tmp_path, frame), "crop"), LEGEND)


@pytest.mark.parametrize(
    ("labels", "legend", "classes"),
    [
        ((0, 1, 2), legend_of(0, 1, 2), [0, 1, 2]),
        ((-1, 1, 70000), legend_of(-1, 1, 70000), [0, 1, 2]),
        ((True, False, True), legend_of(1, 0), [0, 1, 0]),
        ((True, False, True), legend_of("true", "false"), [0, 1, 0]),
        (("maize ", "maize", "wheat"), legend_of("maize", "wheat"), [0, 0, 1]),
        (("c\nline", 'a "b"', "c\nline"), legend_of("c line", 'a "b"'), [0, 1, 0]),
        (("mai\u0308s", "maïs", "ble\u0301"), legend_of("maïs", "blé"), [0, 0, 1]),
    ],
)
def test_labels_find_their_class(tmp_path, labels, legend, classes):
    table, rejections = labelled_features(Reference(saved(tmp_path, fields(labels)), "crop"), legend)
    assert table.label.tolist() == classes
    assert not rejections


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        (("1", "2", "10"), [1, 2, 10]),
        ((1.0, 2.0, 10.0), [1, 2, 10]),
        (("maize ", "maize", "", None), ["maize"]),
        (("01", "2", "x"), ["01", 2, "x"]),
        ((True, False, True), [0, 1]),
    ],
)
def test_the_values_of_a_field_are_listed_as_the_legend_compares_them(tmp_path, labels, values):
    found = read_labels(saved(tmp_path, fields(labels)), "crop").classes
    assert [(c.values or (c.code,))[0] for c in found] == values


def test_init_gives_each_label_a_code_of_its_own(tmp_path, landscape, monkeypatch):
    from bocage.jobs.init import write_recipe
    from bocage.recipe import read_recipe

    (landscape / "s2/quality.tif").unlink()  # its values 4 and 9 could mean anything
    path = saved(tmp_path, fields((0, -1, 1, 70000, 2, 1)).rename(columns={"crop": 'my "crop"'}))
    write_recipe(landscape / "s2", path, 'my "crop"', tmp_path / "r.toml")
    read = read_recipe(tmp_path / "r.toml")
    assert {c.name: c.code for c in read.legend.classes} == {"-1": 3, "0": 4, "1": 1, "2": 2, "70000": 5}
    assert read.reference.label == 'my "crop"'
    odd = saved(tmp_path, fields(("2", "10", "c\nline", 'a "q"', "b\\k", "2")), "odd.gpkg", layer="one")
    saved(tmp_path, fields(), "odd.gpkg", layer="two", mode="a")
    write_recipe(landscape / "s2", odd, "crop", tmp_path / "odd.toml", "one")
    read = read_recipe(tmp_path / "odd.toml")
    assert {c.name: c.code for c in read.legend.classes} == {"2": 2, "10": 10, 'a "q"': 1, "b\\k": 3, "c line": 4}
    assert labelled_features(read.reference, read.legend)[0].label.tolist() == [0, 1, 4, 2, 3, 0]


@pytest.mark.parametrize("crs", ["EPSG:32631", "EPSG:4326", "EPSG:2154", "EPSG:3857", "EPSG:2263"])
def test_a_buffer_is_in_metres_whatever_the_units(crs):
    if crs == "EPSG:2263":  # feet, in New York
        frame = gpd.GeoDataFrame(geometry=[box(x, 2e5, x + 131.2336, 2e5 + 131.2336) for x in (1e6, 1.01e6)], crs=crs)
        back = shrunk(frame.geometry, 5).to_crs("EPSG:32618")
    else:
        back = shrunk(fields(crs=crs).geometry, 5).to_crs("EPSG:32631")
    assert back.area.to_numpy() == pytest.approx(900, rel=0.01)


def test_a_buffer_of_one_pixel_removes_the_border_pixels_of_a_map_in_degrees(tmp_path):
    grid = Grid.of("EPSG:4326", Affine(1e-4, 0, 3.0, 0, -1e-4, 43.0), (60, 60))
    square = gpd.GeoDataFrame({"crop": [1]}, geometry=[box(3.001, 42.998, 3.002, 42.999)], crs="EPSG:4326")
    path = saved(tmp_path, square)
    for buffer, pixels in ((0, 100), (4, 100), (8, 64)):  # a pixel is 8.1 m wide and 11.1 m high
        table, _, _ = read_polygons(Reference(path, "crop", buffer=buffer), grid, LEGEND)
        assert len(rasterise(table, grid, LEGEND)[0]) == pixels, buffer


def test_coordinates_that_are_no_degrees_are_refused(tmp_path):
    content = json.loads(fields(crs="EPSG:2154").to_json())
    content.pop("crs", None)
    (tmp_path / "l93.geojson").write_text(json.dumps(content))
    with pytest.raises(SamplesError, match="its CRS is EPSG:4326, in degrees, but its coordinates are no degrees"):
        read_polygons(Reference(tmp_path / "l93.geojson", "crop"), GRID, LEGEND)
    assert np.isfinite(fields().total_bounds).all()


def test_a_long_list_of_unknown_labels_is_cut(tmp_path):
    path = saved(tmp_path, fields(tuple(range(100, 139))))
    with pytest.raises(SamplesError, match="and 29 more. The legend has 1, 2, 3"):
        labelled_features(Reference(path, "crop"), LEGEND)


def test_polygons_of_a_table_need_the_crs_of_the_recipe(tmp_path):
    path = tmp_path / "fields.csv"
    fields().assign(WKT=lambda f: f.geometry.to_wkt()).drop(columns="geometry").to_csv(path, index=False)
    with pytest.raises(SamplesError, match=r"Set \[reference\] crs"):
        read_polygons(Reference(path, "crop"), GRID, LEGEND)
    table, _, _ = read_polygons(Reference(path, "crop", crs="EPSG:32631"), GRID, LEGEND)
    expected, _, _ = read_polygons(Reference(saved(tmp_path, fields()), "crop"), GRID, LEGEND)
    assert table.label.tolist() == expected.label.tolist()
    assert table.geometry.geom_equals_exact(expected.geometry, 1e-6).all()
    assert [c.code for c in read_labels(path).classes] == [1, 2, 3]


def test_the_layer_of_a_region_must_be_named(tmp_path):
    path = saved(tmp_path, fields().iloc[:1], name="region.gpkg", layer="north")
    saved(tmp_path, fields().iloc[3:4], name="region.gpkg", layer="south", mode="a")
    with pytest.raises(MappingError, match=r"\[map\] region .*has 2 layers: north, south. Name one: region_layer"):
        read_region(path, "", "", GRID)
    with pytest.raises(MappingError, match="no layer 'sud'. Did you mean 'south'"):
        read_region(path, "sud", "", GRID)
    assert read_region(path, "south", "", GRID).shape.bounds == pytest.approx((500190, 4799900, 500230, 4799940))
    with pytest.raises(ValueError, match="'region_layer' select polygons of 'region', which is not given"):
        Mapping(region_layer="south")


def test_the_polygons_of_collections_are_used(tmp_path):
    frame = fields()
    lines = [LineString(shape.exterior.coords[:2]) for shape in frame.geometry]
    mixed = [GeometryCollection([line, shape]) for line, shape in zip(lines, frame.geometry, strict=True)]
    mixed[5] = GeometryCollection(lines[5:])
    table, rejections, _ = read_polygons(Reference(saved(tmp_path, frame.set_geometry(mixed)), "crop"), GRID, LEGEND)
    assert [(r.reason, r.polygons) for r in rejections] == [("no_polygon", 1)]
    assert table.geometry.geom_equals(frame.geometry[:5]).all()
