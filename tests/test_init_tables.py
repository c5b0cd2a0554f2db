"""``bocage init`` on tables of series of samples: ids, dates, bands, and what must not be a band."""

import numpy as np
import pandas as pd
import pytest

from bocage.errors import BocageError, SamplesError, SourceError
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.jobs.run import run
from bocage.recipe import read_recipe
from bocage.samples.tabular import features_of
from bocage.sources import open_source, table
from bocage.sources.column_roles import roles_of
from bocage.sources.columns import layout_of
from bocage.sources.unread import unread
from bocage.testing import Place, write_raster
from conftest import Told

DAYS = pd.to_datetime(["2018-01-31", "2018-03-02", "2018-04-15", "2018-05-20"])
N = 12


def long(**more) -> pd.DataFrame:
    """Return a table with a row per sample and date; `more` gives columns from sample and date number."""
    rng = np.random.default_rng(1)
    rows = [
        {"id": i, "date": day, "B4": rng.integers(300, 900), "B8": rng.integers(2000, 4000)}
        | {name: of(i, k) for name, of in more.items()}
        for i in range(N)
        for k, day in enumerate(DAYS)
    ]
    return pd.DataFrame(rows)


def wide(**columns: str) -> pd.DataFrame:
    """Return a table with a row per sample; `columns` gives the form of the names of columns, with ``{band}`` and ``{date}``."""
    rng = np.random.default_rng(1)
    form, date = columns["form"], columns.get("date", "%Y%m%d")
    named = {
        form.format(band=b, date=day.strftime(date), k=k + 1): rng.integers(300, 4000, N)
        for b in ("B2", "B4", "B8")
        for k, day in enumerate(DAYS)
    }
    return pd.DataFrame({"id": range(N), **named})


def fields(**more) -> pd.DataFrame:
    """Return labelled samples of three classes."""
    return pd.DataFrame({"id": range(N), "crop_code": [115 + i % 3 for i in range(N)], **more})


def written(tmp_path, series: pd.DataFrame, labels: pd.DataFrame, name: str = "series.csv"):
    """Write a recipe for a table and its labels; return the messages and the path of the recipe."""
    folder = tmp_path / "tables"
    folder.mkdir(exist_ok=True)
    path = folder / name
    series.to_parquet(path) if name.endswith("parquet") else series.to_csv(
        path, index=False, sep="\t" if "tsv" in name else ","
    )
    labels.to_csv(tmp_path / "fields.csv", index=False)
    return write_recipe(folder, tmp_path / "fields.csv", "", tmp_path / "mine.toml"), tmp_path / "mine.toml"


NO_BANDS = {
    "crop_code": lambda i, k: 115 + i % 3, "class_id": lambda i, k: i % 3, "fold": lambda i, k: i % 2, "lat": lambda i, k: 48 + i / 9,
    "lon": lambda i, k: 11 + i / 7, "doy": lambda i, k: 30 + k, "year": lambda i, k: 2018 + k % 2, "weight": lambda i, k: 1 + k,
    "row": lambda i, k: 10 * i + k, "pixel": lambda i, k: 3 * i + k, "elevation": lambda i, k: 300 + i % 5, "CLDPRB": lambda i, k: 9 * k + i, "cloud": lambda i, k: k % 2,
}  # fmt: skip


def test_small_tables_get_three_networks_and_large_tables_one(tmp_path, monkeypatch):
    _, out = written(tmp_path, long(), fields())
    assert read_recipe(out).choice.title == "3 × patchwork"
    assert read_recipe(tmp_path / "mine-forest.toml").choice.title == "random_forest"
    monkeypatch.setattr("bocage.jobs.init.MANY", 5)
    out.unlink()
    (tmp_path / "mine-forest.toml").unlink()
    _, out = written(tmp_path, long(), fields())
    assert read_recipe(out).choice.title == "patchwork"


# --- bands
def test_labels_places_times_and_clouds_are_no_bands(tmp_path):
    lines, out = written(tmp_path, long(**NO_BANDS, temperature=lambda i, k: 9.5 + k + i / 10), fields())
    source = read_recipe(out).sources["s2"].settings
    assert source.bands == {"red": "B4", "nir": "B8", "temperature": "temperature"}
    said = "\n".join(line for line in lines if line.startswith("remark: series.csv"))
    assert all(name in said for name in NO_BANDS)
    assert "one value in each sample are left out of the bands: elevation." in said
    assert "left out of the bands, and no observation is masked with them: CLDPRB, cloud." in said
    assert all(not check(path).has_errors for path in (out, tmp_path / "mine-forest.toml"))


