"""Planted defects, each found and named; shifts measured where they are known."""

import json
import shutil
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from scipy.ndimage import gaussian_filter
from shapely.geometry import GeometryCollection, LineString, Polygon, box

from bocage.cli import main
from bocage.grid import Grid
from bocage.jobs.check import check
from bocage.preflight import Finding, disk
from bocage.preflight.files import _block
from bocage.preflight.grids import _bounds, _findings, _views
from bocage.preflight.polygons import _on_ground
from bocage.preflight.shift import Shift, View, between, from_polygons
from bocage.report.preflight import write_page
from bocage.sources import open_source, series
from bocage.sources.base import BandFile
from bocage.testing import Place, tiny_landscape, write_raster
from bocage.testing.fakes import CORNER
from bocage.words import Note
from conftest import written
from test_report import foreign, page_of


def findings(path: Path, severity: str = "") -> list[str]:
    return [
        f"{f.where}: {f.what} -> {f.remedy}"
        for f in check(path, path.parent / "out").findings
        if severity in ("", f.severity)
    ]


def told(lines: list[str], *words: str) -> bool:
    return any(all(word in line for word in words) for line in lines)


def test_a_sound_recipe_has_no_error(recipe) -> None:
    assert findings(recipe(), "error") == []


@pytest.mark.parametrize("nodata", [0, None])
def test_an_empty_corner_is_no_empty_file(tmp_path, nodata):
    """As that of an orthorectified scene of high resolution: the north-west corner is outside of it."""
    rows, columns = np.mgrid[:700, :700]
    inside = np.abs(rows - 350) + np.abs(columns - 350) < 330
    write_raster(tmp_path / "vhr.tif", np.where(inside, 900, 0)[None].astype(np.uint16), nodata=nodata)
    file = BandFile(tmp_path / "vhr.tif", 1)
    for turn in range(5):
        stored, valid = _block(file, turn)
        assert stored[valid].max() == 900


# --- planted defects: spoil the landscape, and expect one finding with these words
def _no_crs(land: Path) -> None:
    with rasterio.open(land / "s2/red.tif") as d:
        pixels, names = d.read(), d.descriptions
    write_raster(land / "s2/red.tif", pixels, Place(crs=None), descriptions=names)


def _truncated(land: Path) -> None:
    with rasterio.open(land / "s2/nir.tif") as d:
        pixels, names = d.read(), d.descriptions
    write_raster(land / "s2/nir.tif", pixels, descriptions=names)
    content = (land / "s2/nir.tif").read_bytes()
    (land / "s2/nir.tif").write_bytes(content[: len(content) - 3000])


def _zero_band(land: Path) -> None:
    with rasterio.open(land / "s2/nir.tif", "r+") as d:
        d.write(np.zeros((d.count, *d.shape), np.uint16))


def _unscaled(land: Path) -> None:
    text = (land / "recipe.toml").read_text()
    (land / "recipe.toml").write_text(text.replace("scale = 0.0001", "scale = 1.0"))


def _undeclared(land: Path) -> None:
    for band in ("red", "nir"):
        with rasterio.open(land / f"s2/{band}.tif") as d:
            pixels, names = d.read(), d.descriptions
        pixels[:, :, :6] = 0
        write_raster(land / f"s2/{band}.tif", pixels, descriptions=names)


def _cloudy(land: Path) -> None:
    with rasterio.open(land / "s2/quality.tif", "r+") as d:
        quality = d.read()
        quality[1:4] = 9
        d.write(quality)


def _inverted(land: Path) -> None:
    with rasterio.open(land / "s2/quality.tif", "r+") as d:
        quality = d.read()
        quality[:] = np.where(np.arange(quality.size).reshape(quality.shape) % 20 == 0, 4, 9)
        d.write(quality)


