"""A declared ONNX graph writes its features; what does not agree with graph or scene is one line."""

import datetime

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from bocage.errors import ModelError
from bocage.mapping.embedding import features_at, write_features
from bocage.mapping.lattice import Lattice
from bocage.mapping.predict import Forward
from bocage.recipe import read_recipe
from bocage.run import open_scene
from bocage.sources import SENSORS, image, open_source
from bocage.training import load_encoder
from conftest import FOREST, S2, Told

NATIVE = S2.replace("fill = { every = 20, start = 2021-02-01, end = 2021-07-31 }\n", "")
WEIGHTS = np.array([[1, -2, 0.5], [0, 3, 1]], np.float32)
DECLARED = """
graph = "encoder.onnx"
[inputs.s2]
values = "x"
bands = ["{0}", "{1}"]
valid = "mask"
days = "days"
days_as = "{2}"
scale = 10
offset = 1
"""


def graph(folder, dates="dates", masked=True, width=3, bands=2):
    """Write a graph: the sum over the dates of the values, times WEIGHTS; the last feature is the sum of the days."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", dates, bands])
    mask = helper.make_tensor_value_info("mask", TensorProto.BOOL, ["n", dates])
    days = helper.make_tensor_value_info("days", TensorProto.INT64, ["n", dates])
    out = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width + masked])
    constants = [
        numpy_helper.from_array(np.resize(WEIGHTS, (bands, width)), "w"),
        numpy_helper.from_array(np.array([1], np.int64), "axis"),
    ]
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["total"], keepdims=0),
        helper.make_node("MatMul", ["total", "w"], ["made" if masked else "features"]),
    ]
    if masked:
        nodes += [
            helper.make_node("Cast", ["mask"], ["clear"], to=TensorProto.FLOAT),
            helper.make_node("Cast", ["days"], ["when"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["clear", "when"], ["seen"]),
            helper.make_node("ReduceSum", ["seen", "axis"], ["last"], keepdims=1),
            helper.make_node("Concat", ["made", "last"], ["features"], axis=1),
        ]
    inputs = [x, mask, days] if masked else [x]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, [out], constants), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 9
    onnx.save(model, folder / "encoder.onnx")


@pytest.fixture
def scene(recipe, tmp_path):
    return open_scene(read_recipe(recipe(FOREST, NATIVE, "s2")), Told(), tmp_path)


def declared(folder, scene, text=DECLARED, days="month"):
    bands = scene.cubes["s2"].bands
    path = folder / "encoder.toml"
    path.write_text(text.format(bands[1], bands[0], days))
    return path


@pytest.mark.parametrize("days", ["epoch", "year", "month"])
def test_the_graph_receives_bands_units_masks_and_days_as_declared(scene, tmp_path, days):
    graph(tmp_path)
    trained, with_labels = load_encoder(declared(tmp_path, scene, days=days), scene)
    window = scene.grid.window
    found = features_at(trained, scene, window, Forward(torch.device("cpu"), Lattice((16, 16), 16)))
    block = scene.cubes["s2"].read(window)
    values = (block.values[:, [1, 0]] * 10 + 1) * block.valid[:, None]
    expected = np.einsum("tcyx,cf->fyx", values, WEIGHTS)
    dates = scene.cubes["s2"].clock.astype("datetime64[D]")
    when = {
        "epoch": scene.cubes["s2"].clock,
        "year": [int(str(np.datetime64(d, "D") - np.datetime64(str(d)[:4], "D")).split()[0]) + 1 for d in dates],
        "month": [int(str(d)[5:7]) - 1 for d in dates],
    }[days]
    seen = np.einsum("tyx,t->yx", block.valid, np.array(when, float))
    valid = block.valid.any(0)
    assert not with_labels
    assert np.array_equal(found.valid, valid)
    assert np.allclose(found.values[:3][:, valid], expected[:, valid], rtol=1e-4, atol=1e-4)
    assert np.allclose(found.values[3][valid], seen[valid], rtol=1e-5)


def test_a_graph_of_calendar_days_refuses_thermal_days(recipe, landscape, tmp_path):
    graph(tmp_path)
    days = [f"{datetime.date(2021, 1, 1) + datetime.timedelta(k)},15" for k in range(365)]
    (landscape / "meteo.csv").write_text("\n".join(["date,temperature", *days]))
    series = NATIVE + 'thermal = { temperature = "meteo.csv" }\n'
    scene = open_scene(read_recipe(recipe(FOREST, series, "s2")), Told(), tmp_path)
    with pytest.raises(ModelError, match="source 's2' gives thermal days, and the graph takes days of the calendar"):
        load_encoder(declared(tmp_path, scene), scene)
    graph(tmp_path, masked=False)
    text = "\n".join(line for line in DECLARED.splitlines() if not line.startswith(("valid", "days")))
    load_encoder(declared(tmp_path, scene, text), scene)


def test_a_graph_without_a_mask_gives_nodata_where_a_date_is_missing(scene, tmp_path):
    graph(tmp_path, masked=False)
    text = "\n".join(line for line in DECLARED.splitlines() if not line.startswith(("valid", "days")))
    trained, _ = load_encoder(declared(tmp_path, scene, text), scene)
    found = features_at(trained, scene, scene.grid.window, Forward(torch.device("cpu"), Lattice((16, 16), 16)))
    assert np.array_equal(found.valid, scene.cubes["s2"].read(scene.grid.window).valid.all(0))


@pytest.mark.slow
def test_the_features_are_a_raster(scene, tmp_path):
    graph(tmp_path)
    trained, _ = load_encoder(declared(tmp_path, scene), scene)
    write_features(trained, scene, tmp_path / "f.tif", torch.device("cpu"))
    source = open_source("f", SENSORS.get("image"), image.Settings(tmp_path / "f.tif"))
    assert (source.bands, source.grid) == (("b1", "b2", "b3", "b4"), scene.grid)


DISAGREEMENTS = [
    (("[inputs.s2]", "[inputs.s9]"), {}, "the recipe has no source 's9'"),
    (('values = "x"', 'values = "y"'), {}, "the graph needs the input 'x', which is not declared"),
    (('days = "days"', ""), {}, "the graph needs the input 'days', which is not declared"),
    (('valid = "mask"', 'valid = "mask"\nfoo = 1'), {}, "unknown key 'foo'"),
    (('"{1}"]', '"{1}", "thermal"]'), {}, "has no band 'thermal'"),
    (('"{1}"]', '"{1}"]\nunits = "dB"'), {}, "is in the unit 'linear', the graph expects 'dB'"),
    (("offset = 1", 'offset = "one"'), {}, "'offset' cannot be 'one'"),
    (("offset = 1", "offset = nan"), {}, "'offset' cannot be nan"),
    (('graph = "encoder.onnx"', 'graph = "other.onnx"'), {}, "other.onnx does not exist"),
    (
        ('graph = "encoder.onnx"', 'graph = "encoder.onnx"\noutput = "x"'),
        {},
        "has no output 'x'. Its outputs: features",
    ),
    (("", ""), {"dates": 3}, r"the input 'x' is tensor\(float\) \['n', 3, 2\]; the scene gives"),
    (("", ""), {"bands": 5}, r"the input 'x' is tensor\(float\)"),
]
"""Replaced text of the declaration, arguments of the graph, message."""


def test_what_does_not_agree_is_one_line(scene, tmp_path):
    for change, made, message in DISAGREEMENTS:
        graph(tmp_path, **made)
        path = declared(tmp_path, scene, DECLARED.replace(*change) if change[0] else DECLARED)
        with pytest.raises(ModelError, match=message) as caught:
            load_encoder(path, scene)
        assert "\n" not in str(caught.value)


def test_a_file_that_is_no_graph_is_one_line(scene, tmp_path):
    (tmp_path / "encoder.onnx").write_bytes(b"\x80\x04pickle")
    with pytest.raises(ModelError, match="cannot be read as an ONNX graph"):
        load_encoder(declared(tmp_path, scene), scene)
    (tmp_path / "bad.toml").write_text("graph = ")
    with pytest.raises(ModelError, match="cannot be read as the declaration of an encoder"):
        load_encoder(tmp_path / "bad.toml", scene)
