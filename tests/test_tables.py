"""Tables of time series: long and wide, with validity; folds by a field, and random folds."""

import datetime as dt
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from affine import Affine
from shapely.geometry import Point

from bocage.cli import main
from bocage.errors import SamplesError, SourceError
from bocage.evaluation import Predictions
from bocage.grid import Grid, Window
from bocage.jobs.check import check
from bocage.jobs.evaluate import evaluate_model
from bocage.jobs.run import run
from bocage.legend import LandClass, Legend
from bocage.progress import QUIET, Heard
from bocage.recipe import read_recipe
from bocage.run import open_run
from bocage.samples import Reference
from bocage.samples.points import label_rows
from bocage.samples.reference import labelled_features, read_polygons
from bocage.samples.split import Split, Units, deal
from bocage.samples.split import draw as draw_split
from bocage.sources import open_source, rows, table

RECIPE = """
name = "tab"
[grid]
like = "s2"
[sources.s2]
sensor = "table"
path = "series.parquet"
id = "sample"
date = "when"
bands = {{ red = "B04", nir = "B08" }}
valid = "ok"
scale = 0.0001
nodata = 0
indices = ["ndvi"]
fill = {{ every = 20, start = 2021-01-01, end = 2021-06-30 }}
[legend]
classes = [{{ code = 1, name = "maize" }}, {{ code = 2, name = "meadow" }}]
[reference]
path = "points.gpkg"
label = "crop"
sample_id = "sample"
[split]
{split}
[model]
{model}
[training]
epochs = 3
"""
FOREST = 'name = "random_forest"\ntrees = 10'


@pytest.fixture
def long() -> pd.DataFrame:
    """Return a long table of 24 samples and 6 dates, in random order."""
    generator = np.random.default_rng(4)
    days = pd.to_datetime([f"2021-{m:02d}-11" for m in range(1, 7)])
    rows = [
        {
            "sample": f"p{i:02d}",
            "when": day,
            "B04": 500 + 10 * i + k,
            "B08": (3000 if i % 2 else 900) + 100 * k + generator.integers(0, 50),
            "ok": not (i == 3 and k == 2),
        }
        for i in range(24)
        for k, day in enumerate(days)
        if not (i == 5 and k == 0)
    ]
    return pd.DataFrame(rows).sample(frac=1, random_state=1)


@pytest.fixture
def folder(tmp_path: Path, long: pd.DataFrame) -> Path:
    long.to_parquet(tmp_path / "series.parquet")
    points = gpd.GeoDataFrame(
        {
            "sample": [f"p{i:02d}" for i in range(25)],
            "crop": [1 + i % 2 for i in range(25)],
            "region": [f"r{i // 8}" for i in range(25)],
        },
        geometry=[Point(i, 2 * i) for i in range(25)],
        crs="EPSG:4326",
    )
    points.to_file(tmp_path / "points.gpkg", engine="pyogrio")
    return tmp_path


def write(folder: Path, split: str = 'fold = "region"', model: str = FOREST) -> Path:
    (folder / "recipe.toml").write_text(RECIPE.format(split=split, model=model))
    return folder / "recipe.toml"


def settings(path: Path, **more) -> table.Settings:
    given = {"path": path, "id": "sample", "date": "when", "bands": {"red": "B04", "nir": "B08"}, "scale": 0.0001}
    return table.Settings(**{**given, **more})


def test_a_long_table_is_a_raster_of_one_column(folder: Path, long: pd.DataFrame) -> None:
    source = open_source("s2", table, settings(folder / "series.parquet", valid="ok"))
    assert source.ids[:3] == ("p00", "p01", "p02")
    assert source.grid.shape == (24, 1)
    values, valid = source.read(source.grid, source.grid.window)
    assert values.shape == (6, 2, 24, 1)
    one = long[(long["sample"] == "p07") & (long.when == "2021-03-11")].iloc[0]
    assert np.allclose(values[2, :, 7, 0], [one.B04 / 10000, one.B08 / 10000])
    assert not valid[2, 3, 0], "the validity column is false"
    assert not valid[0, 5, 0], "the table has no row"
    assert valid.sum() == 24 * 6 - 2
    around, seen = source.read(source.grid, Window(-1, -1, 4, 3))
    assert np.array_equal(around[:, :, 1:, 1:2], values[:, :, :3])
    assert not seen[:, 0].any()