def _frame(land: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(land / "reference.gpkg")


def _save(land: Path, frame: gpd.GeoDataFrame) -> None:
    (land / "reference.gpkg").unlink()
    frame.to_file(land / "reference.gpkg", engine="pyogrio")


def _invalid(land: Path) -> None:
    frame = _frame(land)
    x, y = CORNER
    frame.loc[0, "geometry"] = Polygon([(x + 60, y - 60), (x + 100, y - 20), (x + 100, y - 60), (x + 60, y - 20)])
    _save(land, frame)


def _overlapping(land: Path) -> None:
    frame = _frame(land)
    frame.loc[5, "geometry"] = frame.geometry[0].buffer(-5)
    _save(land, frame)


def _outside(land: Path) -> None:
    frame = _frame(land)
    frame.loc[0, "geometry"] = box(0, 0, 10, 10)
    _save(land, frame)


def _too_small(land: Path) -> None:
    frame = _frame(land)
    frame.loc[0, "geometry"] = box(CORNER[0] + 51, CORNER[1] - 24, CORNER[0] + 54, CORNER[1] - 21)
    _save(land, frame)


def _few(land: Path) -> None:
    frame = _frame(land)
    _save(land, frame[~((frame.code == 3) & (frame.index % 5 > 0))])


def _unknown_label(land: Path) -> None:
    frame = _frame(land)
    frame.loc[2, "code"] = 77
    _save(land, frame)


def _elsewhere(land: Path) -> None:
    text = (land / "recipe.toml").read_text()
    write_raster(land / "far.tif", np.ones((1, 20, 20), np.uint16), Place(corner=(400000.0, 7668000.0)))
    (land / "recipe.toml").write_text(
        text.replace("[legend]", '[sources.far]\nsensor = "image"\npath = "far.tif"\n[legend]')
    )


def _half_pixel(land: Path) -> None:
    text = (land / "recipe.toml").read_text()
    write_raster(land / "off.tif", np.ones((1, 60, 60), np.uint16), Place(corner=(CORNER[0] - 4.0, CORNER[1] + 3.0)))
    (land / "recipe.toml").write_text(
        text.replace("[legend]", '[sources.off]\nsensor = "image"\npath = "off.tif"\n[legend]')
    )


def _other_pixels(land: Path) -> None:
    text = (land / "recipe.toml").read_text()
    write_raster(land / "six.tif", np.ones((1, 100, 100), np.uint16), Place(6.0))
    (land / "recipe.toml").write_text(
        text.replace("[legend]", '[sources.six]\nsensor = "image"\npath = "six.tif"\n[legend]')
    )


def _beside(land: Path, pixels: np.ndarray) -> Path:
    """Add an image on the grid of the map."""
    text = (land / "recipe.toml").read_text()
    path = write_raster(land / "more.tif", pixels)
    (land / "recipe.toml").write_text(
        text.replace("[legend]", '[sources.more]\nsensor = "image"\npath = "more.tif"\n[legend]')
    )
    return path


def _constant(land: Path) -> None:
    _beside(land, np.full((1, 60, 60), 7, np.uint16))


def _half_masked(land: Path) -> None:
    path = _beside(land, np.arange(3600, dtype=np.uint16).reshape(1, 60, 60))
    with rasterio.open(path, "r+") as d:
        d.write_mask((np.arange(60)[:, None] + np.arange(60)[None]) % 2 == 0)


def _saturated(land: Path) -> None:
    pixels = np.random.default_rng(0).normal(200, 40, (1, 60, 60)).clip(0, 255).astype(np.uint8)
    _beside(land, pixels)


def _linear_radar(land: Path) -> None:
    text = (land / "recipe.toml").read_text()
    power = np.random.default_rng(0).gamma(4, 30, (1, 60, 60)).astype(np.float32)
    write_raster(land / "vv.tif", power)
    (land / "recipe.toml").write_text(
        text.replace("[legend]", '[sources.s1]\nsensor = "image"\npath = "vv.tif"\nbands = ["vv"]\n[legend]')
    )


DEFECTS = [
    (_no_crs, "error", ("s2", "red.tif has no coordinate reference system", "--crs")),
    (_truncated, "error", ("s2", "nir.tif cannot be read: it is truncated", "again")),
    (_zero_band, "error", ("s2.nir", "6 of 6 files have only zeros", "remove the date or the band")),
    (_unscaled, "error", ("s2.nir", "are outside -0.2 to 1.5, the plausible range of reflectance", "scale (0.0001")),
    (_undeclared, "warning", ("s2.red", "nodata is not declared", "have the value 0", "nodata = 0")),
    (_cloudy, "warning", ("s2", "120 days without a clear date, from 2021-02-11 to 2021-06-11", "Add acquisitions")),
    (_inverted, "warning", ("s2", "5 % of its pixels on the map are valid", "quality layer")),
    (_invalid, "warning", ("reference", "1 invalid geometry", "Self-intersection", "Repair")),
    (_overlapping, "warning", ("reference", "1 overlap between polygons of different classes", "maize / meadow", "correct the polygons")),
    (_outside, "note", ("reference, maize", "1 polygon: outside the map", "CRS")),
    (_too_small, "warning", ("reference, maize", "1 polygon: too small to contain a pixel centre")),
    (_few, "error", ("class water", "1 usable polygon, 16 pixels", "merge the class")),
    (_unknown_label, "error", ("reference, 77", "1 polygon: label not in the legend", "ignore")),
    (_elsewhere, "error", ("far", "does not overlap the map", "[grid]")),
    (_half_pixel, "note", ("off", "are not aligned", "0.70 px south, 0.60 px east", "bilinear")),
    (_other_pixels, "note", ("six: its pixels (6) have another size than those of its target grid (5)", "bilinear")),
    (_constant, "warning", ("more.b1", "every valid pixel read has the value 7")),
    (_half_masked, "warning", ("more", "50 % of its pixels on the map are valid")),
    (_saturated, "warning", ("more.b1", "the largest value, 255: they are saturated")),
    (_linear_radar, "error", ("s1.vv", "the plausible range of backscatter in dB", "linear power")),
]  # fmt: skip


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What is found where nothing is spoilt, by severity."""
    path = written(tiny_landscape(tmp_path_factory.mktemp("sound") / "land"))
    return {severity: findings(path, severity) for severity in ("error", "warning", "note")}


@pytest.mark.parametrize(("spoil", "severity", "words"), DEFECTS, ids=[d[0].__name__[1:] for d in DEFECTS])
def test_planted_defect(sound, recipe, landscape: Path, spoil, severity: str, words: tuple[str, ...]) -> None:
    assert not told(sound[severity], *words)
    path = recipe()
    spoil(landscape)
    assert told(findings(path, severity), *words), findings(path)


def _regions(land: Path) -> str:
    """Two blended regions of the map: most pixels have the weight 1 in one of them."""
    left, top = CORNER
    halves = [box(left, top - 600, left + 300, top), box(left + 300, top - 600, left + 600, top)]
    gpd.GeoDataFrame({"region": ["a", "b"]}, geometry=halves, crs="EPSG:32740").to_file(land / "regions.gpkg")
    return 'sensor = "regions"\npath = "regions.gpkg"\nfield = "region"\nblend = 40'


def _history(land: Path) -> str:
    """An earlier map of two classes whose confidence is mostly 100: a constant band, and a band with one frequent value."""
    write_raster(land / "past.tif", np.ones((1, 60, 60), np.uint8))
    sure = np.where(np.arange(3600) % 10 < 8, 100, np.arange(3600) % 97).astype(np.uint8)
    write_raster(land / "sure.tif", sure.reshape(1, 60, 60))
    return 'sensor = "history"\nrasters = { 2020 = "past.tif" }\nconfidence = { 2020 = "sure.tif" }\nclasses = { one = [1] }'


@pytest.mark.parametrize("computed", [_regions, _history])
def test_a_source_that_bocage_computes_is_not_saturated(recipe, landscape: Path, computed) -> None:
    path = recipe()
    text = path.read_text()
    path.write_text(text.replace("[legend]", f"[sources.more]\n{computed(landscape)}\n[legend]"))
    lines = findings(path)
    assert told(lines, "more: 100 % of its pixels on the map are valid"), lines
    assert [line for line in lines if line.startswith("more.")] == []


def test_a_legend_that_knows_no_label_and_a_bad_recipe_are_told(recipe) -> None:
    path = recipe()
    text = path.read_text()
    path.write_text(text.replace('name = "meadow"', 'name = "meadow", values = ["grass"]'))
    assert told(findings(path, "error"), "reference, 2", "5 polygons: label not in the legend")
    path.write_text(text.replace("scale =", "scael ="))
    assert told(findings(path, "error"), "sources.s2.scael", "unknown key", "Did you mean 'scale'")


def test_a_disk_without_room_is_told(recipe, monkeypatch) -> None:
    usage = disk.shutil.disk_usage("/")
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    assert told(findings(recipe(), "error"), "disk", "where 0 GB are free", "another --out")


def test_every_fault_of_products_is_told_at_once(lands: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(lands["safe"], tmp_path / "land")
    bands = sorted((tmp_path / "land/s2").rglob("*_B04_10m.jp2"))
    bands[3].unlink()
    bands[9].write_bytes(bands[9].read_bytes()[:-30])
    lines = findings(tmp_path / "land/gru.toml", "error")
    assert told(lines, "s2: left out", "no file for band B04")
    assert told(lines, "s2: left out", bands[9].name, "truncated")


def test_the_command_prints_json_and_exits_1_on_errors(recipe, landscape: Path, capsys) -> None:
    path = recipe()
    assert main(["check", str(path), "--json", "--html", str(landscape / "check.html")]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["name"] == "tiny"
    assert {f["severity"] for f in said["findings"]} <= {"error", "warning", "note"}
    page = (landscape / "check.html").read_text()
    assert page.count("data:image/png") == 2, "a picture of the source and the timeline"
    (landscape / "s2/red.tif").unlink()
    assert main(["check", str(path)]) == 1
    assert "2 errors, 0 warnings, 0 notes" in capsys.readouterr().out


def test_the_page_in_the_language_of_the_report(recipe, landscape: Path) -> None:
    path = recipe(more='[report]\nlanguage = "fr"')
    for spoil in (
        _unscaled,
        _undeclared,
        _cloudy,
        _overlapping,
        _unknown_label,
        _few,
        _elsewhere,
        _half_pixel,
    ):
        spoil(landscape)
    seen = check(path)
    assert {"overlaps", "date_gap", "out_of_range", "no_overlap", "not_aligned"} <= {f.what.code for f in seen.findings}
    text, page = page_of(write_page(seen, landscape / "check.html"))
    assert page.language == "fr"
    assert not foreign(page)
    assert "does not overlap" not in text, "a source elsewhere is one finding, in French"
    assert "hors de l&#39;intervalle de -0,2 à 1,5" in text
    assert "Ajoutez des acquisitions ou un autre capteur" in text
    assert any("are outside -0.2 to 1.5" in str(f.what) for f in seen.findings), "the terminal is always English"


def test_findings_have_codes() -> None:
    seen = Finding.of("warning", Note.of("class_place", name="maize"), Note.of("few_polygons", n=4))
    assert seen.as_dict() == {
        "severity": "warning",
        "code": "few_polygons",
        "where": "class maize",
        "what": "4 usable polygons: the estimate of its accuracy will be very uncertain",
        "remedy": "Survey more polygons, or merge the class with another.",
    }
    assert seen.as_dict("fr")["where"] == "classe maize"


def test_a_shift_in_french() -> None:
    shift = Shift(1.0, -2.0, 0.5, 0.2).note((10, 10))
    shown = "1,0\u00a0px (10\u00a0m) vers le sud et 2,0\u00a0px (20\u00a0m) vers l'ouest"
    assert shift.text("fr") == shown
    finding = Finding.of("warning", "s2", Note.of("shifted", shift=shift, other="s1", before=0.2, after=0.5))
    assert finding.as_dict("fr")["what"].startswith(f"décalage de {shown} par rapport à s1")


def test_the_page_does_without_a_grid(recipe, landscape: Path) -> None:
    path = recipe()
    (landscape / "s2/red.tif").unlink()
    assert "no map grid: see the errors below" in write_page(check(path), landscape / "c.html").read_text()


def test_a_class_of_one_point_has_one_pixel() -> None:
    note = Note.of("too_few_polygons", n=1, pixels=Note.of("pixels", n=1), fewest=3)
    assert note.text().startswith("1 usable polygon, 1 pixel;")
    assert note.text("fr").startswith("1 polygone utilisable, 1 pixel\u00a0;")
    assert Note.of("polygons_pixels", n=1, pixels=Note.of("pixels", n=2)).text() == "1 polygon (2 pixels)"


# --- shifts
@pytest.fixture
def land() -> np.ndarray:
    """Six smooth layers over 90 x 110 pixels, and room around them to move in."""
    generator = np.random.default_rng(5)
    return np.stack([gaussian_filter(generator.standard_normal((110, 130)), 1.5) * 10 for _ in range(6)])


def seen(layers: np.ndarray) -> View:
    return View(layers, np.ones(layers.shape[1], bool), np.ones(layers.shape[2], bool))


@pytest.mark.parametrize(("south", "east"), [(0, 0), (1, 0), (0, -2), (-3, 3)])
def test_shifts_between_images_of_different_kind(land: np.ndarray, south: int, east: int) -> None:
    generator = np.random.default_rng(6)
    first = land[:4, 10:100, 10:120]
    other = np.tensordot(generator.standard_normal((3, 6)), land, 1)[
        :, 10 - south : 100 - south, 10 - east : 120 - east
    ]
    found = between(seen(first), seen(other + generator.standard_normal(other.shape)))
    assert found is not None
    assert (found.rows, found.columns) == (pytest.approx(south, abs=0.25), pytest.approx(east, abs=0.25))
    assert found.is_notable == ((south, east) != (0, 0))


def test_what_lies_beyond_reach_is_not_measured(land: np.ndarray) -> None:
    assert between(seen(land[:, 10:100, 10:120]), seen(land[:, 3:93, 10:120])) is None


def test_shifts_from_polygons() -> None:
    generator = np.random.default_rng(8)
    number = (np.arange(80)[:, None] // 9) * 20 + np.arange(90)[None] // 11
    color = generator.standard_normal((3, number.max() + 1))
    layers = np.stack([np.roll(c[number], (1, -2), (0, 1)) for c in color]) + 0.3 * generator.standard_normal(
        (3, 80, 90)
    )
    found = from_polygons(number, seen(layers))
    assert found is not None
    assert (round(found.rows), round(found.columns)) == (1, -2)
    assert str(found.note((10, 10))).endswith("west")


EXAMPLE = Path(__file__).parents[1] / "examples/flanders.toml"


def test_flanders_as_delivered(data: Path) -> None:
    assert not [f for f in check(EXAMPLE).findings if "agree with one another" in str(f.what) or f.severity == "error"]


@pytest.mark.parametrize(("east", "south", "word"), [(10, 0, "east"), (0, 10, "south")])
def test_flanders_moved_by_a_pixel(data: Path, tmp_path: Path, monkeypatch, east: int, south: int, word: str) -> None:
    """Both resolutions of Sentinel-2, 64 x 64 pixels of real fields; Sentinel-1 and the parcels stay.

    As delivered, Sentinel-2 lies some 0.6 pixel south of both already: the shift adds to that.
    """
    copy = tmp_path / "flanders/A_31UDS_2018"
    shutil.copytree(data / "flanders/A_31UDS_2018", copy, copy_function=shutil.copy)
    for path in copy.glob("S2_*.tif"):
        path.chmod(0o644)
        with rasterio.open(path, "r+") as d:
            d.transform = Affine.translation(east, -south) @ d.transform
    monkeypatch.setenv("BOCAGE_DATA", str(tmp_path))
    (line,) = [f for f in check(EXAMPLE).findings if f.what.code == "shifted_source"]
    assert line.where == "s2"
    what = str(line.what)
    size = float(
        what.split(f" m) {word} of" if f" m) {word} of" in what else f" m) {word}", maxsplit=1)[0].rsplit(
            "(", maxsplit=1
        )[-1]
    )
    assert size == pytest.approx(10 + 6 * (south > 0), abs=3), what


# --- sizes on the ground
DEGREES = Grid.from_bounds("EPSG:4326", 0.0001, (2.3, 48.8, 2.32, 48.82))
FEET = Grid.from_bounds("EPSG:2263", 32.8, (980_000, 190_000, 981_640, 191_640))


@pytest.mark.parametrize(
    ("grid", "shown", "move"),
    [
        (DEGREES, "1.0 px (11.1 m) south and 2.0 px (14.7 m) east", "-0.000200 east and +0.000100 north"),
        (FEET, "1.0 px (10 m) south and 2.0 px (20 m) east", "-65.6 east and +32.8 north"),
    ],
)
def test_shifts_are_in_metres_in_any_crs(grid: Grid, shown: str, move: str) -> None:
    moved = (Shift(1.0, 2.0, 0.5, 0.2), grid.resolution)
    (one,) = _findings({("s1", "s2"): moved}, 2, grid)
    assert shown in str(one.what)
    (one,) = _findings({("s1", "s2"): moved, ("s3", "s2"): moved}, 3, grid)
    assert shown in str(one.what)
    assert f"move s2 by {move}, in CRS units" in str(one.remedy)


def test_a_small_gain_is_reported_only_if_several_pairs_agree() -> None:
    def codes(*gains: float) -> list[str]:
        moved = {(f"s{k}", "s9"): (Shift(1.0, 0.0, 0.35, 0.35 - gain), 10.0) for k, gain in enumerate(gains)}
        return [one.what.code for one in _findings(moved, 1 + len(gains), FEET)]

    assert [codes(gain) for gain in (0.005, 0.01, 0.03)] == [[], [], ["shifted"]]
    assert codes(0.01, 0.01) == ["shifted_source"]
    assert codes(0.01, 0.005) == []


@pytest.mark.parametrize(("grid", "area"), [(DEGREES, 20 * 30 * 11.132**2 * 0.6586), (FEET, 20 * 30 * 9.9974**2)])
def test_overlaps_are_in_square_metres_in_any_crs(grid: Grid, area: float) -> None:
    west, south = grid.bounds[:2]
    side = grid.resolution
    shape = box(west, south, west + 30 * side, south + 20 * side)
    parts = np.array([shape, Polygon(), GeometryCollection([LineString([(0, 0), (1, 1)])])])
    assert _on_ground(parts, grid) == pytest.approx(area, rel=2e-3)


def test_bounds_in_degrees_have_decimals() -> None:
    assert str(_bounds(DEGREES)) == "(2.300000, 48.800000, 2.320000, 48.820000) in EPSG:4326"
    assert str(_bounds(FEET)).startswith("(980000, ")


def test_bands_of_two_resolutions_in_degrees_are_named_in_metres(tmp_path: Path) -> None:
    files = {}
    for name, side in (("red", 0.00009), ("swir16", 0.00018)):
        size = round(0.0036 / side)
        files[name] = tmp_path / f"{name}.tif"
        write_raster(
            files[name],
            np.ones((1, size, size), np.uint16),
            Place(side, (2.3, 48.8), "EPSG:4326"),
            descriptions=["2020-01-01"],
        )
    source = open_source("s2", series, series.Settings(variables=files))
    assert [str(label) for label in _views({"s2": source})] == ["s2 (10.01 m bands)", "s2 (20.02 m bands)"]
