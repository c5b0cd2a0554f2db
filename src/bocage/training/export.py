"""A trained network for others: ONNX, and a STAC item that says what it is and how it is fed.

The graph takes, for any number of samples, the scaled values of one footprint of every source, their validity and their
days, and gives calibrated logits. It is checked against PyTorch before its file gets its name. The item follows the
Machine Learning Model extension (MLM).
"""

import datetime
import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bocage.disk import replacing_folder, sha256_of
from bocage.errors import ModelError, TrainedError
from bocage.models import SourceTensor
from bocage.training.trained import SourceRecord, Trained

TOLERANCE = 1e-4
"""Largest difference of logits between PyTorch and ONNX."""
OPSET = 20
GRAPH, ITEM = "model.onnx", "item.json"
INPUTS = ("values", "valid", "days")


def export(trained: Trained, folder: Path) -> Path:
    """Write ``model.onnx`` and ``item.json`` into a new folder, and return it.

    Raises
    ------
    ModelError
        The model is no graph of tensors (trees).
    TrainedError
        The folder exists, an optional package is missing, or PyTorch and ONNX disagree.
    """
    if folder.exists():
        raise TrainedError(f"{folder} exists; choose another folder.")
    if not list(trained.model.parameters()):
        raise ModelError(f"{trained.name} does not export to ONNX: trees are not a network; map with 'bocage map'.")
    with replacing_folder(folder) as partial:
        worst = _write_onnx(trained, partial / GRAPH)
        item = _item(trained, partial / GRAPH, worst)
        (partial / ITEM).write_text(json.dumps(item, indent=1))
    return folder


class _Flat(nn.Module):
    """The network with tensors in a row instead of a batch."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.model, self.names = trained.model, list(trained.footprints)
        self.temperature = trained.calibration.temperature

    def forward(self, *tensors: Tensor) -> Tensor:
        """Values, valid and days of every source in turn → logits (N, K)."""
        batch = {name: SourceTensor(*tensors[3 * i : 3 * i + 3]) for i, name in enumerate(self.names)}
        logits: Tensor = self.model(batch)[:, :, 0, 0]
        return logits / self.temperature


def _write_onnx(trained: Trained, path: Path) -> float:
    """Write the graph; return the largest difference from PyTorch on other samples than it was traced with."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - PyTorch's exporter needs it
    except ImportError as error:
        raise TrainedError(f"Exporting needs {error.name}: pip install 'bocage[export]'.") from error
    flat, names = _Flat(trained).eval(), [f"{name}_{part}" for name in trained.footprints for part in INPUTS]
    samples = torch.export.Dim("samples", min=1, max=1 << 20)
    traced = _random(trained, 4, 0)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            flat, tuple(traced), None, dynamo=True, input_names=names, output_names=["logits"], opset_version=OPSET,
            dynamic_shapes=(tuple({0: samples} for _ in traced),), verbose=False, external_data=False,
        )  # fmt: skip
    if program is None:
        raise TrainedError(f"{trained.name}: PyTorch gave no ONNX program.")
    program.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    known = {one.name for one in session.get_inputs()}  # a network that reads no days has no such input
    worst = 0.0
    for seed in range(1, 4):
        tensors = _random(trained, 5 + seed, seed)
        fed = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True) if name in known}
        with torch.no_grad():
            expected = flat(*tensors).numpy()
        worst = max(worst, float(np.abs(session.run(None, fed)[0] - expected).max()))
    if not worst <= TOLERANCE:
        raise TrainedError(
            f"{trained.name}: logits of ONNX and PyTorch differ by up to {worst:.2g}, more than {TOLERANCE:g}."
        )
    return worst


def _random(trained: Trained, size: int, seed: int) -> list[Tensor]:
    """Random samples, a fifth of their dates masked, in the order of the graph's inputs."""
    generator, tensors = torch.Generator().manual_seed(seed), []
    for name, footprint in trained.footprints.items():
        record = trained.sources[name]
        shape = (size, record.spec.dates, len(record.spec.bands), footprint.size, footprint.size)
        valid = torch.rand((size, record.spec.dates, 1, 1), generator=generator) > 0.2
        tensors += [
            torch.randn(shape, generator=generator),
            valid.expand(size, record.spec.dates, footprint.size, footprint.size).contiguous(),
            torch.tensor(record.days, dtype=torch.int32).repeat(size, 1),
        ]
    return tensors


