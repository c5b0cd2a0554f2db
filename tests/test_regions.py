"""Maps of regions beside the map of a run: several side by side, made again after a change, the run untouched."""

from types import SimpleNamespace

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine

from bocage.cli import main
from bocage.errors import MappingError
from bocage.grid import Grid, Window
from bocage.mapping.region import read_region
from bocage.samples.unlabelled import CELL, PLACES, Drawing, scatter
from conftest import not_finite

WEST_PART, EAST_PART = (2, 3, 12, 14), (20, 3, 33, 20)
"""First column, first row, last column, last row."""


def polygon(out, box):
    """A rectangle of whole pixels of the run's map."""
    with rasterio.open(out / "map/classes.tif") as dataset:
        (west, north), (east, south) = (dataset.transform @ corner for corner in (box[:2], box[2:]))
    return shapely.box(west, south, east, north)


def written(path, out, *boxes, crs=None):
    with rasterio.open(out / "map/classes.tif") as dataset:
        here = dataset.crs.to_wkt()
    table = geopandas.GeoDataFrame({"tile": [str(k) for k in range(len(boxes))]}, geometry=list(boxes), crs=here)
    (table.to_crs(crs) if crs else table).to_file(path)
    return path


def codes(folder):
    with rasterio.open(folder / "classes.tif") as dataset:
        return dataset.read(1)


def state(out):
    """Content of the run's own results."""
    files = [*(out / "map").glob("[!.]*"), out / "score.json", out / "report.html", out / "report.json"]
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


@pytest.fixture
def done(finished, tmp_path):
    run = finished()
    return run.recipe, run.copied(tmp_path / "out")


def command(recipe, out, *more):
    return main(["map", str(recipe), "--out", str(out), *map(str, more)])


@pytest.mark.slow
def test_regions_side_by_side_leave_the_run_as_it_is(done, tmp_path, capsys):
    recipe, out = done
    before = state(out)
    west = written(tmp_path / "west.gpkg", out, polygon(out, WEST_PART))
    both = written(tmp_path / "both.gpkg", out, polygon(out, WEST_PART), polygon(out, EAST_PART), crs="EPSG:4326")
    assert command(recipe, out, "--region", west) == 0
    assert command(recipe, out, "--region", both, "--where", "tile = '1'", "--name", "the east") == 0
    said = capsys.readouterr()
    assert str(out / "maps/the east/classes.tif") in said.out
    assert "is reprojected from EPSG:4326 to" in said.err
    assert state(out) == before
    whole = codes(out / "map")
    for name, (left, top, right, bottom) in {"west": WEST_PART, "the east": EAST_PART}.items():
        folder, expected = out / "maps" / name, np.zeros_like(whole)
        expected[top:bottom, left:right] = whole[top:bottom, left:right]
        assert np.array_equal(codes(folder), expected)
        assert {"confidence.tif", "areas.csv", "item.json", "checksums.sha256"} <= {p.name for p in folder.iterdir()}
    assert main(["report", str(recipe), "--out", str(out)]) == 0, "the folder is still that of its recipe"


def test_a_region_is_made_again_after_its_file_changed_and_not_before(done, tmp_path, capsys):
    recipe, out = done
    path = written(tmp_path / "part.gpkg", out, polygon(out, WEST_PART))
    assert command(recipe, out, "--region", path) == 0
    first = codes(out / "maps/part")
    capsys.readouterr()
    assert command(recipe, out, "--region", path) == 0
    assert "region/part: up to date" in capsys.readouterr().err
    path.unlink()
    written(path, out, polygon(out, EAST_PART))
    assert command(recipe, out, "--region", path) == 0
    assert not np.array_equal(codes(out / "maps/part"), first)
    (out / "maps/part/confidence.tif").write_bytes(b"damaged")
    assert command(recipe, out, "--region", path) == 0
    said = capsys.readouterr().err
    assert "confidence.tif is missing or was changed since; the stage is repeated" in said
    assert "windows are there already" in said, "nothing is computed twice"


