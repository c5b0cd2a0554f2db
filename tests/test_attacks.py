"""Attacks by files and names from outside: each is refused, or harmless."""

import csv
import errno
import hashlib
import io
import json
import logging
import os
import signal
import subprocess
import sys
import tarfile
import zipfile
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import psutil
import pystac
import pytest

from bocage import disk
from bocage.cli import main
from bocage.errors import BocageError, MappingError, RecipeError, SamplesError, SourceError, UnknownNameError
from bocage.evaluation import Comparison, ConfusionMatrix, Line, Score
from bocage.grid import Grid
from bocage.layout import RunLayout
from bocage.legend import LandClass, Legend
from bocage.mapping import Workers
from bocage.mapping.areas import AreaCount, Areas
from bocage.mapping.workers import working
from bocage.provenance import Provenance
from bocage.recipe import read_recipe
from bocage.redaction import redacted
from bocage.report.comparison import as_csv
from bocage.run import held
from bocage.samples import Reference, Samples, Split
from bocage.samples.reference import read_polygons
from bocage.sources import landsat_c2l2, open_source, sentinel2_l2a, spot67, stac
from bocage.testing import write_raster
from bocage.training import Trained
from conftest import FOREST, S2
from test_stac import Assets


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a/b/c/d"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


def files_of(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def serving(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture
def assets(tmp_path: Path):
    """An asset server with one raster, red.tif."""
    write_raster(tmp_path / "served/red.tif", np.full((1, 8, 8), 7, np.uint16), nodata=0)
    server = serving(partial(Assets, directory=str(tmp_path / "served")))
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def catalogue(tmp_path: Path):
    """A catalogue on disk whose one item has the given names and address."""

    def write(href: str, item_id: str = "item", collection: str | None = None) -> Path:
        moment = datetime(2022, 5, 1, tzinfo=UTC)
        box = [50.0, -25.0, 60.0, -15.0]
        ring = [[50.0, -25.0], [60.0, -25.0], [60.0, -15.0], [50.0, -15.0], [50.0, -25.0]]
        item = pystac.Item(item_id, {"type": "Polygon", "coordinates": [ring]}, box, moment, {}, collection=collection)
        item.add_asset("red", pystac.Asset(href))
        (tmp_path / "catalogue").mkdir(exist_ok=True)
        (tmp_path / "catalogue/item.json").write_text(json.dumps(item.to_dict(False, False)))
        return tmp_path / "catalogue/item.json"

    return write


def settings(path: Path, cache: Path, **more) -> stac.Settings:
    return stac.Settings({"red": "red"}, catalogue=path, cache=cache, scale=1.0, retries=0, **more)


# --- paths


@pytest.mark.parametrize(
    ("item_id", "collection"),
    [("../../../../escaped", None), ("/tmp/escaped", None), ("item", "../../../escaped"), ("..", ".."), ("a\0b", "c")],
)
def test_names_of_a_catalogue_stay_inside_the_cache(assets, catalogue, tmp_path, elsewhere, item_id, collection):
    before, outside = files_of(tmp_path), Path("/tmp/escaped").exists()  # of an earlier version, perhaps
    path = catalogue(f"{assets}/red.tif", item_id, collection)
    source = open_source("s2", stac, settings(path, elsewhere / "cache"))
    assert source.read(source.grid, source.grid.window)[0].max() == 7
    new = files_of(tmp_path) - before - {path}
    assert len(new) == 1
    assert all(one.is_relative_to(elsewhere / "cache") for one in new)
    assert Path("/tmp/escaped").exists() == outside


def test_different_unsafe_names_stay_different():
    names = ["a/b", "a-b", "a\\b", "../a-b", "", ".", "..", "é", "S2B_31UES_20220704", "x" * 400, "x" * 401]
    safe = [disk.safe_name(name) for name in names]
    assert len(set(safe)) == len(names)
    assert all(name and len(name) < 255 and Path("folder", name).parent == Path("folder") for name in safe)
    assert [disk.safe_name(name) for name in ("é", "S2B_31UES_20220704")] == ["é", "S2B_31UES_20220704"]


def test_a_link_that_leads_outside_is_refused(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache/items").symlink_to(tmp_path / "a")
    with pytest.raises(BocageError, match=r"link that leads outside"):
        disk.inside(tmp_path / "cache", "items", "x.tif")


def test_a_redirect_to_a_file_is_refused(assets, catalogue, elsewhere, tmp_path):
    target = f"file://{tmp_path / 'served/red.tif'}"

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(302)
            self.send_header("Location", target)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_):
            pass

    server = serving(Redirect)
    address = f"http://127.0.0.1:{server.server_port}"
    try:
        with pytest.raises(SourceError, match=r"asset red cannot be read"):
            open_source("s2", stac, settings(catalogue(f"{address}/red.tif"), elsewhere / "cache"))
        api = stac.Settings({"red": "red"}, url=address, area=(50, -25, 60, -15), cache=elsewhere / "cache", retries=0)
        with pytest.raises(SourceError, match=r"does not respond"):
            open_source("s2", stac, api)
    finally:
        server.shutdown()
        server.server_close()
    assert not files_of(elsewhere)


def answering(monkeypatch, href: str) -> None:
    """Have the API answer with one item."""
    moment = datetime(2022, 5, 1, tzinfo=UTC)
    item = pystac.Item("item", None, None, moment, {})
    item.add_asset("red", pystac.Asset(href))
    client = SimpleNamespace(search=lambda **_: SimpleNamespace(items=lambda: [item]))
    monkeypatch.setattr("pystac_client.Client.open", lambda *_, **__: client)


def test_an_api_names_no_file_of_this_machine(tmp_path, elsewhere, monkeypatch):
    path = write_raster(tmp_path / "private.tif", np.ones((1, 8, 8), np.uint16))
    wanted = stac.Settings({"red": "red"}, url="https://api", area=(50, -25, 60, -15), cache=elsewhere, retries=0)
    for href in (str(path), f"file://{path}", f"/vsizip/{path}", f"/vsicurl/file://{path}"):
        answering(monkeypatch, href)
        with pytest.raises(SourceError, match=r"instead of an address. The item is refused"):
            open_source("s2", stac, wanted)


def test_two_runs_share_one_cache(assets, catalogue, elsewhere, monkeypatch):
    """The other run downloads the same asset, from its beginning to its end, while this run is about to finish."""
    path, real, others = catalogue(f"{assets}/red.tif"), disk.move, []

    def move(source, target):
        if not others:
            others.append(target)
            open_source("s2", stac, settings(path, elsewhere / "cache"))
        real(source, target)

    monkeypatch.setattr(disk, "move", move)
    source = open_source("s2", stac, settings(path, elsewhere / "cache"))
    assert source.read(source.grid, source.grid.window)[0].max() == 7
    assert [p.suffix for p in files_of(elsewhere)] == [".tif"]


class Versioned(Assets):
    """States an ETag, or the time of modification."""

    states: ClassVar[str] = ""

    def end_headers(self) -> None:
        path = Path(self.directory) / self.path.lstrip("/")
        if Versioned.states == "ETag":
            self.send_header("ETag", f'"{hashlib.md5(path.read_bytes()).hexdigest()}"')
        elif Versioned.states:
            self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        super().end_headers()


@pytest.mark.parametrize(
    ("states", "field", "values"),
    [
        ("ETag", "", [7, 9]),
        ("Last-Modified", "", [7, 9]),
        ("", "file:checksum", [7, 9]),
        ("", "checksum:multihash", [7, 9]),
        ("", "", [7, 7]),  # nothing states that the file was replaced
    ],
)
def test_an_asset_that_the_server_replaced_is_downloaded_again(tmp_path, elsewhere, catalogue, states, field, values):
    Versioned.states, server = states, serving(partial(Versioned, directory=str(tmp_path / "served")))
    path = catalogue(f"http://127.0.0.1:{server.server_port}/red.tif")
    found = []
    for value in (7, 9, 9):
        raster = write_raster(tmp_path / "served/red.tif", np.full((1, 8, 8), value, np.uint16), nodata=0)
        os.utime(raster, (value, value))
        item = json.loads(path.read_text())
        item["assets"]["red"] |= {field: f"1220{value}"} if field else {}
        path.write_text(json.dumps(item))
        source = open_source("s2", stac, settings(path, elsewhere / "cache"))
        found.append(int(source.read(source.grid, source.grid.window)[0].max()))
    assert found == [*values, values[-1]]
    assert len(files_of(elsewhere / "cache")) == len(set(values)), "no version is downloaded twice"
    server.shutdown()
    server.server_close()
    source = open_source("s2", stac, settings(path, elsewhere / "cache"))
    assert source.read(source.grid, source.grid.window)[0].max() == values[-1], "the cache serves without the server"


@pytest.mark.parametrize("name", ["../../escaped_MTL.xml", "/tmp/escaped_MTL.xml", "a/../../escaped_MTL.xml"])
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_members_of_archives_stay_inside(tmp_path, elsewhere, kind, name):
    content = elsewhere / "content"
    content.write_text("<x/>")
    archive = elsewhere / f"LC08_L2SP_x.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(archive, "w") as out:
            out.write(content, name)
    else:
        with tarfile.open(archive, "w") as out:
            out.add(content, name)
    before = files_of(tmp_path)
    with pytest.raises(SourceError, match=r"points outside of the archive|has no"):
        landsat_c2l2.find(landsat_c2l2.Settings(elsewhere))
    assert files_of(tmp_path) == before
    assert not Path("/tmp/escaped_MTL.xml").exists()


@pytest.mark.slow
def test_names_of_a_recipe_stay_inside_the_run(recipe, tmp_path, elsewhere):
    sources = S2.replace("sources.s2", 'sources."../../../s2"') + '[scene]\nprepare = "always"\n'
    path = recipe(
        FOREST, sources, "../../../s2", **{'name = "tiny"': 'name = "../../../tiny"', '"maize"': '"../../../maize"'}
    )
    before = files_of(tmp_path)
    assert main(["run", str(path)]) == 0
    new = files_of(tmp_path) - before
    assert new
    assert all(one.is_relative_to(elsewhere / "runs") for one in new), new


# --- code


@pytest.fixture
def evil(elsewhere: Path, tmp_path: Path):
    """A module in the working directory that notes its import; the same module in a folder that can be named."""
    text = f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\nfrom bocage.models.gru import *\n"
    (elsewhere / "evil_networks.py").write_text(text)
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed/evil_networks.py").write_text(text)
    yield tmp_path / "imported"
    sys.modules.pop("evil_networks", None)


def model_named(folder: Path, name: str, config: dict) -> Path:
    folder.mkdir()
    record = {"format": 2, "name": name, "config": config, "sources": {}, "versions": {}}
    record |= {"legend": [{"code": 1, "name": "a", "color": "", "parent": "", "values": []}]}
    (folder / "trained.json").write_text(json.dumps(record))
    return folder


MEMBER = {"members": {"s2": {"network": "evil_networks:", "settings": {}}}}


@pytest.mark.parametrize(
    ("name", "config"), [("evil_networks:", {}), ("evil_networks:X", {}), ("os:system", {}), ("fusion", MEMBER)]
)
def test_a_model_folder_imports_no_code(evil, tmp_path, monkeypatch, name, config):
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    with pytest.raises(BocageError):
        Trained.load(model_named(tmp_path / "model", name, config))
    assert not evil.exists()


def test_a_model_folder_imports_code_that_the_user_allowed(evil, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    folder = model_named(tmp_path / "model", "evil_networks:", {})
    assert main(["export", str(folder), "to"]) == 1
    error = capsys.readouterr().err
    assert "give --allow evil_networks, or set [plugins] allow" in error
    assert not evil.exists()
    monkeypatch.setattr("bocage.shelf._ALLOWED", set())
    assert main(["export", str(folder), "to", "--allow", "evil_networks"]) == 1
    assert evil.exists(), capsys.readouterr().err


def test_a_recipe_allows_code_of_model_folders(evil, recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("bocage.shelf._ALLOWED", set())
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    folder = model_named(tmp_path / "model", "evil_networks:", {})
    read_recipe(recipe())
    with pytest.raises(UnknownNameError, match=r"runs only with your permission"):
        Trained.load(folder)
    read_recipe(recipe(more='[plugins]\nallow = ["evil_networks"]'))
    with pytest.raises(BocageError):
        Trained.load(folder)  # the folder has no sources
    assert evil.exists()


def test_nothing_is_imported_from_the_working_directory_by_itself(evil, recipe, tmp_path, monkeypatch, elsewhere):
    monkeypatch.syspath_prepend("")
    path = recipe('name = "evil_networks:"')
    with pytest.raises(RecipeError, match=r"cannot be imported.*set PYTHONPATH=\. or install the module"):
        read_recipe(path)
    assert not evil.exists()
    assert sys.path[0] == ""
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    read_recipe(path)
    assert evil.exists()


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_the_program_does_not_import_from_the_working_directory(elsewhere, tmp_path, named):
    (elsewhere / "click.py").write_text(f"from pathlib import Path\nPath({str(tmp_path / 'imported')!r}).touch()\n")
    source = Path(sys.modules["bocage"].__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), *[str(elsewhere)] * named])}
    command = [sys.executable, "-m", "bocage", "--version"]
    subprocess.run(command, env=environment, capture_output=True, check=not named)
    assert (tmp_path / "imported").exists() == named


def test_a_stored_forest_is_a_forest():
    import skops.io
    import torch
    from sklearn.linear_model import LogisticRegression

    from bocage.errors import ModelError
    from bocage.models import MODELS
    from bocage.models.settings.gru import S2 as SPEC

    architecture = MODELS.get("random_forest")
    model = architecture.Model({"s2": SPEC}, 2, architecture.Config())
    other = skops.io.dumps(LogisticRegression())
    with pytest.raises(ModelError, match="not a random forest"):
        model.set_extra_state(torch.frombuffer(bytearray(other), dtype=torch.uint8))


# --- content

LAUGHS = '<!DOCTYPE x [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
PRIVATE = '<!DOCTYPE x [<!ENTITY j SYSTEM "file:///etc/passwd">'
REMOTE = '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p; <!ENTITY j "x">'


@pytest.mark.parametrize("start", [LAUGHS, PRIVATE, REMOTE], ids=["laughs", "private", "remote"])
@pytest.mark.parametrize(
    ("sensor", "name"),
    [(sentinel2_l2a, "x.SAFE/MTD_MSIL2A.xml"), (spot67, "x/DIM_SPOT7_x.XML"), (landsat_c2l2, "LC08_L2SP_x_MTL.xml")],
)
def test_entities_of_metadata_are_not_expanded(elsewhere, sensor, name, start):
    (elsewhere / name).parent.mkdir(exist_ok=True)
    (elsewhere / name).write_text(f'<?xml version="1.0"?>\n{start}]>\n<x>&j;</x>')
    with pytest.raises(SourceError, match=r"declares XML entities"):
        sensor.find(sensor.Settings(elsewhere))


FORMULAS = ["=cmd|'/C calc'!A0", "+1+2", "-2+3", "@SUM(A1)", "\t=1", "\n\r=1", " =1+1", "\uff1d1"]


def cells(text: str) -> list[str]:
    return [cell for row in csv.reader(io.StringIO(text, newline="")) for cell in row]


def test_tables_contain_no_formula(tmp_path):
    named = [name for name in FORMULAS if name.isprintable() and name == name.strip()]  # a class name is one line
    legend = Legend(tuple(LandClass(k, name) for k, name in enumerate([*named, "maize"], 1)))
    areas = AreaCount(Grid.from_bounds("EPSG:32631", 10, (0, 0, 100, 100)), legend)
    areas.count(areas.grid.window, np.ones((10, 10), int))
    areas.areas().save(tmp_path / "areas.csv")
    text = (tmp_path / "areas.csv").read_bytes().decode()
    found = cells(text)
    assert not [cell for cell in found if cell.strip().startswith(("=", "+", "-", "@", "\uff1d"))]
    assert {"'" + name for name in named} <= set(found)
    assert "maize" in found
    assert Areas.load(tmp_path / "areas.csv", legend).pixels[0] == 100

    score = Score((ConfusionMatrix(np.eye(2, dtype=np.int64), ("a", "b")),), ("kappa",))
    lines = tuple(Line(name, score, 1.0, -2.5, 3) for name in FORMULAS)
    found = cells(as_csv(Comparison(lines, "kappa", (), (), "maize", ())))
    assert {"'" + name.replace("\n\r", " ") for name in FORMULAS} <= set(found)
    assert "-2.5" in found, "a negative number is no formula"


@pytest.mark.slow
def test_workers_listen_on_this_machine_only(tmp_path, monkeypatch):
    heard = []

    def client(*_, **__):
        processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
        heard.extend(c.laddr.ip for p in processes for c in p.net_connections("inet") if c.status == "LISTEN")
        raise OSError("seen enough")

    monkeypatch.setattr("distributed.Client", client)
    task = SimpleNamespace(device="cpu", store=SimpleNamespace(folder=tmp_path))
    with pytest.raises(MappingError), working(Workers(count=2), task):
        pass
    assert len(heard) >= 6
    assert set(heard) == {"127.0.0.1"}


def test_the_dashboard_of_jobs_is_on_this_machine_only(tmp_path, monkeypatch):
    given = []

    class Cluster:
        job_cls = object

        def __init__(self, **options):
            given.append(options)
            raise ValueError("seen enough")

    monkeypatch.setattr("dask_jobqueue.SLURMCluster", Cluster)
    task = SimpleNamespace(device="cpu", store=SimpleNamespace(folder=tmp_path))
    asked = {"scheduler_options": {"dashboard_address": ":8787"}}
    for options in ({}, asked):
        with pytest.raises(MappingError), working(Workers(count=2, cluster="slurm", options=options), task):
            pass
    addresses = [options["scheduler_options"]["dashboard_address"] for options in given]
    assert addresses == ["127.0.0.1:0", ":8787"]


# --- secrets

WORD = "my p@ss/hunter2"
ADDRESSES = [
    f"postgresql://me:{WORD}@host/base",
    "POSTGRESQL://me:hunter2@host/base",
    "postgresql+psycopg://host/base?user=me&password=hunter2&sslmode=require",
    "https://me:hunter2@stac.org/v1",
    "HTTPS://hunter2@stac.org/v1",
    "https://host/B04.tif?X-Amz-Credential=hunter2&X-Amz-Signature=hunter2&X-Amz-Date=1",
    "https://host/B04.tif?sv=2022&sig=hunter2%3D",
    "/vsicurl/https://host/B04.tif?token=hunter2",
    "https://host/B04.tif?AWSAccessKeyId=hunter2&Signature=hunter2&Expires=1",
    "PG:host=here password='hunter2' dbname=base",
]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    monkeypatch.setattr("bocage.redaction._KNOWN", {})


@pytest.mark.parametrize("address", ADDRESSES)
def test_secrets_of_addresses_are_hidden(address):
    for text in (f'path = "{address}"', f"'{address}' does not respond", str(SourceError(f'"{address}": gone.'))):
        assert "hunter2" not in redacted(text)
        assert "***" in redacted(text)
    assert "hunter2" not in Reference(address, "code").shown
    kept = redacted(f'"{address}" and more')
    assert kept.endswith(" and more")
    assert "host" in kept or "stac.org/v1" in kept


@pytest.mark.parametrize(
    "text",
    [
        "https://host:8080/@2x/B04.tif?size=3&datetime=2022-01-01",
        "postgresql://me@host/base",
        "The key = value pairs; tokens: 3. Signature: sensor. Basic settings, bearer of the name.",
        'password = "${PASSWORD}"\nurl = "https://${USER}:${PASSWORD}@host/?token=${TOKEN}"',
        "s2: B04.tif: no CRS. Set one with gdal_edit.py -a_srs, or mail me@host.",
    ],
)
def test_texts_without_secrets_are_unchanged(text):
    assert redacted(text) == text


def test_a_variable_is_shown_by_its_name_wherever_its_value_appears(recipe, monkeypatch):
    monkeypatch.setenv("FIELDS", f"postgresql://me:{WORD}@host/base")
    monkeypatch.setenv("WORD", "secret-word")
    monkeypatch.setenv("YEAR", "2022")
    monkeypatch.setenv("CATALOGUE_TOKEN", "abcdef")
    more = '[workers]\noptions = { account = "${CATALOGUE_TOKEN}" }'
    read_recipe(recipe(more=more, **{"reference.gpkg": "${FIELDS}"}))
    assert redacted(f"could not connect to postgresql://me:{WORD}@host/base") == "could not connect to ${FIELDS}"
    assert redacted(f"no host ss/hunter2: {WORD} is wrong") == "no host ss/hunter2: *** is wrong"
    assert redacted("sent abcdef to the host in 2022") == "sent ${CATALOGUE_TOKEN} to the host in 2022"
    read_recipe(recipe(**{"reference.gpkg": "postgresql://me${YEAR}:${WORD}@host/base"}))
    assert redacted("FATAL: secret-word in 2022") == "FATAL: ${WORD} in 2022"


@pytest.fixture
def secret(recipe, monkeypatch):
    """A recipe whose polygons are in a database, with one secret of each kind."""
    monkeypatch.setenv("WORD", "hunter2-word")
    path = recipe(**{"reference.gpkg": "postgresql://me:${WORD}@127.0.0.1:9/base?sslpassword=hunter2"})
    path.write_text(path.read_text().replace('label = "code"', 'label = "code"\nlayer = "public.fields"'))
    return path


def in_the_message(secret, out, capsys):
    with pytest.raises(SamplesError) as caught:
        read_polygons(read_recipe(secret).reference, None, None)
    return str(caught.value)


def in_a_problem_of_the_recipe(secret, out, capsys):
    secret.write_text(secret.read_text().replace('like = "s2"', 'like = "https://h/?sig=hunter2"'))
    assert main(["run", str(secret), "--out", str(out)]) == 1
    return capsys.readouterr().err


def in_progress(secret, out, capsys):
    from bocage.cli.terminal import Lines

    read_recipe(secret)
    Lines().say("asking https://me:hunter2@host with hunter2-word")
    Lines().step("fetching", 1, 1, "https://h/x?sig=hunter2")
    return capsys.readouterr().err


def in_the_lock(secret, out, capsys):
    before, sys.argv = sys.argv, ["bocage", "map", "--scheduler", "tcp://me:hunter2@host"]
    try:
        with held(out):
            return (out / ".lock.json").read_text()
    finally:
        sys.argv = before


def in_the_run_folder(secret, out, capsys):
    """Recipe and provenance, of which the report shows both."""
    from bocage.run.folder import Inputs, RunFolder

    recipe = read_recipe(secret)
    files = {recipe.reference.shown: "0", "/vsicurl/https://h/?sig=hunter2": "1"}
    RunFolder.claim(RunLayout(out), recipe, Inputs(files, {}, disk.Watch.on([])), False)
    copied = (out / "recipe.toml").read_text()
    assert "postgresql://me:${WORD}@127.0.0.1:9/base" in copied
    assert Provenance.load(out / "provenance.json").inputs
    return copied + (out / "provenance.json").read_text()


def in_the_log_of_a_surprise(secret, out, capsys):
    from bocage.cli.edge import guarded

    def surprise():
        read_recipe(secret)
        raise RuntimeError("postgresql://me:hunter2@h refused hunter2-word")

    assert guarded(surprise) == 3
    return capsys.readouterr().err + next(Path.cwd().glob("bocage-error-*.log")).read_text()


def in_the_log_of_a_library(secret, out, capsys):
    from bocage.cli.edge import guarded

    def warn():
        record = logging.LogRecord("x", logging.WARNING, "", 1, "again: /v1?%s", ("token=hunter2",), None)
        logging.lastResort.handle(record)

    assert guarded(warn) == 0
    return capsys.readouterr().err


def in_the_cache(secret, out, capsys):
    patch = pytest.MonkeyPatch()
    answering(patch, "https://me:hunter2@127.0.0.1:9/red.tif?X-Amz-Signature=hunter2")
    wanted = stac.Settings({"red": "red"}, url="https://api", area=(50, -25, 60, -15), cache=out, retries=0)
    with patch.context(), pytest.raises(SourceError) as caught:
        open_source("s2", stac, wanted)
    patch.undo()
    return str(caught.value) + next(out.rglob("searches/*.json")).read_text()


PLACES = [
    in_the_message, in_a_problem_of_the_recipe, in_progress, in_the_lock, in_the_run_folder, in_the_log_of_a_surprise,
    in_the_log_of_a_library, in_the_cache,
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
def test_secrets_are_hidden(secret, elsewhere, capsys, place):
    text = place(secret, elsewhere / "out", capsys)
    assert text
    assert "hunter2" not in text
    assert "***" in text or "${WORD}" in text


@pytest.mark.parametrize(
    "address", [f"Postgres://me:{WORD}@127.0.0.1:9/base", "POSTGRESQL://me@127.0.0.1:9/base?password=x y"]
)
def test_any_password_reaches_the_database_whole(monkeypatch, address):
    pytest.importorskip("sqlalchemy")
    asked = []

    def engine(url):
        asked.append(url)
        raise OSError("seen enough")

    monkeypatch.setattr("sqlalchemy.create_engine", engine)
    with pytest.raises(SamplesError, match="seen enough"):
        read_polygons(Reference(address, "code", layer="fields"), None, None)
    (url,) = asked
    assert (url.host, url.port, url.database, url.username) == ("127.0.0.1", 9, "base", "me")
    assert (url.password or url.query["password"]) in (WORD, "x y")


# --- the end of a process


def test_a_full_disk_is_reported_with_the_file(tmp_path, capsys):
    from bocage.cli.edge import guarded

    path = tmp_path / "score.json"
    disk.part_of(path).symlink_to("/dev/full")
    assert guarded(lambda: disk.write_json(path, {"a": 1})) == 1
    assert (
        capsys.readouterr().err
        == f"error: the disk is full ({path}). Free disk space and run the same command again.\n"
    )
    assert not path.exists()
    journal = disk.Journal(tmp_path / "journal")
    journal.path.symlink_to("/dev/full")
    assert guarded(lambda: journal.add("0-0")) == 1
    assert str(journal.path) in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "what"), [(errno.EDQUOT, "the disk quota is exceeded"), (errno.EFBIG, "a file is larger than")]
)
def test_no_room_by_a_quota_or_a_limit_is_reported_like_a_full_disk(number, what, capsys):
    """Arrow names no file, and a quota is the usual limit of a home folder."""
    from bocage.cli.edge import guarded

    def write():
        raise OSError(number, os.strerror(number))

    assert guarded(write) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {what}"), said
    assert said.endswith(" and run the same command again.\n"), said


