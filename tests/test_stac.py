"""A real STAC server on the loopback address, and an asset server that interrupts connections on demand."""

import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import numpy as np
import pystac_client
import pytest
import rasterio
import requests
from rasterio.control import GroundControlPoint
from rasterio.warp import transform_bounds

from bocage import disk
from bocage.errors import SourceError
from bocage.progress import QUIET, Heard
from bocage.simulate import Simulation, deliver, simulate
from bocage.sources import open_source, series, stac
from bocage.testing import write_raster

AREA = (50.0, -25.0, 60.0, -15.0)
BANDS = {"red": "red", "nir": "nir", "swir16": "swir16"}
SIZES = {"height": 128, "width": 144, "polygons": 3, "sensors": ("s2",)}


class Assets(SimpleHTTPRequestHandler):
    """Serves files by range, like object stores. A path in `cut` loses its connection halfway, once per entry."""

    cut: ClassVar[list[str]] = []
    busy: ClassVar[list[str]] = []
    """Paths that are answered with 503 (SlowDown of S3), once per entry."""
    seen: ClassVar[list[str]] = []
    """Paths of the files that were requested."""
    asked: ClassVar[list[str]] = []
    """Paths of all requests, those for headers only included."""

    def do_GET(self) -> None:
        path = Path(self.directory) / self.path.partition("?")[0].lstrip("/")
        Assets.asked.append(self.path)
        if self.command == "GET":
            Assets.seen.append(self.path)
        if not path.is_file():
            self.send_error(404)
            return
        if self.path in Assets.busy:
            Assets.busy.remove(self.path)
            answer = (
                b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>"
            )
            self.send_response(503)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer if self.command == "GET" else b"")
            return
        content, status = path.read_bytes(), 200
        total = len(content)
        if "Range" in self.headers:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            content, status = content[int(first) : int(last or total) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Accept-Ranges", "bytes")
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{total}")
        self.end_headers()
        if self.command == "GET":
            if self.path in Assets.cut:
                Assets.cut.remove(self.path)
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.wfile.write(content)

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stac")
    simulate(Simulation(**SIZES), folder / "plain")
    shutil.copytree(folder / "plain", folder / "stac")
    deliver(folder / "stac/s2", "stac", QUIET)
    return folder


@pytest.fixture(scope="module")
def assets(world: Path):
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Assets, directory=str(world / "stac/s2/assets")))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def api(world: Path, assets: str):
    """Run ``rustac serve`` on the items of the simulator. Their assets are on the asset server."""
    items = []
    for path in sorted((world / "stac/s2/items").glob("*.json")):
        item = json.loads(path.read_text())
        item["links"] = []
        for name, asset in item["assets"].items():
            asset["href"] = f"{assets}/{item['id']}/{name}.tif"
        items.append(item)
    collection = json.loads((world / "stac/s2/collection.json").read_text())
    collection["links"] = []
    (world / "collection.json").write_text(json.dumps(collection))
    (world / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).parent / "rustac"
    command = [program, "serve", "--addr", f"127.0.0.1:{port}", "collection.json", "items.json"]
    server = subprocess.Popen(command, cwd=world, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    url = f"http://127.0.0.1:{port}"
    for _ in range(100):
        assert server.poll() is None, server.stderr.read().decode()
        try:
            urllib.request.urlopen(url, timeout=1).close()
            break
        except OSError:
            time.sleep(0.1)
    yield url
    server.terminate()
    server.wait(10)
    server.stderr.close()


@pytest.fixture
def settings(api: str, tmp_path: Path):
    def make(**more):
        return stac.Settings(
            **{
                "bands": BANDS,
                "url": api,
                "area": AREA,
                "cache": tmp_path / "cache",
                "quality": "scl",
                "clear": (4,),
                **more,
            }
        )

    Assets.cut.clear()
    Assets.seen.clear()
    return make


def plain(world: Path):
    variables = {name: world / f"plain/s2/{name}.tif" for name in BANDS}
    return open_source(
        "s2", series, series.Settings(variables, scale=0.0001, quality=world / "plain/s2/quality.tif", clear=(4,))
    )


@pytest.mark.slow
def test_search_and_load_give_the_values_of_the_files(world: Path, settings) -> None:
    from datetime import date

    source = open_source("s2", stac, settings(start=date(2022, 3, 1), end=date(2022, 4, 30)))
    expected = plain(world)
    chosen = [i for i, t in enumerate(expected.times) if date(2022, 3, 1) <= t.date() <= date(2022, 4, 30)]
    assert [t.date() for t in source.times] == [expected.times[i].date() for i in chosen]
    assert source.grid == expected.grid
    values, valid = source.read(source.grid, source.grid.window)
    truth, clear = expected.read(expected.grid, expected.grid.window)
    assert np.array_equal(valid, clear[chosen])
    assert np.allclose(values, truth[chosen], atol=1e-6)


@pytest.mark.slow
def test_cloud_cover_and_an_area_narrow_the_search(world: Path, settings) -> None:
    everything = open_source("s2", stac, settings(bands={"red": "red"}, quality=""))
    fewer = open_source("s2", stac, settings(bands={"red": "red"}, quality="", cloud=20.0))
    assert 0 < len(fewer.times) < len(everything.times)
    west, south, east, north = everything.grid.geobox.extent.to_crs("EPSG:4326").boundingbox
    half = (west, south, (west + east) / 2, north)
    part = open_source("s2", stac, settings(bands={"red": "red"}, quality="", cloud=20.0, area=half))
    assert part.grid.shape[1] < 0.7 * everything.grid.shape[1]
    offset = everything.grid.offset_of(part.grid)
    assert all(o == round(o) for o in offset), "a crop stays on the native pixels"


def test_a_cut_connection_is_retried_and_no_asset_is_downloaded_twice(settings) -> None:
    from datetime import date

    window = {"start": date(2022, 3, 1), "end": date(2022, 4, 30), "bands": {"red": "red"}, "quality": ""}
    name = "/S2_20220304/red.tif"
    Assets.cut.extend([name, name])
    source = open_source("s2", stac, settings(**window))
    assert not Assets.cut, "both connections were cut"
    assert len(source.times) == 6
    Assets.seen.clear()
    again = open_source("s2", stac, settings(**window))
    assert Assets.seen == [], "the cache was used"
    assert again.fingerprints() == source.fingerprints()


@pytest.mark.slow
def test_a_broken_link_is_retried_then_reported(world: Path, settings) -> None:
    name = world / "stac/s2/assets/S2_20220304/nir.tif"
    shutil.move(name, name.with_suffix(".away"))
    try:
        with pytest.raises(SourceError, match=r"S2_20220304, asset nir.*after 2 attempt.*link may be broken.*on_error"):
            open_source("s2", stac, settings(retries=1, bands={"nir": "nir"}, quality=""))
        # For its version, and twice by GDAL, which asks for the headers first.
        assert Assets.asked.count("/S2_20220304/nir.tif") >= 3
        heard = Heard(QUIET, "s2")
        source = open_source("s2", stac, settings(retries=0, bands={"nir": "nir"}, quality="", on_error="skip"), heard)
    finally:
        shutil.move(name.with_suffix(".away"), name)
    assert len(source.times) == 36
    assert any("S2_20220304" in str(note) for note in source.notes), "the notes name the item"
    assert any("1 of 37 items left out" in str(note) for note in source.notes)


@pytest.mark.slow
def test_an_interrupted_download_leaves_no_incomplete_file(settings, tmp_path: Path, monkeypatch) -> None:
    real, count = disk.move, []

    def killed(source, target):
        count.append(target)
        if len(count) == 4:
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(disk, "move", killed)
    with pytest.raises(KeyboardInterrupt):
        open_source("s2", stac, settings(bands={"red": "red"}, quality=""))
    monkeypatch.undo()
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*.tif")}
    assert len(kept) >= 2
    source = open_source("s2", stac, settings(bands={"red": "red"}, quality=""))
    assert len(source.times) == 37
    assert all(path.stat().st_mtime_ns == then for path, then in kept.items())


@pytest.mark.slow
def test_the_last_search_result_is_used_if_the_api_does_not_respond(settings, tmp_path: Path, monkeypatch) -> None:
    narrow = {"bands": {"red": "red"}, "quality": "", "retries": 0}
    first = open_source("s2", stac, settings(**narrow))

    def away(*_, **__):
        raise requests.ConnectionError("refused")

    monkeypatch.setattr(pystac_client.Client, "open", away)
    second = open_source("s2", stac, settings(**narrow))
    assert second.times == first.times
    assert any("The stored answer of" in str(note) for note in second.notes)
    with pytest.raises(SourceError, match="does not respond"):
        open_source("s2", stac, settings(**narrow, collections=("other",)))


@pytest.mark.slow
def test_items_are_signed(settings) -> None:
    sys.modules["signer_for_test"] = type(sys)("signer_for_test")
    calls = []

    def sign(item):
        calls.append(item.id)
        for asset in item.assets.values():
            asset.href += "?token=1"
        return item

    sys.modules["signer_for_test"].sign = sign
    try:
        source = open_source("s2", stac, settings(bands={"red": "red"}, quality="", sign="signer_for_test:sign"))
    finally:
        del sys.modules["signer_for_test"]
    assert len(calls) == len(source.times) == 37
    assert all(path.endswith("?token=1") for path in Assets.seen)


def test_a_missing_asset_is_reported(settings) -> None:
    with pytest.raises(SourceError, match=r"no asset 'B99'. Its assets are blue"):
        open_source("s2", stac, settings(bands={"red": "B99"}, quality=""))


def write_item(path: Path, box: tuple[float, ...], asset: dict) -> None:
    west, south, east, north = box
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": path.stem, "bbox": list(box), "links": [],
        "geometry": {"type": "Polygon", "coordinates": [corners]}, "properties": {"datetime": "2022-01-03T10:00:00Z"},
        "assets": {"B04": asset},
    }  # fmt: skip
    path.write_text(json.dumps(item))


