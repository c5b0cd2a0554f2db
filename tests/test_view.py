"""``bocage view``: its server refuses strangers, its tiles are the pixels of the map, and a click gives the values of the scene."""

import datetime
import http.client
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import numpy as np
import pyogrio
import pytest
import rasterio
from affine import Affine
from PIL import Image
from pyproj import Geod, Transformer

from bocage.cli import main
from bocage.errors import RunFolderError, ViewError
from bocage.evaluation import Predictions
from bocage.grid import Window
from bocage.jobs.finish import finish
from bocage.jobs.run import run
from bocage.jobs.view import check_pair, open_in_browser, viewer_of
from bocage.legend import LandClass, Legend
from bocage.mapping import WRITERS, MapBand, attention_at
from bocage.recipe import read_recipe
from bocage.run import open_run, open_scene
from bocage.view import Viewed, Viewer, open_viewed
from bocage.view import server as serving
from bocage.words import sentence
from conftest import MULTIRESOLCC, PAN_MS, S2
from test_zones_and_change import delivered, random_codes


@pytest.fixture(autouse=True)
def _built(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server without the built page, which only the tests in a browser need."""
    monkeypatch.setattr(serving, "static_files", lambda: dict.fromkeys(serving.STATIC, b"built"))


@contextmanager
def served(*runs: Viewed, **settings) -> Iterator[Viewer]:
    viewer = Viewer(runs, **settings)
    viewer.start()
    try:
        yield viewer
    finally:
        viewer.stop()


def ask(viewer: Viewer, path: str, method: str = "GET", token: str | None = None, **headers: str):
    """Status, headers and body of an answer."""
    address = urlsplit(viewer.address)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    connection.request(method, f"/{viewer.token if token is None else token}/{path}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers, body


def told(viewer: Viewer, path: str):
    """The JSON of an answer that is no refusal."""
    status, _, body = ask(viewer, path)
    assert status == 200, body
    return json.loads(body)


def pixels(viewer: Viewer, path: str):
    status, headers, body = ask(viewer, path)
    assert (status, headers["Content-Type"]) == (200, "image/png"), body
    return np.array(Image.open(io.BytesIO(body)).convert("RGBA"))


@pytest.fixture
def viewed(finished) -> Viewed:
    return open_viewed(finished(more='layers = ["classes", "confidence", "probabilities", "validity"]').out)


def test_a_site_of_a_run_without_sites_is_an_error(finished):
    with pytest.raises(ViewError, match="is not a run of several sites"):
        viewer_of([finished().out], site="anything")


REFUSED = {
    "no token": ("runs", "", {}),
    "another token": ("runs", "x" * 32, {}),
    "a token that is not ASCII": ("runs", "%C3%A9", {}),
    "another host": ("runs", None, {"Host": "evil.example:80"}),
    "the name of a host with another port": ("runs", None, {"Host": "127.0.0.1:1"}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_strangers_are_refused(viewed, case):
    path, token, headers = REFUSED[case]
    with served(viewed) as viewer:
        status, _, body = ask(viewer, path, token=token, **headers)
        assert status == 403
        assert b"classes" not in body


@pytest.mark.parametrize(
    "path",
    ["../../etc/passwd", "static/../../recipe.toml", "static/%2e%2e/page.html", "layer/0/../../recipe.toml/0/0/0.png",
     "layer/0/areas.csv/0/0/0.png", "layer/7/classes/0/0/0.png", "recipe.toml", "image/0/nothing/0/0/0/0.png", "static/app.py"],
)  # fmt: skip
def test_no_path_of_a_request_reaches_the_disk(viewed, path):
    with served(viewed) as viewer:
        assert ask(viewer, path)[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [("pixel/0?row=x&column=0", 400), ("pixel/0?row=-1&column=0", 404), ("pixel/0?row=9999999&column=0", 404), ("pixel/0", 400),
     ("layer/0/classes/0/9/9.png", 404), ("layer/0/classes/99/0/0.png", 404), ("layer/0/classes/0/0/0.png?band=2", 404),
     ("layer/0/classes/0/0.png", 404), ("layer/0/classes/0/0/0.png?only=a", 400), ("vectors/0?bounds=1,2", 400), ("pixel/0?row=--1&column=0", 400), ("pixel/0?row=%D9%A3&column=0", 400),
     ("layer/0", 404)],
)  # fmt: skip
def test_bad_parameters_are_answered_with_a_sentence(viewed, path, status):
    with served(viewed) as viewer:
        found, _, body = ask(viewer, path)
        assert found == status
        assert json.loads(body)["error"]


def test_only_reading_is_answered(viewed):
    with served(viewed) as viewer:
        assert ask(viewer, "runs", method="POST")[0] == 501
        status, headers, body = ask(viewer, "runs", method="HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["Content-Length"]) > 100


def test_server_listens_to_this_machine_only_and_the_page_loads_nothing_from_elsewhere(viewed):
    with served(viewed) as viewer:
        assert viewer.server.server_address[0] == "127.0.0.1"
        _, headers, body = ask(viewer, "")
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self';" in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert b"http" not in body
        assert ask(viewer, "static/app.js")[2] == b"built"


def test_two_viewers_of_one_run_have_their_own_port_and_token(viewed, finished):
    with served(viewed) as one, served(open_viewed(viewed.layout.path)) as other:
        assert one.address != other.address
        assert told(one, "runs") == told(other, "runs")
        assert ask(other, "runs", token=one.token)[0] == 403


def test_a_port_in_use_is_one_line(viewed):
    with served(viewed) as viewer, pytest.raises(ViewError, match="cannot be used") as error:
        Viewer((viewed,), port=viewer.server.server_port)
    assert "\n" not in str(error.value)


def test_tiles_are_the_pixels_of_the_map(viewed):
    codes = rasterio.open(viewed.layers["classes"].path).read(1)
    expected = np.zeros((*codes.shape, 4), np.uint8)
    for k, code in enumerate(viewed.legend.codes):
        expected[codes == code] = (*viewed.legend.rgb(k), 255)
    with served(viewed) as viewer:
        tile = pixels(viewer, f"layer/0/classes/{viewed.pyramid.native}/0/0.png")
        height, width = codes.shape
        assert (tile[:height, :width] == expected).all()
        assert not tile[height:].any()
        assert not tile[:, width:].any()


def test_tiles_of_a_map_of_several_tiles_join(viewed, monkeypatch):
    """Every tile starts where the one before it ends."""
    monkeypatch.setattr("bocage.view.pyramid.TILE", 16)
    codes = rasterio.open(viewed.layers["classes"].path).read(1)
    colors = np.zeros((256, 3), np.uint8)
    colors[list(viewed.legend.codes)] = [viewed.legend.rgb(k) for k in range(len(viewed.legend.codes))]
    level = viewed.pyramid.native
    assert level >= 1
    with served(viewed) as viewer:
        for row, column in np.ndindex(*(-(-n // 16) for n in codes.shape)):
            part = codes[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16]
            tile = pixels(viewer, f"layer/0/classes/{level}/{row}/{column}.png")[: part.shape[0], : part.shape[1]]
            assert (tile[..., :3] == colors[part]).all()
            assert (tile[..., 3] == np.where(part, 255, 0)).all()


def test_legend_filters_classes(viewed):
    codes = rasterio.open(viewed.layers["classes"].path).read(1)
    kept = viewed.legend.codes[0]
    level = viewed.pyramid.native
    with served(viewed) as viewer:
        tile = pixels(viewer, f"layer/0/classes/{level}/0/0.png?only={kept}")[: codes.shape[0], : codes.shape[1]]
        assert ((tile[..., 3] == 255) == (codes == kept)).all()
        assert not pixels(viewer, f"layer/0/classes/{level}/0/0.png?only=").any()


def test_every_layer_of_the_map_has_tiles(viewed):
    with served(viewed) as viewer:
        for layer in told(viewer, "runs")[0]["layers"]:
            for band in range(len(layer["bands"])):
                assert pixels(viewer, f"layer/0/{layer['name']}/0/0/0.png?band={band + 1}")[..., 3].any()


def test_confidence_is_brighter_where_it_is_higher(viewed):
    values = rasterio.open(viewed.layers["confidence"].path).read(1)
    with served(viewed) as viewer:
        tile = pixels(viewer, f"layer/0/confidence/{viewed.pyramid.native}/0/0.png")[
            : values.shape[0], : values.shape[1]
        ]
    light = tile[..., :3].astype(float) @ [0.3, 0.59, 0.11]
    known = values != 255
    assert np.corrcoef(light[known], values[known])[0, 1] > 0.98
    assert ((tile[..., 3] == 255) == known).all()


def test_imagery_is_the_stretched_values_of_the_source(viewed):
    scene = open_scene(viewed.recipe)
    source = scene.cubes["s2"].source
    with served(viewed) as viewer:
        found = told(viewer, "scene/0")["sources"][0]
        tile = pixels(viewer, f"image/0/{found['name']}/{found['date']}/{viewed.pyramid.native}/0/0.png")
    values, valid = source.read(viewed.grid, viewed.grid.window, "nearest")
    height, width = viewed.grid.shape
    band = values[found["date"], source.bands.index(found["bands"][0])].astype(float)
    shown = tile[:height, :width, 0].astype(float)
    inner = valid[found["date"]] & (shown > 0) & (shown < 255)
    assert inner.sum() > 100
    assert np.corrcoef(band[inner], shown[inner])[0, 1] > 0.999
    assert found["days"] == source.days.tolist()


def test_a_click_gives_the_series_of_the_scene(viewed):
    cube = open_scene(viewed.recipe).cubes["s2"]
    values, valid = cube.source.read(cube.grid, cube.grid.window, "nearest")
    row, column = np.argwhere(valid.any(0) & ~valid.all(0))[7].tolist()
    with served(viewed) as viewer:
        (series,) = told(viewer, f"series/0?row={row}&column={column}")
    clear = valid[:, row, column]
    assert series["days"] == cube.source.days.tolist()
    assert series["clear"] == clear.tolist()
    assert 0 < sum(series["clear"]) < len(clear)
    for k, band in enumerate(cube.source.bands):
        assert series["bands"][k] == band
        expected = [
            pytest.approx(v) if known else None for v, known in zip(values[:, k, row, column], clear, strict=True)
        ]
        assert series["values"][k] == expected
    whole = cube.compute(cube.grid.window)
    assert series["filled"]["days"] == cube.days.tolist()
    ndvi = cube.bands.index("ndvi")
    assert series["filled"]["values"][ndvi] == pytest.approx(whole.values[:, ndvi, row, column].tolist(), abs=1e-5)


def test_a_click_gives_the_values_of_the_map(viewed):
    row, column = 11, 23
    with served(viewed) as viewer:
        shown = told(viewer, f"pixel/0?row={row}&column={column}")
    at = {name: rasterio.open(layer.path).read()[:, row, column] for name, layer in viewed.layers.items()}
    assert shown["code"] == at["classes"][0]
    assert shown["layers"]["confidence"] == at["confidence"].tolist()
    assert shown["layers"]["validity"] == at["validity"].tolist()
    assert shown["probabilities"] == pytest.approx((at["probabilities"] / 100).tolist())
    assert shown["probabilities_from"] == "map"
    x, y = viewed.grid.transform @ (column + 0.5, row + 0.5)
    assert (shown["x"], shown["y"]) == pytest.approx((x, y))
    assert -180 <= shown["longitude"] <= 180


@pytest.mark.slow
def test_without_the_layer_probabilities_are_those_of_the_test_or_of_the_model(finished):
    viewed = open_viewed(finished().out)
    tested = Predictions.from_parquet(viewed.layout.split(0).test)
    row, column = int(tested.row[3]), int(tested.column[3])
    with served(viewed) as viewer:
        shown = told(viewer, f"pixel/0?row={row}&column={column}")
        model = told(viewer, f"model/0?row={row}&column={column}")
    assert shown["probabilities_from"] == "test"
    assert shown["probabilities"] == pytest.approx(tested.probabilities[3].tolist())
    assert model["probabilities"] == pytest.approx(tested.probabilities[3].tolist(), abs=1e-5)
    assert model["attention"] == {}


@pytest.mark.slow
def test_probabilities_have_the_classes_of_the_model_in_a_run_without_a_map(recipe, tmp_path):
    """The recipe has a class without polygons, which the model lacks."""
    classes = {"classes = [": 'classes = [\n  {{ code = 9, name = "quarry" }},'.replace("{{", "{").replace("}}", "}")}
    path, out = recipe(**classes, **{"draws = 2": 'draws = 1\nrare = "drop"'}), tmp_path / "run"
    run(read_recipe(path), out, stages=("train", "evaluate"))
    viewed = open_viewed(out)
    tested = Predictions.from_parquet(viewed.layout.split(0).test)
    row, column = int(tested.row[3]), int(tested.column[3])
    with served(viewed) as viewer:
        (about,) = told(viewer, "runs")
        shown = told(viewer, f"pixel/0?row={row}&column={column}")
        model = told(viewer, f"model/0?row={row}&column={column}")
    assert [one["name"] for one in about["classes"]] == ["quarry", "maize", "meadow", "water"]
    expected = [None, *tested.probabilities[3].tolist()]
    assert shown["probabilities"] == expected
    assert model["probabilities"][0] is None
    assert model["probabilities"][1:] == pytest.approx(expected[1:], abs=1e-5)


@pytest.mark.slow
def test_the_model_of_a_pixel_has_the_dates_of_the_map(recipe, tmp_path):
    native = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
    path = recipe('name = "patchwork"\npreset = "small"\nfilters = [4, 8]', native, more="until = 2021-04-30")
    run(read_recipe(path), tmp_path / "run")
    viewed = open_viewed(tmp_path / "run")
    last = datetime.date(2021, 4, 30)
    assert viewed.until == last
    assert max(viewed.scene.cubes["s2"].days) > (last - datetime.date(1970, 1, 1)).days
    with served(viewed) as viewer:
        days = told(viewer, "model/0?row=11&column=23")["attention"]["s2"]["days"]
    assert max(days) <= (last - datetime.date(1970, 1, 1)).days


def test_reference_polygons_have_their_part_and_errors(viewed, finished):
    run = open_run(read_recipe(viewed.recipe.path), viewed.layout.path)
    draw, tested = run.samples.draw(0), Predictions.from_parquet(viewed.layout.split(0).test)
    with served(viewed) as viewer:
        features = told(viewer, "polygons/0")["features"]
    by_number = {f["properties"]["polygon"]: f["properties"] for f in features}
    for part, members in draw.parts.items():
        for polygon in np.unique(run.samples.polygon[members]):
            assert by_number[int(polygon)]["part"] == part
    for polygon in np.unique(tested.polygon):
        own = tested.polygon == polygon
        assert by_number[int(polygon)]["tested"] == own.sum()
        assert by_number[int(polygon)]["wrong"] == (own & ~tested.right).sum()


@pytest.fixture
def mistaken(finished, tmp_path) -> tuple[Path, Predictions]:
    """A run whose model took class 0 for class 1 at some test pixels."""
    out = finished().copied(tmp_path / "run")
    path = out / "splits/0/test.parquet"
    tested = Predictions.from_parquet(path)
    predicted = tested.label.copy()
    predicted[np.flatnonzero(tested.label == 0)[:4]] = 1
    predicted[np.flatnonzero(tested.label == 2)[:1]] = 0
    certain = np.eye(tested.probabilities.shape[1], dtype=np.float32)[predicted]
    tested = replace(tested, predicted=predicted, probabilities=certain)
    tested.to_parquet(path)
    return out, tested


def test_bookmarks_are_the_confusions_with_the_most_pixels(mistaken):
    out, tested = mistaken
    with served(open_viewed(out)) as viewer:
        first, second = told(viewer, "bookmarks/0")
    assert (first["reference"], first["mapped"], first["pixels"]) == ("maize", "meadow", 4)
    assert (second["reference"], second["mapped"], second["pixels"]) == ("water", "maize", 1)
    assert first["share"] == pytest.approx(4 / (tested.label == 0).sum())
    there = (tested.row == first["row"]) & (tested.column == first["column"])
    assert (tested.label[there], tested.predicted[there]) == (0, 1)


def test_test_pixels_are_red_where_wrong_at_every_level(mistaken):
    out, tested = mistaken
    viewed = open_viewed(out)
    with served(viewed) as viewer:
        tile = pixels(viewer, f"layer/0/test/{viewed.pyramid.native}/0/0.png")
    red = tile[..., 0] > 200
    expected = np.zeros(red.shape, bool)
    expected[tested.row[~tested.right], tested.column[~tested.right]] = True
    assert (red == expected).all()
    assert (tile[..., 3] > 0).sum() == len(tested)


MARKUP = '<img src=x onerror="alert(1)">&\'</script>'


def test_markup_in_names_is_text(viewed):
    """In the page, markup is escaped; in JSON, it is a text of a type that is never run."""
    viewed = replace(viewed, name=MARKUP, legend=Legend((LandClass(1, MARKUP),)))
    with served(viewed) as viewer:
        _, headers, body = ask(viewer, "")
        assert headers["Content-Type"].startswith("text/html")
        assert b"<img" not in body
        assert b"&lt;img" in body
        _, headers, body = ask(viewer, "runs")
        assert headers["Content-Type"].startswith("application/json")
        assert json.loads(body)[0]["classes"][0]["name"] == MARKUP


def test_scripts_of_the_page_never_set_markup():
    """Names reach the page as text: no script of ours uses a property that parses markup."""
    folder = Path(serving.__file__).parent / "web/src"
    scripts = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.js"))
    assert "replaceChildren" in scripts
    for parser in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http"):
        assert parser not in scripts


def test_a_missing_layer_is_named_and_the_others_are_shown(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    (out / "map/confidence.tif").unlink()
    viewed = open_viewed(out)
    assert viewed.notes("en") == [sentence("view_moved_layer", "en", layer="confidence", file="confidence.tif")]
    with served(viewed) as viewer:
        assert [layer["name"] for layer in told(viewer, "runs?lang=fr")[0]["layers"]] == ["classes"]
        assert told(viewer, "runs?lang=fr")[0]["missing"] == viewed.notes("fr")


def test_a_damaged_layer_is_named(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    path = out / "map/confidence.tif"
    path.write_bytes(path.read_bytes()[:300])
    (note,) = open_viewed(out).notes("en")
    assert "confidence" in note


def test_a_file_that_moves_while_the_page_is_open_is_a_sentence(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    with served(open_viewed(out)) as viewer:
        assert ask(viewer, "layer/0/classes/0/0/0.png")[0] == 200
        (out / "map/classes.tif").rename(tmp_path / "elsewhere.tif")
        status, _, body = ask(viewer, "layer/0/classes/0/0/0.png")
        assert status == 404
        assert "classes.tif cannot be read" in json.loads(body)["error"]
        assert ask(viewer, "runs")[0] == 200


def test_a_source_that_moves_while_the_page_is_open_is_a_sentence(finished, tmp_path):
    folder = Path(shutil.copytree(finished().recipe.parents[1], tmp_path / "all"))
    viewed = open_viewed(folder / "out", recipe=folder / "land/recipe.toml")
    with served(viewed) as viewer:
        assert "error" not in told(viewer, "series/0?row=3&column=3")[0]
        (folder / "land/s2/nir.tif").rename(tmp_path / "elsewhere.tif")
        assert "nir.tif" in told(viewer, "series/0?row=3&column=3")[0]["error"]


def test_a_recipe_that_moved_leaves_the_map(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    record = json.loads((out / "provenance.json").read_text())
    (out / "provenance.json").write_text(json.dumps(record | {"recipe": str(tmp_path / "gone.toml")}))
    viewed = open_viewed(out)
    assert "gone.toml" in viewed.notes("en")[0]
    with served(viewed) as viewer:
        assert told(viewer, "scene/0")["sources"] == []
        assert told(viewer, "polygons/0")["features"] == []
        assert told(viewer, "bookmarks/0") == []
        assert told(viewer, "series/0?row=3&column=3") == []
        assert pixels(viewer, "layer/0/classes/0/0/0.png").any()
    assert open_viewed(out, recipe=finished().recipe).notes("en") == []


def test_an_unfinished_run_shows_imagery_and_polygons_and_says_what_is_missing(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    for name in ("map", "splits", "score.json"):
        path = out / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    viewed = open_viewed(out)
    assert viewed.notes("en") == [sentence("view_no_map", "en"), sentence("view_no_score", "en")]
    with served(viewed) as viewer:
        (run,) = told(viewer, "runs")
        assert (run["layers"], run["tested"], run["polygons"]) == ([], False, True)
        assert told(viewer, "scene/0")["sources"]
        assert {f["properties"]["part"] for f in told(viewer, "polygons/0")["features"]} >= {"train", "test"}
        shown = told(viewer, "pixel/0?row=3&column=3")
        assert (shown["code"], shown["probabilities"]) == (None, None)
        assert told(viewer, "model/0?row=3&column=3") == {"probabilities": None, "attention": {}}


def test_a_folder_without_anything_to_show_is_refused(tmp_path):
    with pytest.raises(RunFolderError, match="no complete map"):
        open_viewed(tmp_path)
    with pytest.raises(RunFolderError, match="does not exist"):
        open_viewed(tmp_path / "nothing")


def test_a_run_on_tables_has_no_map_to_show(finished, tmp_path, monkeypatch):
    out = finished().copied(tmp_path / "run")
    shutil.rmtree(out / "map")
    monkeypatch.setattr("bocage.view.viewed.open_scene", lambda recipe, out: SimpleNamespace(ids=("a", "b")))
    with pytest.raises(RunFolderError, match="tables of series"):
        open_viewed(out)


def test_a_defect_is_answered_without_secrets(viewed, monkeypatch):
    def broken(*_):
        raise ValueError("postgresql://user:hidden-word@host/base")

    monkeypatch.setattr("bocage.view.answers.described", broken)
    with served(viewed) as viewer:
        status, _, body = ask(viewer, "runs")
        assert status == 500
        assert b"hidden-word" not in body
        assert ask(viewer, "")[0] == 200


def test_two_runs_are_served_together_unless_their_grids_differ(viewed):
    other = open_viewed(viewed.layout.path)
    with served(viewed, other) as viewer:
        assert len(told(viewer, "runs")) == 2
        assert (pixels(viewer, "layer/0/classes/0/0/0.png") == pixels(viewer, "layer/1/classes/0/0/0.png")).all()
    check_pair([viewed, other])
    grid = viewed.grid
    moved = replace(other, grid=type(grid).of("EPSG:32633", grid.transform, grid.shape))
    with pytest.raises(ViewError, match="EPSG:32633"):
        check_pair([viewed, moved])
    far = replace(other, grid=type(grid).of(grid.crs, grid.transform @ grid.transform.translation(9999, 0), grid.shape))
    with pytest.raises(ViewError, match="do not overlap"):
        check_pair([viewed, far])


def test_the_page_speaks_the_language_that_is_asked(viewed):
    with served(viewed) as viewer:
        assert b'<html lang="fr">' in ask(viewer, "?lang=fr")[2]
        assert b'<html lang="en">' in ask(viewer, "?lang=xx")[2]


def test_without_a_browser_the_address_remains(monkeypatch):
    monkeypatch.setattr("webbrowser.open", lambda address: False)
    assert not open_in_browser("http://127.0.0.1:1/")


def test_a_page_that_is_not_built_is_one_line(monkeypatch, viewed):
    monkeypatch.undo()
    monkeypatch.setattr(serving, "STATIC", {"absent.js": ""})
    with pytest.raises(ViewError, match="make viewer"):
        Viewer((viewed,))


def test_a_map_without_its_run_is_shown(finished, tmp_path):
    folder = Path(shutil.copytree(finished().out / "map", tmp_path / "alone"))
    viewed = open_viewed(folder)
    assert viewed.notes("en") == [sentence("view_no_recipe", "en")]
    with served(viewed) as viewer:
        assert pixels(viewer, "layer/0/classes/0/0/0.png").any()
        assert told(viewer, "pixel/0?row=3&column=3")["code"] in viewed.legend.codes
        assert told(viewer, "scene/0")["sources"] == []


def test_the_map_by_object_or_parcel_is_a_layer_of_classes(tmp_path):
    land = delivered(tmp_path / "map", random_codes()[0])
    voted = random_codes(1)[0]
    band = MapBand("class", "uint8", 0, categorical=True)
    output = WRITERS.get("cog").open(land.layout.voted, land.grid, (band,), land.legend)
    output.put(land.grid.window, voted[None].astype(np.uint8))
    output.close()
    viewed = open_viewed(land.folder)
    with served(viewed) as viewer:
        tile = pixels(viewer, "layer/0/voted/0/0/0.png")[: voted.shape[0], : voted.shape[1]]
        assert np.array_equal(tile, viewed.legend.palette()[voted])
        assert told(viewer, "pixel/0?row=3&column=4")["layers"]["voted"] == [voted[3, 4] or None]


def with_dates(folder, **most):
    """A map with the layer of clear dates: 10 of each source in the west, and `most` in the east."""
    land = delivered(folder, random_codes()[0])
    bands = tuple(MapBand(f"{name}: clear dates", "uint8", 255) for name in most)
    dates = np.full((len(most), *land.grid.shape), 10, np.uint8)
    dates[:, :, 35:] = np.array(list(most.values()))[:, None, None]
    output = WRITERS.get("cog").open(land.path("validity"), land.grid, bands, land.legend)
    output.put(land.grid.window, dates)
    output.close()
    return open_viewed(land.folder)


def test_colours_of_a_band_have_values_which_are_the_same_in_two_runs(tmp_path):
    """10 clear dates are light where they are the most, and dark beside a run with 40; other sources have other numbers."""
    first, second = with_dates(tmp_path / "a", s2=10, s1=31), with_dates(tmp_path / "b", s1=12, s2=40)
    with served(first) as viewer:
        assert [told(viewer, f"scale/0/validity?band={band}")["high"] for band in (1, 2)] == [10, 31]
        assert told(viewer, "scale/0/confidence") == {"high": 100}
        alone = pixels(viewer, "layer/0/validity/0/0/0.png?band=1")[30, 10]
        assert ask(viewer, "scale/0/none")[0] == ask(viewer, "scale/0/validity?band=3")[0] == 404
    with served(first, second) as viewer:
        highs = [told(viewer, f"scale/{k}/validity?band={band}")["high"] for k in (0, 1) for band in (1, 2)]
        assert highs == [40, 31, 31, 40]
        seen = [pixels(viewer, f"layer/{k}/validity/0/0/0.png?band={band}")[30, 10] for k, band in ((0, 1), (1, 2))]
    assert seen[0].tolist() == seen[1].tolist() != alone.tolist()


MERCATOR = ("EPSG:3857", Affine(100, 0, 600_000, 0, -100, 8_400_000))


@pytest.mark.parametrize(
    "place", ["metres", "degrees", "feet", MERCATOR], ids=["metres", "degrees", "feet", "Mercator"]
)
def test_the_page_knows_the_metres_on_the_ground_of_a_unit_from_north_to_south(tmp_path, place):
    land = delivered(tmp_path / "map", random_codes()[0], place)
    with served(open_viewed(land.folder)) as viewer:
        (shown,) = told(viewer, "runs")
    west, south, east, north = land.grid.bounds
    x, half = (west + east) / 2, land.grid.resolution / 2
    change, ellipsoid = Transformer.from_crs(land.grid.crs.proj, "EPSG:4326", always_xy=True), Geod(ellps="WGS84")
    for metres, y in zip(shown["metres"], np.linspace(north, south, len(shown["metres"])), strict=True):
        (first, second), latitude = change.transform([x - half, x + half], [y, y])
        length = ellipsoid.inv(first, latitude[0], second, latitude[1])[2]
        assert metres == pytest.approx(length / (2 * half), rel=0.01)


@pytest.mark.slow
def test_objects_of_the_map_are_those_inside_the_view(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    layout = finish(read_recipe(finished().recipe), out)
    everything = pyogrio.read_dataframe(layout.finish.polygons("gpkg"))
    viewed = open_viewed(out)
    west, south, east, north = viewed.grid.bounds
    with served(viewed) as viewer:
        assert told(viewer, "runs")[0]["vectors"]
        found = told(viewer, f"vectors/0?bounds={west},{south},{east},{north}")
        assert found["complete"]
        assert len({f["id"] for f in found["features"]}) == len(everything)  # the page draws each id once
        part = told(viewer, f"vectors/0?bounds={west},{north - 20},{west + 20},{north}")["features"]
        near = everything.cx[west : west + 20, north - 20 : north]
        assert sorted(f["properties"]["code"] for f in part) == sorted(near.code)
        assert len(part) < len(everything)
        layout.finish.polygons("gpkg").unlink()
        assert told(viewer, f"vectors/0?bounds={west},{south},{east},{north}")["features"] == []


@pytest.mark.slow
def test_a_view_of_too_many_objects_says_so(finished, tmp_path, monkeypatch):
    out = finished().copied(tmp_path / "run")
    finish(read_recipe(finished().recipe), out)
    monkeypatch.setattr("bocage.view.places.MOST", 2)
    with served(open_viewed(out)) as viewer:
        found = told(viewer, "vectors/0?bounds=-1e7,-1e7,1e7,1e7")
    assert (len(found["features"]), found["complete"]) == (2, False)


def test_a_source_with_any_name_has_tiles(viewed):
    viewed.pictures.by_source["s 2/é?"] = viewed.pictures.by_source["s2"]
    with served(viewed) as viewer:
        assert pixels(viewer, "image/0/s%202%2F%C3%A9%3F/0/0/0/0.png").any()


@pytest.mark.slow
def test_what_the_network_sees_is_its_footprint(brief, tmp_path):
    row, column = 9, 14
    model = brief(MULTIRESOLCC, PAN_MS, "pan")
    run = model.folder.parents[1] / "run"
    viewed = open_viewed(
        Path(shutil.copytree(run, tmp_path / "run")), recipe=model.folder.parents[1] / "land/recipe.toml"
    )
    shutil.copytree(model.folder, viewed.layout.split(0).model.path)
    footprint = model.trained.footprints["pan"]
    window = footprint.window(Window(row, column, 1, 1), viewed.scene.cubes["pan"].ratio)
    with served(viewed) as viewer:
        sources = {one["name"]: one for one in told(viewer, "scene/0")["sources"]}
        assert sources["pan"]["patch"] == footprint.size
        patch = pixels(viewer, f"patch/0/pan/0?row={row}&column={column}")
        assert ask(viewer, f"patch/0/nothing/0?row={row}&column={column}")[0] == 404
    assert patch.shape == (footprint.size, footprint.size, 4)
    pan = viewed.scene.cubes["pan"]
    values, valid = pan.source.read(pan.grid, window, "nearest")
    inner = valid[0] & (patch[..., 0] > 0) & (patch[..., 0] < 255)
    assert ((patch[..., 3] == 255) == valid[0]).all()
    assert np.corrcoef(values[0, 0][inner], patch[..., 0][inner])[0, 1] > 0.999


@pytest.mark.slow
def test_attention_of_a_pixel_is_that_of_the_network(brief):
    model = brief('name = "patchwork"\npreset = "small"\nfilters = [4, 8]')
    trained, row, column = model.trained, 11, 23
    found = attention_at(trained, model.scene, row, column)
    cube, footprint = model.scene.cubes["s2"], trained.footprints["s2"]
    block = cube.read(footprint.window(Window(row, column, 1, 1), cube.ratio))
    tensor = trained.normalisation.tensor("s2", block.values[None], block.valid[None], cube.clock)
    assert found["s2"] == pytest.approx(trained.model.attention({"s2": tensor})["s2"][0].detach().numpy())
    assert found["s2"].sum() == pytest.approx(1, abs=1e-5)
    assert len(found["s2"]) == len(cube.days)


def test_the_command_prints_the_address_and_ends_with_an_interruption(finished, monkeypatch, capsys):
    asked = []

    def wait():
        asked.append("".join(capsys.readouterr()))
        raise KeyboardInterrupt

    monkeypatch.setattr("bocage.jobs.view.wait", wait)
    monkeypatch.setattr("webbrowser.open", lambda address: asked.append(address) is not None)
    assert main(["view", str(finished().out), "--no-browser"]) == 0
    (line,) = [line for line in asked[0].splitlines() if line.startswith("page: ")]
    assert line.startswith("page: http://127.0.0.1:")
    assert len(asked) == 1
    assert main(["view", str(finished().out)]) == 0
    assert asked[1].startswith("http://127.0.0.1:")
    assert "No browser was found" in asked[2]


def test_a_folder_that_is_no_run_is_one_line(tmp_path, capsys):
    assert main(["view", str(tmp_path)]) == 1
    assert "no complete map" in capsys.readouterr().err


def test_packages_of_the_page_are_pinned_with_checksums():
    """And name no address: the registry is that of whoever builds."""
    folder = Path(serving.__file__).parent / "web"
    record = json.loads((folder / "package.json").read_text())
    assert all(
        version[0].isdigit() for kind in ("dependencies", "devDependencies") for version in record[kind].values()
    )
    packages = json.loads((folder / "package-lock.json").read_text())["packages"]
    assert all(one["integrity"].startswith("sha512-") for name, one in packages.items() if name)
    assert not any("resolved" in one for one in packages.values())