def test_a_column_of_validity_has_numbers_or_missing_values(tmp_path: Path, folder: Path, long: pd.DataFrame) -> None:
    expected = open_source("s2", table, settings(folder / "series.parquet", valid="ok"))
    empty = long.assign(ok=long.ok.astype("boolean").where(long.ok))  # missing instead of false
    empty.to_parquet(tmp_path / "empty.parquet")
    found = open_source("s2", table, settings(tmp_path / "empty.parquet", valid="ok"))
    assert np.array_equal(
        found.read(found.grid, found.grid.window)[1], expected.read(expected.grid, expected.grid.window)[1]
    )
    long.assign(ok=np.where(long.ok, "clear", "cloud")).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(SourceError, match=r"text.parquet, column ok: .*number above 0 or true"):
        open_source("s2", table, settings(tmp_path / "text.parquet", valid="ok"))


def test_a_fill_value_beyond_32_bits_is_no_data(tmp_path: Path, long: pd.DataFrame) -> None:
    """R and GDAL write −1.8e308 for missing values; a warning of numpy about it says nothing to the user."""
    missing = long["sample"] == "p07"
    long.assign(B04=long.B04.where(~missing, np.finfo(float).min)).to_parquet(tmp_path / "series.parquet")
    source = open_source("s2", table, settings(tmp_path / "series.parquet"))
    valid = source.read(source.grid, source.grid.window)[1]
    assert not valid[:, 7].any()
    assert valid[:, 8].all()


def test_a_wide_table_and_a_csv_file_give_the_same_values(folder: Path, long: pd.DataFrame) -> None:
    expected = open_source("s2", table, settings(folder / "series.parquet", valid="ok"))
    long.to_csv(folder / "series.csv", index=False)
    text = open_source("s2", table, settings(folder / "series.csv", valid="ok"))
    wide = long.assign(ok=long.ok.astype(float)).pivot(index="sample", columns="when", values=["B04", "B08", "ok"])
    wide.columns = [f"{b}_{d:%Y%m%d}" for b, d in wide.columns]
    wide.reset_index().to_parquet(folder / "wide.parquet")
    flat = open_source("s2", table, settings(folder / "wide.parquet", date="", wide="{band}_{date}", valid="ok"))
    for other in (text, flat):
        assert other.times == expected.times
        for a, b in zip(
            other.read(other.grid, other.grid.window), expected.read(expected.grid, expected.grid.window), strict=True
        ):
            assert np.array_equal(a, b)


