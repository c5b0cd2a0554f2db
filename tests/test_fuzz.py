"""Mutated inputs: whatever a file or a recipe holds, a command ends with a result or with one clear line.

300 mutations with fixed seeds; ``BOCAGE_FUZZ=5000`` makes 5000. A failure names its seed: ``BOCAGE_FUZZ_SEED=<seed>`` runs it alone.
"""

import contextlib
import dataclasses
import datetime
import json
import os
import random
import shutil
import signal
import tomllib
import typing
import warnings
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
from affine import Affine
from shapely.geometry import GeometryCollection, LineString, Point, Polygon

from bocage.cli import main
from bocage.recipe.parse import SECTIONS
from conftest import FOREST

SEED = os.environ.get("BOCAGE_FUZZ_SEED", "")
SEEDS = [int(SEED)] if SEED else range(int(os.environ.get("BOCAGE_FUZZ", "300")))
GROUPS = 10
"""Number of tests that share the mutations."""
KINDS = [*["recipe"] * 4, *["raster", "vector", "model"] * 3, *["legend", "run"] * 2, "truth"]
"""What is mutated, as often as it is listed."""
COMMANDS = ["train", "evaluate", "evaluate", "map", "map", "report"]
"""Stages of a run whose folder is damaged."""
PATIENCE = 20
"""Seconds after which a command hangs."""
FOREIGN = [
    'LOCAL_CS["somewhere",UNIT["metre",1]]',
    'GEOGCS["moon",DATUM["D",SPHEROID["S",1737400,0]],PRIMEM["R",0],UNIT["degree",0.0174532925199433]]',
    "EPSG:3031",
    "EPSG:4326",
    "EPSG:3857",
    "EPSG:2263",
]
WORDS = [
    "", " ", ":", "os:system", "os:", "os:getcwd", "json:dumps", "a:b", "broken:x", "quits:x", "math:pi", "é\u0301\u200b", "\0", "a\nb",
    "../../x", "/dev/zero", "/", ".", "pipe", "s2", "s2/red.tif", "reference.gpkg", "recipe.toml", "{date}", "*", "$HOME", "${HOME}",
    "EPSG:0", "EPSG:99999999", "postgresql://", "http://[", "x" * 5000, "9999-12-31", "polygon", "code", "1e5",
]  # fmt: skip
NUMBERS = [
    0, 1, -1, 2, 3, 7, 255, 65535, 65536, 10**9, 10**18, 10**40, -(10**18), 0.0, -0.0, 0.5, 1.0, 1e-300, 1e300, -1e300,
    float("inf"), float("-inf"), float("nan"), 3.5, True, False,
]  # fmt: skip
DATES = [datetime.date(1, 1, 1), datetime.date(9999, 12, 31), datetime.date(2021, 3, 1), datetime.time(1, 2)]


class HangError(BaseException):
    """A command took too long; not an Exception, so that no handler of the product catches it."""