def test_another_region_does_not_replace_one_of_the_same_name(done, tmp_path, capsys):
    recipe, out = done
    path = written(tmp_path / "part.gpkg", out, polygon(out, WEST_PART), polygon(out, EAST_PART))
    (tmp_path / "elsewhere").mkdir()
    other = written(tmp_path / "elsewhere/part.gpkg", out, polygon(out, EAST_PART))
    assert command(recipe, out, "--region", path, "--where", "tile = '0'") == 0
    before = codes(out / "maps/part")
    for more in (("--region", path), ("--region", other, "--where", "tile = '0'")):
        capsys.readouterr()
        assert command(recipe, out, *more) == 1
        assert "has a map of another region or day" in capsys.readouterr().err
    assert np.array_equal(codes(out / "maps/part"), before)
    assert command(recipe, out, "--region", path, "--overwrite") == 0
    assert not np.array_equal(codes(out / "maps/part"), before)


@pytest.mark.parametrize(
    ("boxes", "crs", "message"),
    [
        ([(-900, 0, -800, 20)], None, "is outside the map"),
        ([(-900, 0, -800, 20)], "EPSG:4326", "is outside the map"),
        ([], None, "has no polygon; found 0 features"),
        ([(2.1, 3.1, 2.4, 3.4)], None, "contains no pixel centre of the map"),
    ],
)
def test_a_region_that_cannot_be_mapped_is_one_line(done, tmp_path, capsys, boxes, crs, message):
    recipe, out = done
    path = written(tmp_path / "part.gpkg", out, *(polygon(out, box) for box in boxes), crs=crs)
    capsys.readouterr()
    assert command(recipe, out, "--region", path) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert len(said) == 1
    assert message in said[0]
    assert str(path) in said[0]
    assert not (out / "maps").exists()


def test_a_part_outside_the_map_is_reported(done, tmp_path, capsys):
    recipe, out = done
    path = written(tmp_path / "part.gpkg", out, polygon(out, (-10, 3, 10, 14)))
    assert command(recipe, out, "--region", path) == 0
    assert f"50.0% of the region {path} is outside the map" in capsys.readouterr().err


def test_names_that_mean_nothing_are_refused(done, tmp_path, capsys):
    recipe, out = done
    assert command(recipe, out, "--name", "x") == 2
    assert command(recipe, out, "--where", "tile = '1'") == 2
    assert "'region', which is not given" in capsys.readouterr().err
    path = written(tmp_path / "part.gpkg", out, polygon(out, WEST_PART))
    assert command(recipe, out, "--region", path, "--name", "../../../x") == 0
    assert len(list((out / "maps").iterdir())) == 1, "a name is never a path"


GRID = Grid.of("EPSG:32740", Affine(10, 0, 300_000, 0, -10, 7_650_000), (20, 30))
INSIDE = shapely.box(300_020, 7_649_900, 300_100, 7_649_980)


def read(folder, *shapes, crs="EPSG:32740"):
    path = folder / "zones.gpkg"
    geopandas.GeoDataFrame(geometry=list(shapes), crs=crs).to_file(path)
    return read_region(path, "", "", GRID)


@pytest.mark.parametrize("crs", ["EPSG:32740", "EPSG:4326"])
def test_a_polygon_without_finite_coordinates_is_left_out_of_a_region(tmp_path, crs):
    inside = geopandas.GeoSeries([INSIDE], crs="EPSG:32740").to_crs(crs)[0]
    odd = not_finite(np.nan, np.inf)
    found = read(tmp_path, inside, *odd, crs=crs)
    assert found.inside(GRID, GRID.window).sum() == 64
    assert any("2 of 3 features of the region" in remark for remark in found.remarks)