def test_amplitude_becomes_db(folder: Path, long: pd.DataFrame) -> None:
    source = open_source("s1", table, settings(folder / "series.parquet", decibel="amplitude", scale=10 ** (-83 / 20)))
    values, _ = source.read(source.grid, Window(7, 0, 1, 1))
    one = long[(long["sample"] == "p07") & (long.when == "2021-01-11")].iloc[0]
    assert values[0, 0, 0, 0] == pytest.approx(20 * np.log10(one.B04) - 83, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("model", [FOREST, 'name = "gru"\nunits = 6'])
def test_a_table_trains_and_evaluates_by_folds_without_a_map(folder: Path, model: str) -> None:
    done = run(read_recipe(write(folder, model=model)), folder / "out")
    assert done.samples.draws == 3
    assert not (folder / "out/map").exists()
    page = (folder / "out/report.html").read_text()
    assert "Cross-validation with 3 folds (by the field &#39;region&#39;)" in page
    assert "24 time series of a table" in page
    assert "no series in the table" in page, "the 25th point is told"
    for k in range(3):
        draw = done.samples.draw(k)
        assert {done.samples.folds[i] for i in done.samples.fold[draw.test]} == {f"r{k}"}
        assert f"r{k}" not in {
            done.samples.folds[i] for i in (*done.samples.fold[draw.train], *done.samples.fold[draw.validation])
        }


def test_files_of_samples_have_the_ids_of_the_table(folder: Path, long: pd.DataFrame) -> None:
    """Rows are in the order of the ids as text (1, 10, 11, 2), which no user's table has: results are joined by the id."""
    number = long["sample"].str[1:].astype(int) + 1
    long.assign(sample=number).to_parquet(folder / "series.parquet")
    points = gpd.read_file(folder / "points.gpkg").assign(sample=np.arange(1, 26))
    points.to_file(folder / "points.gpkg", engine="pyogrio")
    recipe = read_recipe(write(folder))
    run(recipe, folder / "out", ("train",)).evaluate()
    evaluate_model(recipe, folder / "out", folder / "again")
    crop = dict(zip(points["sample"].astype(str), points.crop, strict=True))
    samples = pd.read_parquet(folder / "out/samples.parquet")
    assert samples.code.tolist() == [crop[name] for name in samples["sample"]]
    rank = sorted(map(str, range(1, 25)))
    tests = [folder / f"out/splits/{k}/test.parquet" for k in range(3)]
    for path, n in zip([*tests, folder / "again/test.parquet"], (8, 8, 8, 24), strict=True):
        tested = pd.read_parquet(path)
        assert (tested.label + 1).tolist() == [crop[name] for name in tested["sample"]]
        assert tested["sample"].tolist() == [rank[row] for row in tested.row]
        assert len(Predictions.from_parquet(path)) == n
        tested.drop(columns="sample").to_parquet(path)  # as files of earlier versions
        assert len(Predictions.from_parquet(path)) == n


@pytest.mark.parametrize(
    ("spoil", "model", "said"),
    [
        (lambda t, lost: t.assign(B08=t.B08.where(~lost)), FOREST, "these bands are empty in all of them: nir"),
        (lambda t, lost: t.assign(ok=t.ok & ~lost), FOREST, "no valid date with a value in every band"),
        (lambda t, lost: t.assign(B04=t.B04.where(~lost, 0), B08=t.B08.where(~lost)), FOREST, "have no value in the table"),
        (lambda t, lost: t.assign(B08=t.B08.where(~lost)), 'name = "patchwork"', "are empty in all of them: nir"),
    ],
)  # fmt: skip
def test_samples_without_a_valid_date_are_reported(
    folder: Path, long: pd.DataFrame, spoil, model: str, said: str
) -> None:
    lost = long["sample"].isin(["p02", "p04", "p07"])
    spoil(long, lost).to_parquet(folder / "series.parquet")
    path = write(folder, model=model)
    [found] = [one for one in check(path).findings if one.what.code.startswith("masked_")]
    assert (found.severity, found.where) == ("warning", "s2")
    assert str(found.what).startswith("3 of 24 labelled samples have no")
    assert "(maize 2, meadow 1)" in str(found.what)
    assert said in str(found.what)
    told = [str(note) for note in open_run(read_recipe(path), folder / "out").samples.notes]
    assert f"Source 's2': {found.what}. {found.remedy}" in told
    assert "1 feature has no series in the table and is not used (maize 1)." in told


def test_samples_that_a_model_cannot_classify_are_reported(folder: Path, long: pd.DataFrame) -> None:
    recipe, heard = read_recipe(write(folder)), Heard(QUIET, "")
    run(recipe, folder / "out", ("train",))
    long.assign(B08=long.B08.where(long["sample"] != "p02")).to_parquet(folder / "series.parquet")
    evaluate_model(recipe, folder / "out", folder / "again", heard)
    assert any("1 of 24 labelled samples has no date with a value in every band" in str(one) for one in heard.notes)
    assert len(pd.read_parquet(folder / "again/test.parquet")) == 23


def test_check_counts_samples_with_a_valid_date_only(folder: Path, long: pd.DataFrame) -> None:
    meadow = long["sample"].str[1:].astype(int) % 2 == 1
    long.assign(B08=long.B08.where(~meadow)).to_parquet(folder / "series.parquet")
    errors = [one for one in check(write(folder, split="draws = 1")).findings if one.severity == "error"]
    assert len(errors) == 1, "one class remains"


def test_folds_are_dealt_by_polygon_and_by_class() -> None:
    label, polygon = np.repeat([0, 0, 0, 0, 1, 1, 1, 1, 1], 3), np.repeat(np.arange(9), 3)
    split = Split(folds=3)
    fold = deal(label, polygon, split)
    assert all(len(set(fold[polygon == p])) == 1 for p in range(9))
    for c in (0, 1):
        counts = [len(np.unique(polygon[(fold == k) & (label == c)])) for k in range(3)]
        assert max(counts) - min(counts) <= 1
    parts = draw_split(Units(label, polygon, polygon, None, fold), split, 1)
    assert set(parts.test) == set(np.flatnonzero(fold == 1))
    assert not set(parts.train) & set(parts.validation)


def test_polygons_of_imagery_have_folds_too(recipe, landscape: Path) -> None:
    frame = gpd.read_file(landscape / "reference.gpkg")
    frame["block"] = ["north" if i % 5 < 2 else "south" for i in range(len(frame))]
    frame.to_file(landscape / "reference.gpkg", engine="pyogrio")
    path = recipe(**{"draws = 2": 'fold = "block"'})
    opened = open_run(read_recipe(path), landscape / "out")
    assert opened.samples.folds == ("north", "south")
    assert opened.samples.draws == 2


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t.rename(columns={"B04": "red"}), "no column 'B04'. Did you mean 'B08'"),
        (lambda t: pd.concat([t, t.iloc[:1].assign(B04=1)]), r"has two rows for 2021-0.*\(1 such rows\)"),
        (lambda t: t.assign(B04="high"), "column B04.*Bands must be numbers"),
        (lambda t: t.assign(when="soon"), "Write dates as"),
    ],
)  # fmt: skip
def test_invalid_tables_are_refused(folder: Path, long: pd.DataFrame, spoil, message: str) -> None:
    spoil(long).to_parquet(folder / "series.parquet")
    with pytest.raises(SourceError, match=message):
        open_source("s2", table, settings(folder / "series.parquet"))


