"""Legends, dates, tables and recipes as spreadsheets and editors write them."""

import ast
import os
from pathlib import Path

import numpy as np
import pytest

from bocage.errors import LegendError, RecipeError, SceneError, SourceError
from bocage.legend import LandClass, Legend, plain, read_csv
from bocage.recipe import read_recipe
from bocage.scene.thermal import Thermal
from bocage.sources import open_source, series, table
from bocage.sources.times import read_times
from bocage.textfile import read_rows, read_text

ROWS = "code,name\r\n1,maïs\r\n2,blé\r\n3,prairie\r\n"


def legend(tmp_path, content, encoding="utf-8"):
    path = tmp_path / "legend.csv"
    path.write_bytes(content.encode(encoding) if isinstance(content, str) else content)
    return read_csv(path)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_legend_is_read_in_the_encodings_of_spreadsheets(tmp_path, encoding, separator):
    assert legend(tmp_path, ROWS.replace(",", separator), encoding).names == ("maïs", "blé", "prairie")


def test_old_line_ends_headers_in_capitals_and_empty_rows_are_read(tmp_path):
    read = legend(tmp_path, "Code, Name,color\r1, maize,\r2.0,wheat,\r,,\r")
    assert [(c.code, c.name) for c in read.classes] == [(1, "maize"), (2, "wheat")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("code,name\n1,maize, silage\n", "line 2: 3 values for 2 columns. Put quotes"),
        ("code,name\n1,maize\n2\n", "line 3: a class needs a name; found '' for the code 2"),
        ("code,name\n1, \n", "line 2: a class needs a name"),
        ("code,name\nx,maize\n", "line 2: the code 'x' is not a whole number"),
        ("code,name\n" + "9" * 5000 + ",maize\n", "is not a whole number"),
        ("code,name\n1," + "x" * 200_000 + "\n", "cannot be read: line 2: field larger than field limit"),
        ("code,name\n1," + "x" * 300 + "\n", "a class name must be one line of at most 200 characters"),
        (b"code,name\n1,ma\0is\n", "cannot be read: it is not a text file"),
        (bytes(range(256)), "cannot be read: it is not a text file"),
        ("", "has no column code, name. Found an empty file"),
    ],
)
def test_a_malformed_legend_is_refused_with_its_line(tmp_path, content, said):
    with pytest.raises(LegendError, match=r"legend\.csv") as caught:
        legend(tmp_path, content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_values_with_blanks_are_whole_and_numbers_may_be_separated_by_them(tmp_path):
    read = legend(tmp_path, "code,name,values\n1,a,11 12\n2,b,winter wheat\n3,c,oats; spring barley\n")
    assert [c.values for c in read.classes] == [("11", "12"), ("winter wheat",), ("oats", "spring barley")]
    assert [read.index_of(v) for v in (12, "winter  wheat ", "spring barley", "wheat")] == [0, 1, 2, None]


def test_labels_are_compared_without_blanks_and_forms_of_accents():
    read = Legend((LandClass(1, "maïs", values=("maïs",)), LandClass(2, "b", values=("a line",))))
    assert [read.index_of(v) for v in ("mai\u0308s", " maïs ", "a\nline", None, float("nan"))] == [0, 0, 1, None, None]
    assert plain(True) == plain(1.0) == plain("1")
    with pytest.raises(LegendError, match="gives the name maïs to more than one class"):
        Legend((LandClass(1, "maïs"), LandClass(2, "mai\u0308s ")))


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\0b"])
def test_a_class_name_is_one_line_of_text(name):
    with pytest.raises(ValueError, match="class"):
        LandClass(1, name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_a_recipe_is_read_in_the_encodings_of_editors(recipe, encoding):
    path = recipe()
    path.write_bytes(path.read_text().replace("maize", "maïs").encode(encoding))
    assert read_recipe(path).legend.names[0] == "maïs"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = " + "[" * 3000, "nested too deeply"),
        ("a = " + "9" * 5000, "not a TOML file"),
        ('a = "\0"', "not a text file"),
    ],
)
def test_a_recipe_that_is_none_is_refused(tmp_path, text, said):
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(RecipeError, match=said):
        read_recipe(tmp_path / "r.toml")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
def test_dates_tables_and_temperatures_are_read_in_the_encodings_of_spreadsheets(tmp_path, encoding, landscape):
    dates = tmp_path / "dates.csv"
    days = [f"{m:02}/x;2021-{m:02}-11" for m in range(2, 8)]
    dates.write_bytes(("n°;date\r\n" + "\r\n".join(days)).encode(encoding))
    settings = series.Settings(variables={"red": landscape / "s2/red.tif"}, dates=dates)
    assert [t.month for t in open_source("s", series, settings).times] == [2, 3, 4, 5, 6, 7]
    rows = tmp_path / "rows.csv"
    rows.write_bytes("id,jour,né\né,2021-03-01,4\n".encode(encoding))
    assert open_source("t", table, table.Settings(rows, "id", {"red": "né"}, date="jour")).ids == ("é",)
    heat = tmp_path / "heat.csv"
    heat.write_bytes("date,temperature,né\n2021-01-01,10,é\n2021-01-02,10,é\n2021-01-03,12,é\n".encode(encoding))
    day = (np.datetime64("2021-01-03") - np.datetime64("1970-01-01")).astype(int)
    assert Thermal(heat, base=0, start="01-01").days(np.array([day])).tolist() == [day]


def test_a_column_of_identifiers_is_not_the_dates_and_a_short_row_is_refused(tmp_path, landscape):
    dates = tmp_path / "dates.csv"
    settings = series.Settings(variables={"red": landscape / "s2/red.tif"}, dates=dates)
    dates.write_text("id,date\n" + "".join(f"2022{m:04},2021-{m:02}-11\n" for m in range(2, 8)))
    assert [t.year for t in open_source("s", series, settings).times] == [2021] * 6
    dates.write_text("id,date\n" + "".join(f"{m},2021-{m:02}-11\n" if m != 4 else "4\n" for m in range(2, 9)))
    with pytest.raises(SourceError, match="no column of dates"):
        open_source("s", series, settings)


def test_a_table_with_more_cells_than_names_is_refused(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("id,date,red\na,2021-03-01,4,5\n")
    with pytest.raises(SourceError, match="more cells than its first line has names"):
        open_source("t", table, table.Settings(rows, "id", {"red": "red"}, date="date"))


def test_a_pipe_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not a regular file"):
        read_text(tmp_path / "pipe")


def test_rows_keep_the_number_of_their_line(tmp_path):
    (tmp_path / "x.csv").write_text('a;b\n\n1;"x;\ny"\n2;z\n')
    assert read_rows(tmp_path / "x.csv") == [(1, ["a", "b"]), (4, ["1", "x;\ny"]), (5, ["2", "z"])]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (["2020-05-01T00:30:00+02:00"], ["2020-04-30 22:30"]),
        (["2020-05-01T10:00:00Z", "2020-05-02 10:00"], ["2020-05-01 10:00", "2020-05-02 10:00"]),
        (["01/05/2020", "13.05.2020 06:30"], ["2020-05-01 00:00", "2020-05-13 06:30"]),
        (["05/01/2020", "05/13/2020"], ["2020-05-01 00:00", "2020-05-13 00:00"]),
        (["05-05-2020"], ["2020-05-05 00:00"]),
        (["2020/5/1", "20200502", "20200503T101500"], ["2020-05-01 00:00", "2020-05-02 00:00", "2020-05-03 10:15"]),
    ],
)
def test_dates_are_read_as_people_write_them(written, read):
    assert [f"{time:%Y-%m-%d %H:%M}" for time in read_times(written)] == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (["01/05/2020", "02/05/2020"], "'01/05/2020' may have the day or the month first. Write dates as 2018-01-31"),
        (["13/05/2020", "05/13/2020"], "'13/05/2020' has the day first and '05/13/2020' the month"),
        (["30/02/2020"], r"'30/02/2020' is not a date \(day is out of range"),
        (["01/05/20"], "'01/05/20' is not a date"),
        (["2020-05-01", " "], "a date is missing"),
    ],
)
def test_dates_that_can_be_read_in_two_ways_or_in_none_are_refused(written, said):
    with pytest.raises(ValueError, match=said):
        read_times(written)