def _item(trained: Trained, path: Path, worst: float) -> dict[str, Any]:
    """The STAC item, with the extensions MLM and file."""
    import pystac
    from pystac.extensions.classification import Classification
    from pystac.extensions.mlm import (
        Hyperparameters,
        MLMExtension,
        ModelOutput,
        ResultStructure,
        TaskType,
    )
    from pystac.extensions.raster import DataType

    geometry, box = _place(trained)
    item = pystac.Item(f"bocage-{trained.name}", geometry, box, datetime.datetime.now(datetime.UTC), {})
    legend = trained.legend.classes
    classes = [Classification.create(c.code, c.name.replace(" ", "-"), c.name) for c in legend]
    result = ResultStructure.create([-1, len(legend)], ["batch", "class"], DataType.FLOAT32)
    output = ModelOutput.create("logits", [TaskType.SEMANTIC_SEGMENTATION], result, "calibrated logits", classes)
    MLMExtension.ext(item, add_if_missing=True).apply(
        name=f"bocage {trained.name}",
        architecture=trained.name,
        tasks=[TaskType.SEMANTIC_SEGMENTATION],
        input=[_input(trained, name, record) for name, record in trained.sources.items()],
        output=[output],
        framework="ONNX",
        framework_version=f"opset {OPSET}",
        total_parameters=sum(p.numel() for p in trained.model.parameters()),
        pretrained=True,
        pretrained_source="trained on the user's polygons",
        hyperparameters=Hyperparameters.create(**asdict(trained.config)),
    )
    asset = pystac.Asset(f"./{GRAPH}", "model", media_type="application/onnx", roles=["mlm:model", "mlm:weights"])
    asset.extra_fields = {
        "mlm:artifact_type": "torch.onnx.export",
        "file:size": path.stat().st_size,
        "file:checksum": "1220" + sha256_of(path),  # multihash: SHA-256, 32 bytes
        "bocage:largest_difference": worst,
    }
    item.add_asset("model", asset)
    item.stac_extensions.append("https://stac-extensions.github.io/file/v2.1.0/schema.json")
    item.properties["bocage:calibration"] = asdict(trained.calibration)
    item.properties["bocage:versions"] = dict(trained.versions)
    said: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return said


def _input(trained: Trained, name: str, record: SourceRecord) -> Any:
    from pystac.extensions.mlm import InputStructure, ModelInput, ValueScaling, ValueScalingType
    from pystac.extensions.raster import DataType

    normalisation, size = trained.normalisation, trained.footprints[name].size
    scaling = [
        ValueScaling.create(ValueScalingType.Z_SCORE, mean=offset, stddev=scale)
        if normalisation.kind == "mean-std"
        else ValueScaling.create(ValueScalingType.MIN_MAX, minimum=offset, maximum=offset + scale)
        for offset, scale in zip(normalisation.offset[name], normalisation.scale[name], strict=True)
    ]
    structure = InputStructure.create(
        [-1, record.spec.dates, len(record.spec.bands), size, size],
        ["batch", "time", "bands", "y", "x"],
        DataType.FLOAT32,
    )
    made = ModelInput.create(
        f"{name}_values",
        list(record.spec.bands),
        structure,
        f"Source '{name}' at {record.resolution:g} m, 0 where not valid; beside it {name}_valid (bool: batch, time, y, x) and "
        f"{name}_days (int32: batch, time; days since 1970-01-01).",
    )
    made.properties["value_scaling"] = [one.to_dict() for one in scaling]
    return made


def _place(trained: Trained) -> tuple[dict[str, Any], list[float]]:
    """Region of the training in longitude and latitude; the whole world for a table of samples."""
    from odc.geo.geom import box

    crs, bounds = trained.region.crs, trained.region.bounds
    region = box(-180, -90, 180, 90, "EPSG:4326") if crs.startswith("ENGCRS") else box(*bounds, crs).to_crs("EPSG:4326")
    return region.json, list(region.boundingbox.bbox)