@pytest.mark.parametrize("more", [{}, {"raster:bands": [{"data_type": "uint16"}]}, {"data_type": "uint16"}])
def test_a_downloaded_asset_keeps_the_nodata_value_of_its_file(world: Path, assets: str, tmp_path: Path, more) -> None:
    pixels = np.full((1, 40, 30), 9, np.uint16)
    pixels[:, :12] = 7
    path = write_raster(world / "stac/s2/assets/special.tif", pixels, nodata=7)
    with rasterio.open(path) as dataset:
        box = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    write_item(tmp_path / "item.json", box, {"href": f"{assets}/special.tif", **more})
    settings = stac.Settings({"red": "B04"}, catalogue=tmp_path / "item.json", area=box, cache=tmp_path / "cache")
    source = open_source("s", stac, settings)
    assert np.array_equal(source.read(source.grid, source.grid.window)[1][0], pixels[0] == 9)


def test_a_downloaded_asset_keeps_its_mask(world: Path, assets: str, tmp_path: Path) -> None:
    """The copy in the cache has the mask of the asset, on the part inside the area."""
    seen = np.arange(40)[:, None] >= np.full(30, 12)[None]
    path = write_raster(world / "stac/s2/assets/masked.tif", np.full((1, 40, 30), 7, np.uint16))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(seen)
        west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    write_item(tmp_path / "item.json", (west, south, east, north), {"href": f"{assets}/masked.tif"})
    area = (west, south, east, south + 0.9 * (north - south))
    settings = stac.Settings({"red": "B04"}, catalogue=tmp_path / "item.json", area=area, cache=tmp_path / "cache")
    source = open_source("s", stac, settings)
    _, valid = source.read(source.grid, source.grid.window)
    assert source.grid.shape[0] < 40
    assert np.array_equal(valid[0], seen[-source.grid.shape[0] :])