def test_a_damaged_table_is_refused(folder: Path) -> None:
    (folder / "series.parquet").write_bytes((folder / "series.parquet").read_bytes()[:200])
    with pytest.raises(SourceError, match="cannot be read as a table"):
        open_source("s2", table, settings(folder / "series.parquet"))


def test_what_is_missing_of_points_is_named(folder: Path, capsys) -> None:
    path = write(folder)
    path.write_text(path.read_text().replace('sample_id = "sample"', ""))
    with pytest.raises(SamplesError, match="Set .reference. sample_id"):
        open_run(read_recipe(path), folder / "o1")
    path = write(folder, split='fold = "regoin"')
    with pytest.raises(SamplesError, match="no field 'regoin'. Did you mean 'region'"):
        open_run(read_recipe(path), folder / "o2")
    frame = gpd.read_file(folder / "points.gpkg").assign(sample="x")
    frame["sample"] = [f"q{i}" for i in range(25)]
    frame.to_file(folder / "points.gpkg", engine="pyogrio")
    with pytest.raises(SamplesError, match=r"first value of the field: q0; first id of the table: p00"):
        open_run(read_recipe(write(folder)), folder / "o3")
    assert main(["map", str(write(folder)), "--out", str(folder / "o4")]) == 1


def test_a_polygon_in_two_folds_is_refused(folder: Path) -> None:
    frame = gpd.read_file(folder / "points.gpkg").assign(farm=lambda f: np.arange(len(f)) // 5)
    frame.to_file(folder / "points.gpkg", engine="pyogrio")
    path = write(folder)
    path.write_text(path.read_text().replace('sample_id = "sample"', 'sample_id = "sample"\npolygon_id = "farm"'))
    with pytest.raises(SamplesError, match="have two folds"):
        open_run(read_recipe(path), folder / "out")


def test_real_tables(data: Path, tmp_path: Path) -> None:
    """Canada by its field of folds, Rondônia by dealt ones; the forest is far above the largest class's share."""
    for name, folds, least in (("canada", 3, 0.5), ("rondonia", 5, 0.75)):
        path = Path(__file__).parents[1] / f"examples/{name}.toml"
        recipe = read_recipe(path, ["model.trees=40"])  # enough for an accuracy far above that share
        score = run(recipe, tmp_path / name, ("train",)).evaluate()
        assert len(score.matrices) == folds
        assert score.values("overall_accuracy").mean() > least


def numbered(folder: Path, **more):
    frame = pd.DataFrame({"sample": ["p1", "p2"]} | {f"NDVI_{n}": [0.1 * n, 0.2 * n] for n in (1, 2, 10)})
    frame.to_csv(folder / "wide.csv", index=False)
    chosen = table.Settings(folder / "wide.csv", "sample", {"ndvi": "NDVI"}, wide="{band}_{date}", **more)
    return open_source("s2", table, chosen)


def test_numbered_columns_take_their_dates_from_start_and_step(tmp_path: Path) -> None:
    source = numbered(tmp_path, start=dt.date(2018, 1, 1), every=16)
    assert [f"{time:%Y-%m-%d}" for time in source.times] == ["2018-01-01", "2018-01-17", "2018-05-25"]
    values, valid = source.read(source.grid, source.grid.window)
    assert values[:, 0, :, 0] == pytest.approx(np.array([[0.1, 0.2], [0.2, 0.4], [1.0, 2.0]]))
    assert valid.all()


def test_numbered_columns_without_dates_say_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="'1' in a column name is a number, not a date.*start = 2024-01-01, every = 10"
    ):
        numbered(tmp_path)
    with pytest.raises(ValueError, match="give both, with 'wide'"):
        numbered(tmp_path, every=16)