def test_samples_that_cannot_be_written_leave_the_earlier_file(tmp_path, monkeypatch):
    """Every command that opens a run writes them again, and others read them."""
    path, one = tmp_path / "samples.parquet", np.zeros(1, np.int32)
    legend = Legend((LandClass(1, "maize"),))
    samples = Samples(one, one, one, one, one, legend, (), (), {}, Split())
    samples.to_parquet(path)
    before = path.read_bytes()

    def torn(frame, target):
        Path(target).write_bytes(before[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pandas.DataFrame.to_parquet", torn)
    with pytest.raises(OSError, match=r"samples\.parquet"):
        samples.to_parquet(path)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_a_disk_that_fills_up_with_samples_is_reported(recipe, elsewhere, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    assert main(["train", str(recipe())]) == 1
    assert "the disk is full (runs/tiny/scene/.samples.part/s2.values.npy)" in capsys.readouterr().err


def test_sigterm_ends_a_command_like_an_interruption(tmp_path, capsys):
    from bocage.cli.edge import guarded

    before = signal.getsignal(signal.SIGTERM)

    def work():
        with held(tmp_path / "run"):
            assert (tmp_path / "run/.lock.json").exists()
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()

    assert guarded(work) == 143
    assert capsys.readouterr().err == "terminated (SIGTERM); completed work is kept. Run the same command to resume.\n"
    assert not (tmp_path / "run").exists(), "no lock is left"
    assert signal.getsignal(signal.SIGTERM) == before