def test_every_table_reads_dates_in_the_same_way(tmp_path, landscape):
    days = ["11/01/2021", "13/02/2021"]
    (tmp_path / "dates.csv").write_text("id,date\n" + "".join(f"{m},{m + 10}/0{m}/2021\n" for m in range(2, 8)))
    settings = series.Settings(variables={"red": landscape / "s2/red.tif"}, dates=tmp_path / "dates.csv")
    assert [f"{t:%m-%d}" for t in open_source("s", series, settings).times] == [f"0{m}-{m + 10}" for m in range(2, 8)]
    long = tmp_path / "long.csv"
    long.write_text("id;date;b\n001;{};1\n001;{};2\n".format(*days))
    source = open_source("t", table, table.Settings(long, "id", {"red": "b"}, date="date"))
    assert source.ids == ("001",), "an identifier is a text"
    assert [f"{t:%m-%d}" for t in source.times] == ["01-11", "02-13"]
    wide = tmp_path / "wide.csv"
    wide.write_text("id,{} NDVI,{} NDVI\n1,0.1,0.2\n".format(*days))
    source = open_source("t", table, table.Settings(wide, "id", {"ndvi": "NDVI"}, wide="{date} {band}"))
    assert [f"{t:%m-%d}" for t in source.times] == ["01-11", "02-13"]
    heat = tmp_path / "heat.csv"
    heat.write_text("date,temperature\n" + "".join(f"{d}/02/2021,10\n" for d in range(1, 29)))
    day = np.array([np.datetime64("2021-02-15").astype(int)])
    assert Thermal(heat, base=0, start="02-01").days(day).tolist() == [np.datetime64("2021-01-15").astype(int)]
    heat.write_text("date,temperature\n01/02/2021,10\n02/02/2021,10\n")
    with pytest.raises(SceneError, match="'01/02/2021' may have the day or the month first"):
        Thermal(heat, base=0, start="02-01").days(day)


def test_a_row_without_a_date_is_refused(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text("id,date,b\na,2021-03-01,4\na,,5\n")
    with pytest.raises(SourceError, match="1 rows have no date"):
        open_source("t", table, table.Settings(rows, "id", {"red": "b"}, date="date"))


def test_no_file_is_read_or_written_in_the_encoding_of_the_machine():
    places = []
    for path in sorted((Path(__file__).parents[1] / "src/bocage").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr
            if called in ("read_text", "write_text") and not any(word.arg == "encoding" for word in node.keywords):
                places.append(f"{path}:{node.lineno}")
    assert not places