FORMS = {
    "lon and lat": ({"lon": [2.0, 2.001, 2.002], "lat": [48.0, 48.001, 48.002]}, {}),
    "named": ({"E": [2.0, 2.001, 2.002], "N": [48.0, 48.001, 48.002]}, {"geometry": ("E", "N"), "crs": "EPSG:4326"}),
    "WKT": ({"WKT": ["POINT (2 48)", "POINT (2.001 48.001)", "POINT (2.002 48.002)"]}, {"crs": "EPSG:4326"}),
    "Earth Engine": (
        {".geo": [f'{{"type":"Point","coordinates":[{2 + k / 1000},{48 + k / 1000}]}}' for k in range(3)]},
        {},
    ),
}


@pytest.mark.parametrize("form", list(FORMS))
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_points_may_be_columns_of_a_table(tmp_path: Path, form: str, ending: str) -> None:
    columns, more = FORMS[form]
    frame = pd.DataFrame({"id": ["01", "02", "03"], "crop": [1, 2, 1], "NDVI_1": [0.1, 0.2, 0.3]} | columns)
    path = tmp_path / f"points.{ending}"
    frame.to_csv(path, index=False, sep=";") if ending == "csv" else frame.to_parquet(path)
    reference = Reference(path, "crop", sample_id="id", **more)
    legend = Legend((LandClass(1, "maize"), LandClass(2, "meadow")))
    found = label_rows(reference, ("01", "02", "03"), legend, Split(train=0.5))
    assert found.pixels.label.tolist() == [0, 1, 0]
    assert np.diff(found.place[:, 0]) == pytest.approx([111, 111], abs=1), "metres north"
    assert np.diff(found.place[:, 1]) == pytest.approx([74, 74], abs=1), "metres east"


def test_points_without_coordinates_label_series_and_no_image(tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("id,crop\n01,1\n02,2\n03,\n")
    legend = Legend((LandClass(1, "maize"), LandClass(2, "meadow")))
    found = label_rows(Reference(path, "crop", sample_id="id"), ("01", "02"), legend, Split(train=0.5))
    assert found.pixels.label.tolist() == [0, 1]
    assert found.place is None
    assert [(r.reason, r.polygons) for r in found.rejections] == [("no_label", 1)]
    grid = Grid.of("EPSG:32631", Affine(10, 0, 500000, 0, -10, 4800000), (60, 60))
    with pytest.raises(SamplesError, match=r"name the columns of the coordinates of a table in \[reference\] geometry"):
        read_polygons(Reference(path, "crop"), grid, legend)


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("id,crop,WKT\n1,1,POINT (2 48)\n2,1,here\n", {}, r"row 2: 'here' in the column WKT is no geometry"),
        ('id,crop,x,y\n1,1,2,48\n2,1,"2,5",48\n', {}, r"row 2: '2,5' in the column x is no coordinate"),
        ("id,crop,lon,lat\n1,1,500000,4800000\n", {}, "in degrees, but its coordinates are no degrees"),
        ("id,crop,lon,lat\n1,1,2,48\n", {"crs": "EPSG:2154"}, "its CRS is EPSG:4326, but .reference. crs is EPSG:2154"),
        ("id,crop,E,N\n1,1,2,48\n", {"geometry": ("E", "NN")}, "no column 'NN'"),
        ("id,crop\n", {}, "has no row"),
    ],
)
def test_coordinates_that_are_none_are_refused(tmp_path: Path, text: str, more, said: str) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(SamplesError, match=said):
        labelled_features(Reference(path, "crop", sample_id="id", **more), Legend((LandClass(1, "maize"),)))