def test_regions_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(MappingError, match="has no polygon; found 1 features"):
        read(tmp_path, shapely.Polygon([(300_000, 7_650_000), (300_010, 7_649_990), (300_050, 7_649_950)]))
    with pytest.raises(MappingError, match="cannot be transformed from EPSG:4326 to EPSG:32740.*clip the polygons"):
        read(tmp_path, shapely.box(50, 0, 60, 95), crs="EPSG:4326")


@pytest.mark.parametrize(("many", "side"), [(64, 4), (1000, 8), (1, 8)])
def test_pixels_are_drawn_inside_the_region(tmp_path, many, side):
    """A square, and a triangle that reaches beyond the map and into its last, incomplete squares."""
    triangle = shapely.Polygon([(300_150, 7_649_700), (300_400, 7_649_700), (300_400, 7_650_000)])
    region = read(tmp_path, INSIDE, triangle)
    inside = region.inside(GRID, GRID.window)
    scene = SimpleNamespace(grid=GRID, ids=None)
    drawn = Drawing(3, region).pixels(scene, many, first=5, side=side)
    found = np.zeros(GRID.shape, int)
    np.add.at(found, (drawn.row, drawn.column), 1)
    assert found.max() == 1
    assert not found[~inside].any()
    assert min(many, inside.sum()) <= len(drawn) <= many + side**2
    if many > inside.sum():
        assert (found[inside] == 1).all()
    squares = np.unique(np.stack([drawn.row // side, drawn.column // side, drawn.polygon]), axis=1)
    assert squares[2].tolist() == list(range(5, 5 + squares.shape[1])), "a number for each square"
    assert Drawing(3, region).pixels(scene, many, 5, side).row.tolist() == drawn.row.tolist()
    where = np.unique(Drawing(4, region).pixels(scene, 64, side=4).polygon)
    assert len(where) > 1


class Left:
    """The first columns of a scene, as an area."""

    def __init__(self, columns):
        self.columns = columns

    def around(self, grid):
        return Window(0, 0, grid.shape[0], self.columns)

    def contains(self, grid, row, column):
        return column < self.columns


def tile(side):
    """A scene that has a grid only, as large as `side` pixels."""
    grid = Grid.from_bounds("EPSG:32631", 10, (0, 0, 10 * side, 10 * side))
    return SimpleNamespace(grid=grid, ids=None)


@pytest.mark.parametrize("area", [None, Left(10_000), Left(700)])
def test_pixels_that_describe_a_large_scene_lie_in_few_blocks(area):
    scene = tile(10_980)
    drawn = Drawing(3, area, PLACES).pixels(scene, 2048, first=5, side=4)
    assert 2048 <= len(drawn) <= 2048 + 16
    assert len({*zip(drawn.row, drawn.column, strict=True)}) == len(drawn)
    cells = np.unique(np.stack([drawn.row // CELL, drawn.column // CELL, drawn.polygon]), axis=1)
    assert cells[2].tolist() == list(range(5, 5 + PLACES)), "a number for each cell"
    squares = np.unique(np.stack([drawn.row // 4, drawn.column // 4, drawn.polygon]), axis=1)[2]
    assert np.bincount(squares)[5:].tolist() == [2048 // 16 // PLACES] * PLACES, "as many squares in each cell"
    if area is not None:
        assert drawn.column.max() < area.columns
    anywhere = Drawing(3, area).pixels(scene, 2048, side=4)
    assert len(np.unique(anywhere.polygon)) == 128


def test_a_small_scene_and_a_small_area_have_pixels_anywhere():
    small = tile(2_560)
    plain, limited = (scatter(small, 2048, 3, side=4, places=places) for places in (0, PLACES))
    assert all((one == other).all() for one, other in zip(vars(plain).values(), vars(limited).values(), strict=True))
    few = Drawing(3, Left(3), PLACES).pixels(tile(30_000), 80_000, side=4)
    assert len(few) >= 80_000, "the cells after the first have pixels, too"
    assert len(np.unique(few.polygon)) > PLACES