@contextlib.contextmanager
def patience():
    def ring(*_):
        raise HangError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def odd_value(rng, depth=0):
    kind = rng.randrange(8 if depth < 2 else 6)
    if kind < 2:
        return rng.choice(WORDS)
    if kind < 5:
        return rng.choice(NUMBERS)
    if kind == 5:
        return rng.choice(DATES)
    if kind == 6:
        return [odd_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    return {rng.choice(["red", "name", "a b", "every"]): odd_value(rng, depth + 1) for _ in range(rng.randrange(3))}


def changed(rng, value):
    """A table, list or leaf with one part replaced, removed or repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        key = rng.choice(list(value))
        if rng.random() < 0.1:
            return {k: v for k, v in value.items() if k != key}
        return value | {key: changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        if rng.random() < 0.2:
            return value[:i] + value[i + 1 :] if rng.random() < 0.5 else [*value, value[i]]
        return [*value[:i], changed(rng, value[i]), *value[i + 1 :]]
    return odd_value(rng)


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(toml(v) for v in value) + "]"
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return json.dumps(value).replace("Infinity", "inf").replace("NaN", "nan") if value is not None else '""'


def damaged(rng, path):
    """A file with other bytes, without some, or with none; a folder or nothing in its place."""
    content = path.read_bytes()
    kind = rng.randrange(8)
    if kind == 0:
        path.unlink()
        if rng.random() < 0.5:
            path.mkdir()
    elif kind == 1:
        path.write_bytes(b"")
    elif kind == 2:
        path.write_bytes(content[: rng.randrange(len(content) + 1)])
    elif kind == 3:
        path.write_bytes(rng.randbytes(rng.choice([1, 100, 5000])))
    elif kind == 4:
        path.write_bytes(
            rng.choice([b"null", b"[]", b"{}", b"0", b'""', b"[" * 3000, b"\xff\xfe", b"\0" * 64, b"PAR1"])
        )
    else:
        where = [rng.randrange(len(content) or 1) for _ in range(rng.choice([1, 3, 30]))]
        bent = bytearray(content or b" ")
        for i in where:
            bent[i] = rng.randrange(256)
        path.write_bytes(bytes(bent))


def mutate_recipe(rng, land):
    path = land / "recipe.toml"
    if rng.random() < 0.15:
        if rng.random() < 0.2:
            path.write_text("a = " + "[" * 3000)
        else:
            damaged(rng, path)
        return
    table = tomllib.loads(path.read_text())
    for _ in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.5:
            name, (kind, _required) = rng.choice(list(SECTIONS.items()))
            key = rng.choice([f.name for f in dataclasses.fields(kind)])
            section = table.setdefault(name, {})
            if isinstance(section, dict):
                section[key] = odd_value(rng)
        else:
            table = changed(rng, table)
            if not isinstance(table, dict):
                table = {}
    path.write_text("\n".join(f"{json.dumps(key)} = {toml(value)}" for key, value in table.items()), errors="replace")


GEOMETRIES = [
    lambda a: Affine.identity(),
    lambda a: a * Affine.rotation(10),
    lambda a: a * Affine.scale(1, -1),
    lambda a: a * Affine.scale(1, 2),
    lambda a: a * Affine.scale(1e-9),
    lambda a: a * Affine.scale(1e9),
    lambda a: a * Affine.translation(0.3, 0.7),
    lambda a: Affine.translation(1e7, 0) * a,
]
TYPES = ["complex64", "complex128", "float64", "int16", "uint32", "float32", "uint8"]
STAMPS = ["", "9999-12-31", "0001-01-01", "2021-13-45", "20210211", "é"]


def mutate_raster(rng, land):
    path = rng.choice([*(land / "s2").glob("*.tif")])
    if rng.random() < 0.3:
        damaged(rng, path)
    elif rng.random() < 0.05:
        path.unlink()
        os.mkfifo(path)
    else:
        with rasterio.open(path) as dataset:
            values, profile, texts = dataset.read(), dict(dataset.profile), dataset.descriptions
        for _ in range(rng.choice([1, 1, 2])):
            values, texts = mutated_pixels(rng, values, profile, texts)
        path.unlink()
        written_raster(path, values, profile, texts)


def mutated_pixels(rng, values, profile, texts):
    kind = rng.randrange(8)
    if kind == 0:
        profile["crs"] = rng.choice([None, *FOREIGN])
    elif kind == 1:
        profile["transform"] = rng.choice(GEOMETRIES)(profile["transform"])
    elif kind == 2:
        values = values.astype(rng.choice(TYPES))
    elif kind == 3:
        values = np.full(values.shape, rng.choice([np.nan, np.inf, -np.inf, 0, 1e38]), "float32")
    elif kind == 4:
        values = values[: rng.randrange(1, len(values) + 1)]
    elif kind == 5:
        values = values[:, : rng.randrange(1, 9), : rng.randrange(1, 9)]
    elif kind == 6:
        profile["nodata"] = rng.choice([None, 0, float("nan"), 1, 200])
    else:
        texts = [rng.choice(STAMPS) for _ in texts]
    return values, texts


def written_raster(path, values, profile, texts):
    size = {"count": values.shape[0], "height": values.shape[1], "width": values.shape[2], "dtype": values.dtype.name}
    whole = {k: v for k, v in profile.items() if k not in ("blockxsize", "blockysize", "tiled")} | size
    if values.dtype.kind != "f":
        whole["nodata"] = None
    with rasterio.open(path, "w", **whole) as dataset:
        dataset.write(values)
        for i, text in enumerate(texts[: len(values)], start=1):
            if text:
                dataset.set_band_description(i, text)


def mutate_vector(rng, land):
    path = land / "reference.gpkg"
    if rng.random() < 0.3:
        damaged(rng, path)
        return
    frame = gpd.read_file(path)
    for kind in sorted(rng.sample(range(7), rng.choice([1, 1, 2]))):
        if kind == 0:
            wrong = [None, np.nan, "", " 1 ", "1.0", "a\nb", 'a"b', -1, 0, 2**40, 1.5, True, "x" * 300]
            labels = [rng.choice([value, *wrong]) for value in frame["code"]]
            frame["code"] = [None if v is None else str(v) for v in labels]
        elif kind == 1:
            shapes = [
                None,
                Polygon(),
                Point(0, 0),
                LineString([(0, 0), (1, 1)]),
                GeometryCollection(),
                Point(np.inf, 0),
            ]
            shapes += [Polygon([(0, 0), (1, 1), (1, 0), (0, 1)]), Polygon([(0, 0), (1e300, 0), (0, 1e300)])]
            share = rng.random()
            frame["geometry"] = [rng.choice(shapes) if rng.random() < share else g for g in frame.geometry]
        elif kind == 2:
            frame = frame.set_crs(rng.choice([None, *FOREIGN]), allow_override=True)
        elif kind == 3:
            frame = frame.iloc[: rng.randrange(len(frame))]
        elif kind == 4:
            frame["code"] = rng.choice([1, 2, "maize", None])
        elif kind == 5:
            frame["geometry"] = frame.geometry.iloc[0]
        else:
            frame = frame.rename(columns={"code": rng.choice(["Code", "x", "code "])})
    path.unlink()
    with contextlib.suppress(Exception):  # some of these frames cannot be written: no file is an input too
        frame.to_file(path, layer="first")
        if rng.random() < 0.1:
            frame.to_file(path, layer="second", mode="a")


def mutate_legend(rng, land):
    rows = ["code,name,color,values", "1,maize,#f2c14e,1", "2,meadow,,2", "3,water,#2e86ab,3"]
    for _ in range(rng.choice([0, 1, 2])):
        i = rng.randrange(len(rows))
        cells = rows[i].split(",")
        word = rng.choice(
            ["", "é", '"', "9" * 5000, "-1", "0", "x" * 200_000, "a;b", "1 2", "\0", "nan", "#12", "=1+1", "1e3"]
        )
        cells[rng.randrange(len(cells))] = word
        rows[i] = ",".join(cells[: rng.randrange(1, 6)])
    path = land / "legend.csv"
    encoding = rng.choice(["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-32", "utf-16-le"])
    path.write_bytes(rng.choice(["\n", "\r\n", "\r"]).join(rows).encode(encoding, errors="replace"))
    if rng.random() < 0.3:
        damaged(rng, path)
    table = tomllib.loads((land / "recipe.toml").read_text()) | {"legend": {"csv": "legend.csv"}}
    (land / "recipe.toml").write_text("\n".join(f"{key} = {toml(value)}" for key, value in table.items()))


def mutate_folder(rng, folder):
    """Damage a file of a model's or a run's folder, or change a leaf of its JSON."""
    path = rng.choice(sorted(p for p in folder.rglob("*") if p.is_file()))
    if path.suffix == ".json" and rng.random() < 0.7:
        path.write_text(json.dumps(changed(rng, json.loads(path.read_text())), default=str))
    else:
        damaged(rng, path)


def command_for(rng, case, land, out):
    """Mutate one input in a copy of the landscape and of the run; return the command that reads it."""
    shutil.copytree(land, case / "land")
    (case / "broken.py").write_text("def (:\n")
    (case / "quits.py").write_text("raise SystemExit(0)\n")
    recipe = str(case / "land/recipe.toml")
    kind = rng.choice(KINDS)
    if kind in ("model", "run"):
        shutil.copytree(out, case / "out")
    if kind == "model":
        model = case / "out/splits/0/model"
        mutate_folder(rng, model)
        return ["map", recipe, "--model", str(model), "--out", str(case / "other")]
    if kind == "run":
        mutate_folder(rng, case / "out")
        return [rng.choice(COMMANDS), str(land / "recipe.toml"), "--out", str(case / "out")]
    if kind == "truth":
        mutate_raster(rng, case / "land")
        truth = f'[evaluation]\ntruth = "s2/{rng.choice(["red", "nir", "quality"])}.tif"\n[map]'
        text = Path(recipe).read_text().replace("[map]", truth)
        Path(recipe).write_text(text)
    else:
        {"recipe": mutate_recipe, "raster": mutate_raster, "vector": mutate_vector, "legend": mutate_legend}[kind](
            rng, case / "land"
        )
    return ["check", recipe, "--out", str(case / "out")]


def outcome(seed, case, land, out, capsys):
    """What is wrong with the end of a command on inputs mutated with `seed`; empty if nothing is."""
    rng = random.Random(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rasterio and geopandas remark on what is written on purpose
        command = command_for(rng, case, land, out)
    capsys.readouterr()
    try:
        with patience(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            code = main(command)
    except HangError:
        return f"{command[0]} hangs"
    except BaseException as error:
        return f"{command[0]} raises {type(error).__name__}: {error}"
    said = capsys.readouterr()
    text = said.out + said.err
    if code not in (0, 1) or "Traceback" in text:
        return f"{command[0]} ends with {code}: {text[-400:]}"
    return f"{command[0]} ends with 1 and says nothing" if code and "error" not in text else ""


@pytest.fixture(scope="module")
def sound(finished):
    done = finished(FOREST, more="[evaluation]\nimportance = 0")
    return done.recipe.parent, done.out


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
def test_mutated_inputs_end_in_a_result_or_one_line(sound, group, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    wrong = {}
    for seed in typing.cast("list[int]", SEEDS):
        if seed % GROUPS == group:
            case = tmp_path / str(seed)
            case.mkdir()
            monkeypatch.chdir(case)
            if said := outcome(seed, case, *sound, capsys):
                wrong[seed] = said
            monkeypatch.chdir(tmp_path)
            shutil.rmtree(case, ignore_errors=True)
    assert not wrong, "\n".join(f"BOCAGE_FUZZ_SEED={seed}: {said}" for seed, said in wrong.items())