@pytest.fixture
def bucket(assets: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of a folder of the asset server as a bucket of S3, for GDAL."""
    settings = {
        "AWS_S3_ENDPOINT": assets.removeprefix("http://"), "AWS_HTTPS": "NO", "AWS_VIRTUAL_HOSTING": "FALSE",
        "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
    }  # fmt: skip
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return "bucket"


@pytest.mark.parametrize("protocol", ["http", "/vsis3/"])
@pytest.mark.parametrize("times", [2, 50])
def test_a_store_that_answers_503_is_asked_again(protocol, times, world, assets, bucket, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(stac.HTTP, "GDAL_HTTP_RETRY_DELAY", "0.01")
    monkeypatch.setattr(stac, "LONGEST_WAIT", 0.01)
    name = f"{len(protocol)}-{times}.tif"  # GDAL remembers what it read from an address
    values = np.arange(1200, dtype=np.uint16).reshape(1, 40, 30)
    path = write_raster(world / f"stac/s2/assets/{bucket}/{name}", values)
    with rasterio.open(path) as dataset:
        west, south, east, north = transform_bounds(dataset.crs, "EPSG:4326", *dataset.bounds)
    corners = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    address = f"{protocol}{bucket}/{name}" if protocol == "/vsis3/" else f"{assets}/{bucket}/{name}"
    item = {
        "type": "Feature", "stac_version": "1.0.0", "id": "busy", "bbox": [west, south, east, north], "links": [],
        "geometry": {"type": "Polygon", "coordinates": [corners]}, "properties": {"datetime": "2022-01-03T10:00:00Z"},
        "assets": {"B04": {"href": address}},
    }  # fmt: skip
    (tmp_path / "item.json").write_text(json.dumps(item))
    monkeypatch.setattr(Assets, "busy", [f"/{bucket}/{name}"] * times)
    settings = stac.Settings({"red": "B04"}, catalogue=tmp_path / "item.json", cache=tmp_path / "cache", retries=1)
    if times > 10:
        with pytest.raises(SourceError, match=r"cannot be read after 2 attempt\(s\).*"):
            open_source("s", stac, settings)
        return
    source = open_source("s", stac, settings)
    found, valid = source.read(source.grid, source.grid.window)
    assert not Assets.busy
    assert np.array_equal(found[0, 0], values[0])
    assert valid.all()


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
def test_an_asset_without_a_crs_is_refused_at_once(world: Path, assets: str, tmp_path: Path) -> None:
    """A Sentinel-1 GRD image has ground control points; reading it again does not help."""
    path = world / "stac/s2/assets/grd.tif"
    points = [GroundControlPoint(row, col, 55 + col / 999, -21 - row / 999) for row in (0, 39) for col in (0, 29)]
    with rasterio.open(path, "w", driver="GTiff", height=40, width=30, count=1, dtype="uint16") as dataset:
        dataset.write(np.full((1, 40, 30), 300, np.uint16))
        dataset.gcps = (points, "EPSG:4326")
    write_item(tmp_path / "item.json", AREA, {"href": f"{assets}/grd.tif"})
    settings = stac.Settings({"vv": "B04"}, catalogue=tmp_path / "item.json", area=AREA, cache=tmp_path / "cache")
    started = time.monotonic()
    with pytest.raises(SourceError, match=r"Item item, asset B04: the image has ground control points and no CRS.*RTC"):
        stac.find(settings)
    assert time.monotonic() - started < 5
    assert not list((tmp_path / "cache").rglob("*.tif"))