def test_a_table_that_is_its_own_reference_keeps_its_bands_and_no_label(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    more = NO_BANDS | {"crop": lambda i, k: f"crop {i % 3}", "kind": lambda i, k: 7 * (i % 3) + 2}
    long(**more).to_csv(folder / "all.csv", index=False)
    write_recipe(folder, folder / "all.csv", "crop_code", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml")
    assert recipe.sources["s2"].settings.bands == {"red": "B4", "nir": "B8"}
    assert recipe.reference.sample_id == "id"


def test_bands_of_clouds_and_constants_of_a_wide_table_are_left_out(tmp_path):
    dates = {
        f"{name}_{day:%Y%m%d}": [v + i % 2 for i in range(N)]
        for day in DAYS
        for name, v in (("cloudy", 4), ("slope", 8))
    }
    lines, out = written(tmp_path, wide(form="{band}_{date}").assign(**dates), fields())
    assert list(read_recipe(out).sources["s2"].settings.bands.values()) == ["B2", "B4", "B8"]
    assert any("masked with them: cloudy" in line for line in lines)
    assert any("one value in each sample are left out of the bands: slope" in line for line in lines)


@pytest.mark.parametrize("band", [False, True])
def test_a_column_of_clear_observations_is_proposed(tmp_path, band):
    frame = long(is_clear=lambda i, k: int(i % 4 != k))
    if band:
        clear = {f"valid_{day:%Y%m%d}": [int(i % 4 != k) for i in range(N)] for k, day in enumerate(DAYS)}
        frame = wide(form="{band}_{date}").assign(**clear)
    lines, out = written(tmp_path, frame, fields())
    assert read_recipe(out).sources["s2"].settings.valid == ("valid" if band else "is_clear")
    assert any("check 'valid'" in line for line in lines)
    assert not check(out).has_errors


@pytest.mark.parametrize(
    ("name", "values", "clear"),
    [
        ("SCL", (4, 8, 9, 5), (4, 5, 6, 7)),
        ("QA60", (0, 1024, 0, 2048), (0,)),
        ("cloudy", (0, 1, 0, 0), (0,)),  # by the brightness of the observations
        ("flag_mask", (1, 0, 1, 1), (1,)),
        ("cloud", (0, 1, 2, 3), ()),
        ("SCL", (8, 9, 8, 9), ()),  # no observation would be left
    ],
)
@pytest.mark.parametrize("form", ["long", "wide"])
def test_codes_of_clouds_mask_if_their_meaning_is_known(tmp_path, name, values, clear, form):
    frame = long(**{name: lambda i, k: values[k]}).assign(B4=lambda t: np.where(t.date == DAYS[1], 6000, t.B4))
    if form == "wide":
        frame = frame.pivot(index="id", columns="date", values=["B4", "B8", name])
        frame = frame.set_axis([f"{band}_{day:%Y%m%d}" for band, day in frame.columns], axis=1).reset_index()
    lines, out = written(tmp_path, frame, fields())
    source = read_recipe(out).sources["s2"].settings
    assert (source.valid, source.clear) == ((name, clear) if clear else ("", ()))
    said = f"column '{name}' shows the clear" if clear else f"no observation is masked with them: {name}"
    assert any(said in line for line in lines)
    assert name not in source.bands.values()
    opened = open_source("s2", table, source)
    kept = [value in clear or not clear for value in values]
    assert opened.seen[:, [k for k in range(4) if kept[k]]].all()
    assert opened.seen.mean() == np.mean(kept)
    assert not check(out).has_errors


def test_a_column_that_is_never_clear_is_no_mask():
    frame = pd.DataFrame({"valid": [0, 0, 0], "B4": [1, 2, 3]})
    roles = roles_of({c: frame[[c]] for c in frame}, pd.Series([1, 1, 2]), ())
    assert (roles.valid, roles.quality, roles.bands) == ("", ("valid",), ("B4",))


def test_words_for_missing_values_are_no_reason_to_drop_a_band(tmp_path):
    series = long()
    series["B4"] = series.B4.astype(str)
    series.loc[3, "B4"] = "NoData"
    lines, out = written(tmp_path, series, fields())
    assert read_recipe(out).sources["s2"].settings.bands == {"red": "B4", "nir": "B8"}
    assert not check(out).has_errors


def test_a_band_with_another_word_is_a_remark(tmp_path):
    series = long()
    series["B4"] = series.B4.astype(str)
    series.loc[3, "B4"] = "< 300"
    lines, out = written(tmp_path, series, fields())
    assert read_recipe(out).sources["s2"].settings.bands == {"nir": "B8"}
    assert any("numbers with words in some cells are left out: B4 ('< 300')" in line for line in lines)


def test_flags_and_columns_without_a_value_are_no_bands(tmp_path):
    """An empty column as a band would make all observations invalid."""
    series = long(interpolated=lambda i, k: bool((i + k) % 2), notes=lambda i, k: None, B12=lambda i, k: None)
    lines, out = written(tmp_path, series, fields())
    assert read_recipe(out).sources["s2"].settings.bands == {"red": "B4", "nir": "B8"}
    assert any("columns without a value are left out: notes, B12" in line for line in lines)
    assert any("masked with them: interpolated" in line for line in lines)


# --- ids
def test_days_and_measurements_in_the_range_of_the_ids_are_no_ids(tmp_path):
    """A table with many more samples than labels, whose other columns have all numbers of the labelled ids."""
    days = pd.date_range("2018-01-01", periods=20, freq="5D")
    rows = [
        {"day": k, "slope": i % 13, "plot_no": i, "B4": 300 + i % 7 + k, "when": day}
        for i in range(60)
        for k, day in enumerate(days)
    ]
    _, out = written(tmp_path, pd.DataFrame(rows), fields().rename(columns={"id": "stand"}))
    settings = read_recipe(out).sources["s2"].settings
    assert (settings.id, settings.date, settings.bands) == ("plot_no", "when", {"red": "B4"})


def test_numbers_of_rows_are_the_last_choice_of_an_id_and_the_other_field_is_named(tmp_path):
    labels = fields(OBJECTID=[(5 * i) % N for i in range(N)]).rename(columns={"id": "plot"})
    labels = labels[["OBJECTID", "plot", "crop_code"]]
    lines, out = written(tmp_path, long().rename(columns={"id": "parcel"}), labels)
    assert read_recipe(out).reference.sample_id == "plot"
    assert any("others agree as well: column 'parcel' with field 'OBJECTID'" in line for line in lines)


def test_the_recipe_asks_for_the_id_where_two_fields_agree_alike(tmp_path):
    labels = fields(stand=[(5 * i) % N for i in range(N)]).rename(columns={"id": "plot"})
    _, out = written(tmp_path, long().rename(columns={"id": "parcel"}), labels)
    assert 'sample_id = "?"  # which is the right one? found plot, stand' in out.read_text()
    labels["stand"] = labels["plot"]
    out.unlink(), (tmp_path / "mine-forest.toml").unlink()
    _, out = written(tmp_path, long().rename(columns={"id": "parcel"}), labels)
    assert read_recipe(out).reference.sample_id in ("plot", "stand")  # the same ids


def test_ids_keep_their_zeros(tmp_path):
    series, labels = long(), fields()
    series["id"], labels["id"] = series["id"].map("{:05}".format), labels["id"].map("{:05}".format)
    _, out = written(tmp_path, series, labels)
    assert not check(out).has_errors


def test_a_part_of_the_labelled_samples_is_enough(tmp_path):
    series = long(doy=lambda i, k: k)
    lines, out = written(tmp_path, series[series["id"] < 5], fields())
    assert read_recipe(out).sources["s2"].settings.id == "id"
    assert any("5 samples" in line for line in lines)


def test_rows_that_are_the_same_count_once(tmp_path):
    series, labels = long(), fields()
    lines, out = written(tmp_path, pd.concat([series, series[:2]]), pd.concat([labels, labels[:2]]))
    assert any(f"3 classes, {N} samples" in line for line in lines)
    assert not check(out).has_errors


def test_two_tables_that_share_most_samples_are_used(tmp_path):
    (tmp_path / "tables").mkdir()
    radar = long(VV=lambda i, k: -9.5 - i - k)[["id", "date", "VV"]]
    radar[radar["id"] > 1].to_csv(tmp_path / "tables/a.csv", index=False)
    series = long()
    lines, out = written(tmp_path, series[series["id"] > 0], fields())
    assert set(read_recipe(out).sources) == {"s1", "s2"}
    said = (
        "'s1': its table has 10 labelled samples, that of 's2' 11, and both have 10. patchwork uses the samples of all"
    )
    assert any(said in line for line in lines)
    assert any("3 classes, 11 samples" in line for line in lines)
    assert not check(out).has_errors


def test_of_two_tables_that_share_few_samples_the_larger_one_is_used(tmp_path):
    (tmp_path / "tables").mkdir()
    radar = long(VV=lambda i, k: -9.5 - i - k)[["id", "date", "VV"]]
    radar[radar["id"] > 6].to_csv(tmp_path / "tables/a.csv", index=False)
    lines, out = written(tmp_path, long(), fields())
    assert set(read_recipe(out).sources) == {"s2"}
    said = "'s1' is left out: its table has 5 labelled samples, that of 's2' 12, and both have 5"
    assert any(said in line for line in lines)


# --- dates
@pytest.mark.parametrize("form", ["%Y%m%d", "%Y%j", "%d.%m.%Y", "%Y/%m/%d", "%d-%b-%Y", "%Y-%m-%d"])
@pytest.mark.parametrize("name", ["series.csv", "series.tsv", "series.txt"])
def test_dates_that_the_reader_understands_are_recognised(tmp_path, form, name):
    series = long()
    series["date"] = series["date"].dt.strftime(form)
    _, out = written(tmp_path, series, fields(), name)
    assert read_recipe(out).sources["s2"].settings.date == "date"


def test_dates_as_whole_numbers_in_parquet_are_recognised(tmp_path):
    series = long()
    series["date"] = series["date"].dt.strftime("%Y%m%d").astype(int)
    _, out = written(tmp_path, series, fields(), "series.parquet")
    assert read_recipe(out).sources["s2"].settings.bands == {"red": "B4", "nir": "B8"}
    assert not check(out).has_errors


def test_the_index_of_a_parquet_file_of_pandas_has_id_and_date(tmp_path):
    (tmp_path / "tables").mkdir()
    long().set_index(["id", "date"]).to_parquet(tmp_path / "tables/series.parquet")
    fields().to_csv(tmp_path / "fields.csv", index=False)
    write_recipe(tmp_path / "tables", tmp_path / "fields.csv", "", tmp_path / "mine.toml")
    assert not check(tmp_path / "mine.toml").has_errors


def kinds(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return a table in data types of Parquet beside numbers and texts."""
    return {
        "missing": frame.assign(
            B4=frame.B4.astype("Int64").mask(frame.index == 3), valid=pd.array([1, 0, None, 1] * N, "Int64")
        ),
        "category": frame.assign(id=frame["id"].astype("category"), B4=frame.B4.astype("category")),
        "list": frame.assign(vector=[[1, 2]] * len(frame), shape=[b"abc"] * len(frame)),
        "day": frame.assign(date=frame.date.dt.date),
        "zone": frame.assign(date=frame.date.dt.tz_localize("Europe/Paris")),
    }


@pytest.mark.parametrize("kind", kinds(long()))
def test_data_types_of_parquet(tmp_path, kind):
    _, out = written(tmp_path, kinds(long())[kind], fields(), "series.parquet")
    assert read_recipe(out).sources["s2"].settings.bands == {"red": "B4", "nir": "B8"}
    assert not check(out).has_errors


def test_the_date_is_the_column_that_differs_within_a_sample(tmp_path):
    series = long()
    series.insert(1, "sowing_date", "2017-10-01")
    _, out = written(tmp_path, series, fields())
    assert read_recipe(out).sources["s2"].settings.date == "date"


@pytest.mark.parametrize(
    ("form", "date", "pattern"),
    [
        ("{band}_{date}", "%Y%j", "{band}_{date}"),
        ("{date}_{band}", "%Y%m%d", "{date}_{band}"),
        ("{band}{date}", "%Y%m%d", "{band}{date}"),
        ("{band}_{date}", "%Y-%m-%d", "{band}_{date}"),
        ("{band}.{date}", "%Y%m", "{band}.{date}"),
    ],
)
def test_forms_of_wide_tables(tmp_path, form, date, pattern):
    _, out = written(tmp_path, wide(form=form, date=date), fields())
    settings = read_recipe(out).sources["s2"].settings
    assert settings.wide == pattern
    assert settings.bands == {"blue": "B2", "red": "B4", "nir": "B8"}
    assert not check(out).has_errors


def comma(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose bands have a decimal comma."""
    return frame.assign(**{band: frame[band].map("{:.1f}".format).str.replace(".", ",") for band in ("B4", "B8")})


def tidy(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table with a row for each sample, date and band."""
    return frame.melt(["id", "date"], var_name="band")


def dots() -> pd.DataFrame:
    """Return a table of two pixels of each field."""
    return pd.concat([long(pixel=lambda i, k: 2 * i), long(pixel=lambda i, k: 2 * i + 1).assign(B4=400)])


@pytest.mark.parametrize(
    ("series", "why"),
    [
        (long().assign(id=lambda t: t["id"].map("{:05}".format)), "'id' and field 'id' differ in zeros.* '00009' and '9'. Write"),
        (long().assign(id=lambda t: "p" + t["id"].astype(str)), "no column has the ids of a field of the reference .id"),
        (long().assign(date=30, year=2018).rename(columns={"date": "doy"}), "two columns, 'year' and 'doy'"),
        (long().assign(date=1518652800).rename(columns={"date": "timestamp"}), "column 'timestamp' is not a date"),
        (dots(), "Column 'pixel' tells them apart: .* polygon_id"),
        (long().assign(date="05/04/2018"), "column 'date': '05/04/2018' may have the day or the month first"),
        (long().drop(columns="date"), "no column of dates"),
        (comma(long()), "decimal comma.*: B4, B8"),
        (tidy(long()), "a row for each value of column 'band'.*Write one row for each sample and date"),
        (wide(form="{band}_{k}"), "its columns are numbered, as 'B2_1'.*'start'.*'every'"),
        (wide(form="{date}", date="%Y-%m-%d"), "its columns are dates, without the name of a band"),
    ],
)  # fmt: skip
def test_why_a_table_holds_no_series(tmp_path, series, why):
    with pytest.raises(BocageError, match=why):
        written(tmp_path, series, fields())


def test_a_csv_file_with_semicolons_and_decimal_commas(tmp_path):
    """As spreadsheets of half of Europe write it; the label is beside the series."""
    series = comma(long(crop_code=lambda i, k: 115 + i % 3)).assign(date=lambda t: t.date.dt.strftime("%d.%m.%Y"))
    folder = tmp_path / "tables"
    folder.mkdir()
    series.to_csv(folder / "all.csv", sep=";", index=False)
    write_recipe(folder, folder / "all.csv", "", tmp_path / "mine.toml")
    recipe = read_recipe(tmp_path / "mine.toml")
    opened = open_source("s2", table, recipe.sources["s2"].settings)
    assert opened.bands == ("red", "nir")
    assert opened.stored[0].tolist() == long()[["B4", "B8"]][:4].to_numpy(float).tolist()
    assert not check(tmp_path / "mine.toml").has_errors


@pytest.mark.parametrize("name", ["series.csv", "series.parquet"])
def test_times_of_google_earth_engine(tmp_path, name):
    series = long().rename(columns={"date": "system:time_start"})
    series["system:time_start"] = series["system:time_start"].astype("datetime64[ms]").astype("int64") + 36_000_000
    _, out = written(tmp_path, series, fields(), name)
    settings = read_recipe(out).sources["s2"].settings
    assert settings.date == "system:time_start"
    assert [time.date() for time in open_source("s2", table, settings).times] == [day.date() for day in DAYS]


def test_why_a_table_with_its_labels_holds_no_series(tmp_path):
    """The ids of its samples are repeated, as they must be: that is not the reason."""
    series = long(crop_code=lambda i, k: 115 + i % 3, doy=lambda i, k: 31 + 30 * k, year=lambda i, k: 2018)
    series.drop(columns="date").to_csv(tmp_path / "all.csv", index=False)
    with pytest.raises(BocageError, match="the dates are in two columns, 'year' and 'doy'"):
        write_recipe(tmp_path, tmp_path / "all.csv", "", tmp_path / "mine.toml")


def test_a_table_instead_of_its_folder(tmp_path):
    long().to_csv(tmp_path / "my series.csv", index=False)
    with pytest.raises(BocageError, match=r"of the tables: bocage init \S+ \S+fields.csv\.$"):
        write_recipe(tmp_path / "my series.csv", tmp_path / "fields.csv", "", tmp_path / "mine.toml")


def test_a_reference_without_ids_is_the_reason(tmp_path):
    long().to_csv(tmp_path / "series.csv", index=False)
    with pytest.raises(SourceError, match="no field of the reference identifies its features"):
        layout_of(tmp_path / "series.csv", {})


def test_files_that_are_not_read_are_listed(tmp_path):
    for name in ("a.xlsx", "b.nc", "c.nc", "d.csv.gz", "e.tar.gz", "f.tif"):
        (tmp_path / name).touch()
    first, second, third = unread(sorted(tmp_path.iterdir()))
    assert first.endswith("a.xlsx: a spreadsheet is not read. Save the sheet as CSV")
    assert "b.nc and 1 more .nc: " in second
    assert "d.csv.gz: a compressed file" in third
    with pytest.raises(BocageError, match="a.xlsx: a spreadsheet is not read"):
        (tmp_path / "f.tif").unlink()
        fields().to_csv(tmp_path / "fields.csv", index=False)
        write_recipe(tmp_path, tmp_path / "fields.csv", "", tmp_path / "mine.toml")


# --- coordinates of the reference
@pytest.mark.parametrize(
    ("columns", "crs"),
    [
        (("longitude_wgs84", "latitude_wgs84"), "EPSG:4326"),
        (("Lon_4326", "Lat_4326"), "EPSG:4326"),
        (("LON_DD", "LAT_DD"), "EPSG:4326"),
        (("POINT_X", "POINT_Y"), None),
        (("x", "y"), None),
    ],
)
def test_columns_of_coordinates(tmp_path, columns, crs):
    pd.DataFrame({"crop": ["a", "b"], columns[0]: [3.0, 3.1], columns[1]: [50.8, 50.9]}).to_csv(
        tmp_path / "p.csv", index=False
    )
    for wanted in ((), columns, columns[::-1]):
        found = features_of(tmp_path / "p.csv", wanted)
        turned = wanted == columns[::-1] and crs is None
        assert found.geometry.x.tolist() == ([50.8, 50.9] if turned else [3.0, 3.1])
        assert found.crs == crs


def test_the_recipe_asks_for_the_crs_of_coordinates_without_one(tmp_path):
    (tmp_path / "images").mkdir()
    pixels = np.random.default_rng(1).integers(300, 4000, (3, 40, 40)).astype(np.uint16)
    write_raster(tmp_path / "images/a.tif", pixels, Place(10), descriptions=["green", "red", "nir"])
    labels = fields(POINT_X=600_005.0, POINT_Y=5_000_005.0)
    labels.to_csv(tmp_path / "points.csv", index=False)
    write_recipe(tmp_path / "images", tmp_path / "points.csv", "", tmp_path / "mine.toml")
    assert 'crs = "?"' in (tmp_path / "mine.toml").read_text()
    labels.drop(columns=["POINT_X", "POINT_Y"]).to_csv(tmp_path / "points.csv", index=False)
    with pytest.raises(SamplesError, match="no geometry.*polygons or points, or a table .*'lon' and 'lat'"):
        write_recipe(tmp_path / "images", tmp_path / "points.csv", "", tmp_path / "other.toml")


# --- dates that the samples share
def moved(days, samples: int = N, dates: int = 6) -> pd.DataFrame:
    """Return a long table whose red falls and rises in two classes; `days` gives the shift of a sample in days."""
    rng = np.random.default_rng(2)
    rows = [
        {
            "id": i,
            "date": pd.Timestamp("2020-03-01") + pd.Timedelta(days=20 * k + days(i)),
            "B4": 1500 + (1 if i % 2 else -1) * 200 * k + rng.integers(-300, 300),
            "B8": 2500 + rng.integers(0, 900),
        }
        for i in range(samples)
        for k in range(dates)
    ]
    return pd.DataFrame(rows)


def test_series_of_few_shared_dates_are_interpolated_for_models_that_compare_dates(tmp_path):
    lines, out = written(tmp_path, moved(lambda i: 7 * i % 9), fields())
    assert any("a sample has a value at 11 % of the 54 dates" in line for line in lines if line.startswith("remark"))
    recipe, forest = read_recipe(out), read_recipe(tmp_path / "mine-forest.toml")
    assert recipe.sources["s2"].preparation.fill is None
    assert recipe.compare[0].choice.config.gaps == "linear"
    fill = forest.sources["s2"].preparation.fill
    assert (fill.every, fill.start.isoformat(), fill.end.isoformat()) == (20, "2020-03-01", "2020-06-17")


@pytest.mark.parametrize("days", [lambda i: 0, lambda i: 366 * (i % 2)])
def test_series_of_the_same_dates_or_of_two_seasons_are_not_interpolated_in_time(tmp_path, days):
    lines, out = written(tmp_path, moved(days), fields())
    assert read_recipe(out).compare[0].choice.config.gaps == "missing"
    seasons = any("of different seasons" in line for line in lines)
    fill = read_recipe(tmp_path / "mine-forest.toml").sources["s2"].preparation.fill
    assert seasons == (days(1) > 0) == (fill is None)


def codes(path, *overrides: str) -> dict[str, list]:
    """Return the findings of a recipe on its source, by code."""
    found = [f for f in check(path, overrides=overrides).findings if f.where == "s2"]
    return {f.what.code: [f.severity, f.what.text(), f.remedy.text()] for f in found}


def test_check_warns_of_dates_that_samples_do_not_share(tmp_path):
    _, out = written(tmp_path, moved(lambda i: 7 * i % 9), fields())
    without = ("compare=[]", "model.name=random_forest")
    severity, what, remedy = codes(out, *without)["few_shared"]
    assert severity == "warning"
    assert what.startswith("a sample has a value at 11 % of the 54 dates on average, and random_forest compares")
    assert "'fill'" in remedy
    for quiet in ((), (*without, "model.gaps=linear"), ("compare=[]", "model.name=gru")):
        assert "few_shared" not in codes(out, *quiet)
    assert "few_shared" in codes(out, "compare=[]", "model.name=tempcnn")
    filled = codes(tmp_path / "mine-forest.toml")
    assert "few_shared" not in filled
    assert filled["samples_by_month"][2].startswith("Nothing to do. Gap filling")
    assert "no 'fill'" in codes(out)["samples_by_month"][2]


def test_a_pause_between_the_seasons_of_samples_is_no_gap_of_a_series(tmp_path):
    _, out = written(tmp_path, moved(lambda i: 366 * (i % 2)), fields())
    found = codes(out, "compare=[]", "model.name=random_forest")
    assert "few_shared_seasons" in found
    assert "date_gap" not in found
    folder = tmp_path / "gap"
    folder.mkdir()
    table = moved(lambda i: 0)
    _, out = written(folder, table[~table.date.dt.month.isin([4, 5])], fields())
    assert codes(out)["date_gap"][2] == "Add acquisitions or another sensor."


def test_dates_with_few_samples_are_usable(tmp_path):
    """With many orbits, none of the dates has a tenth of the samples."""
    _, out = written(tmp_path, moved(lambda i: i), fields())
    assert not check(out).has_errors


def test_training_says_that_the_samples_share_few_dates(tmp_path):
    frame, labels = (
        moved(lambda i: 7 * i % 9, 36),
        pd.DataFrame({"id": range(36), "crop_code": [1 + i % 2 for i in range(36)]}),
    )
    _, out = written(tmp_path, frame, labels)
    recipe = read_recipe(out, ("compare=[]", "model.name=random_forest", "split.draws=1", "model.trees=5"))
    told = Told()
    run(recipe, tmp_path / "out", ("train",), told)
    assert sum("at 11 % of the 54 dates" in line and "'fill'" in line for line in told.words) == 1