def test_a_reference_has_a_crs_that_exists() -> None:
    with pytest.raises(ValueError, match="'crs' must be a coordinate reference system such as EPSG:2154; found 'L93'"):
        Reference("points.csv", "crop", crs="L93")


def two_tables(folder: Path, long: pd.DataFrame, model: str) -> Path:
    """Write a recipe with the tables s2, without p02, and s1, without p03 and p04; return its path."""
    long[long["sample"] != "p02"].to_parquet(folder / "series.parquet")
    radar = long[~long["sample"].isin(["p03", "p04"])].assign(VV=long.B04 / -100)
    radar[["sample", "when", "VV"]].to_parquet(folder / "radar.parquet")
    path = write(folder, model=model)
    radar = 'sensor = "table"\npath = "radar.parquet"\nid = "sample"\ndate = "when"\nbands = { vv = "VV" }\n'
    fill = "fill = { every = 20, start = 2021-01-01, end = 2021-06-30 }\n"
    path.write_text(path.read_text().replace("[legend]", f"[sources.s1]\n{radar}{fill}[legend]"))
    return path


def test_tables_with_different_samples_have_the_rows_of_all(folder: Path, long: pd.DataFrame) -> None:
    path = two_tables(folder, long, 'name = "patchwork"')
    opened = open_run(read_recipe(path), folder / "out")
    assert opened.scene.ids == tuple(f"p{i:02d}" for i in range(24))
    assert len(opened.samples.row) == 24, "a sample of one table is enough for a network that tolerates missing sources"
    whole = open_source("s2", table, settings(folder / "series.parquet", valid="ok"))
    source = opened.scene.cubes["s2"].source
    assert np.array_equal(np.delete(source.stored, 2, 0), whole.stored, equal_nan=True)
    assert not source.seen[2].any()
    assert source.described != rows.with_rows(whole, (*whole.ids, "p99")).described, "other rows are other values"
    found = {one.where: str(one.what) for one in check(path).findings if one.what.code == "rows_missing"}
    assert found == {
        "s2": "1 of the 24 samples of the tables is not in this one.",
        "s1": "2 of the 24 samples of the tables are not in this one.",
    }


def test_a_model_of_all_sources_uses_the_samples_of_all_tables(folder: Path, long: pd.DataFrame) -> None:
    path = two_tables(folder, long, FOREST)
    done = run(read_recipe(path), folder / "out", ("train",))
    assert sorted(set(range(24)) - set(done.samples.row.tolist())) == [2, 3, 4]
    done.evaluate()
    tested = pd.concat([pd.read_parquet(folder / f"out/splits/{k}/test.parquet") for k in range(3)])
    assert set(tested["sample"]) == {f"p{i:02d}" for i in range(24)} - {"p02", "p03", "p04"}
    found = [str(one.what) for one in check(path).findings if one.what.code == "masked_rows"]
    assert found == [
        "1 of 24 labelled samples has no value in the table and is not used (maize 1)",
        "2 of 24 labelled samples have no value in the table and are not used (maize 1, meadow 1)",
    ]


def test_tables_without_a_common_sample_are_refused(folder: Path, long: pd.DataFrame) -> None:
    path = two_tables(folder, long, FOREST)
    long.assign(sample="x" + long["sample"], VV=1.0).to_parquet(folder / "radar.parquet")
    message = "The tables 's2' and 's1' have no sample in common .first ids: p00 and xp00.. Check 'id'"
    with pytest.raises(SourceError, match=message):
        open_run(read_recipe(path), folder / "out")
    assert any("no sample in common" in str(one.what) for one in check(path).findings if one.severity == "error")
