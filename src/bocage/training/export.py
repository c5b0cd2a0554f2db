"""Export a trained network to ONNX, with a STAC item that describes the model and its inputs.

The inputs of the graph are, for any number of samples and for every source, the scaled values of one footprint, their
validity and their days. The output is calibrated logits. The logits are compared with those of PyTorch before the file
gets its final name. The item follows the Machine Learning Model extension (MLM).
"""

import datetime
import json
import logging
import shutil
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pyproj import CRS
from torch import Tensor, nn

from bocage.disk import move, naming, own_part_of, sha256_of
from bocage.errors import ModelError, TrainedError
from bocage.grid import WGS84, geojson_of
from bocage.models import SourceTensor
from bocage.training.records import CALENDAR, YEARS_BEFORE, SourceRecord
from bocage.training.trained import Trained

TOLERANCE = 1e-4
"""Maximum absolute difference between the logits of PyTorch and ONNX."""
OPSET = 20
GRAPH, ITEM = "model.onnx", "item.json"
INPUTS = ("values", "valid", "days")


def export(trained: Trained, folder: Path) -> Path:
    """Write ``model.onnx`` and ``item.json`` to a new folder; return the folder.

    Raises
    ------
    ModelError
        The model is not a network (decision trees).
    TrainedError
        The folder exists, an optional package is missing, or the logits of PyTorch and ONNX differ.
    """
    if folder.exists():
        raise TrainedError(f"{folder} exists; choose another folder.")
    if trained.model.abilities.fitted:
        raise ModelError(
            f"{trained.title} does not export to ONNX: it has decision trees, which are not a network. Use 'bocage map'."
        )
    partial = own_part_of(folder)  # two commands may export to one folder: their files must not be mixed
    partial.mkdir(parents=True)
    try:
        with naming(folder):
            worst = _write_onnx(trained, partial / GRAPH)
            item = _item(trained, partial / GRAPH, worst)
            (partial / ITEM).write_text(json.dumps(item, indent=1), encoding="utf-8")
        if folder.exists():
            raise TrainedError(f"{folder} exists; choose another folder.")
        move(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


class _Flat(nn.Module):
    """The network with positional tensors as inputs instead of a batch, as ONNX requires."""

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.model, self.names, self.trained = trained.model, list(trained.footprints), trained

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return calibrated logits (N, K) from values, validity and days of every source in turn."""
        batch = {name: SourceTensor(*tensors[3 * i : 3 * i + 3]) for i, name in enumerate(self.names)}
        return self.trained.scaled(self.model(batch), batch)[:, :, 0, 0]


def _write_onnx(trained: Trained, path: Path) -> float:
    """Write the graph; return its largest difference from PyTorch, measured on samples not used for tracing."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - required by the exporter of PyTorch
    except ImportError as error:
        raise TrainedError(f"Export needs the package {error.name}: pip install 'bocage[export]'.") from error
    flat, names = _Flat(trained).eval(), [f"{name}_{part}" for name in trained.footprints for part in INPUTS]
    samples = torch.export.Dim("samples", min=1, max=1 << 20)
    traced = _random(trained, 4, 0)
    # The exporter logs that torchvision is missing, which Bocage does not use.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            flat, tuple(traced), None, dynamo=True, input_names=names, output_names=["logits"], opset_version=OPSET,
            dynamic_shapes=(tuple({0: samples} for _ in traced),), verbose=False, external_data=False,
        )  # fmt: skip
    if program is None:
        raise TrainedError(f"{trained.name}: PyTorch returned no ONNX program.")
    program.save(path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    worst = float(np.max([_difference(trained, session, flat, names, seed) for seed in range(1, 4)]))  # NaN counts
    if not worst <= TOLERANCE:
        raise TrainedError(
            f"{trained.name}: logits of ONNX and PyTorch differ by up to {worst:.2g}; the tolerance is {TOLERANCE:g}."
        )
    return worst


def _random(trained: Trained, size: int, seed: int) -> list[Tensor]:
    """Return random samples with a fifth of the dates masked, in the order of the inputs of the graph."""
    generator, tensors = torch.Generator().manual_seed(seed), []
    for name, footprint in trained.footprints.items():
        record = trained.sources[name]
        shape = (size, record.spec.dates, len(record.spec.bands), footprint.size, footprint.size)
        valid = torch.rand((size, record.spec.dates, 1, 1), generator=generator) > 0.2
        tensors += [
            torch.randn(shape, generator=generator),
            valid.expand(size, record.spec.dates, footprint.size, footprint.size).contiguous(),
            # Of several sites, the record has the days of all, and the specification the dates of the longest series.
            torch.tensor(record.days[: record.spec.dates], dtype=torch.int32).repeat(size, 1),
        ]
    return tensors


def _difference(trained: Trained, session: Any, flat: nn.Module, names: list[str], seed: int) -> float:
    """Return the largest difference between the logits of a session of ONNX and of PyTorch, on random samples."""
    known = {entry.name for entry in session.get_inputs()}  # the graph has no input for days that the network ignores
    tensors = _random(trained, 5 + seed, seed)
    inputs = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True) if name in known}
    with torch.no_grad():
        expected = flat(*tensors).numpy()
    return float(np.abs(session.run(None, inputs)[0] - expected).max())


def _item(trained: Trained, path: Path, worst: float) -> dict[str, Any]:
    """Return the STAC item with the extensions MLM and file."""
    import pystac
    from pystac.extensions.mlm import Hyperparameters, MLMExtension, TaskType

    geometry, box = _place(trained)
    item = pystac.Item(f"bocage-{trained.name}", geometry, box, datetime.datetime.now(datetime.UTC), {})
    MLMExtension.ext(item, add_if_missing=True).apply(
        name=f"bocage {trained.title}",
        architecture=trained.name,
        tasks=[TaskType.SEMANTIC_SEGMENTATION],
        input=[_input(trained, name, record) for name, record in trained.sources.items()],
        output=[_output(trained)],
        framework="ONNX",
        framework_version=f"opset {OPSET}",
        total_parameters=sum(p.numel() for p in trained.model.parameters()),
        pretrained=True,
        pretrained_source="trained on the user's polygons",
        hyperparameters=Hyperparameters.create(**asdict(trained.config)),
    )
    item.add_asset("model", _asset(path, worst))
    item.stac_extensions.append("https://stac-extensions.github.io/file/v2.1.0/schema.json")
    item.properties["bocage:calibration"] = asdict(trained.calibration)
    item.properties["bocage:versions"] = dict(trained.versions)
    document: dict[str, Any] = item.to_dict(include_self_link=False, transform_hrefs=False)
    return document


def _output(trained: Trained) -> Any:
    """Return the description of the logits."""
    from pystac.extensions.classification import Classification
    from pystac.extensions.mlm import ModelOutput, ResultStructure, TaskType
    from pystac.extensions.raster import DataType

    legend = trained.legend.classes
    classes = [Classification.create(c.code, c.name.replace(" ", "-"), c.name) for c in legend]
    result = ResultStructure.create([-1, len(legend)], ["batch", "class"], DataType.FLOAT32)
    return ModelOutput.create("logits", [TaskType.SEMANTIC_SEGMENTATION], result, "calibrated logits", classes)


def _asset(path: Path, worst: float) -> Any:
    """Return the description of the file of the graph, with its largest difference from PyTorch."""
    import pystac

    asset = pystac.Asset(f"./{GRAPH}", "model", media_type="application/onnx", roles=["mlm:model", "mlm:weights"])
    asset.extra_fields = {
        "mlm:artifact_type": "torch.onnx.export",
        "file:size": path.stat().st_size,
        "file:checksum": "1220" + sha256_of(path),  # multihash: SHA-256, 32 bytes
        "bocage:largest_difference": worst,
    }
    return asset


def _input(trained: Trained, name: str, record: SourceRecord) -> Any:
    from pystac.extensions.mlm import InputStructure, ModelInput, ValueScaling, ValueScalingType
    from pystac.extensions.raster import DataType

    normalisation, footprint = trained.normalisation, trained.footprints[name]
    size = footprint.size
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
    model_input = ModelInput.create(
        f"{name}_values",
        list(record.spec.bands),
        structure,
        f"Source '{name}', pixels of {record.resolution:g} CRS units, 0 where not valid; the map pixel begins at row and column "
        f"{footprint.before}, counted from 0; beside it {name}_valid "
        f"(bool: batch, time, y, x) and {name}_days (int32: batch, time; {_clock(record)}).",
    )
    model_input.properties["value_scaling"] = [band.to_dict() for band in scaling]
    return model_input


def _clock(record: SourceRecord) -> str:
    """Return what the days of a source are."""
    if record.clock in (CALENDAR, YEARS_BEFORE):
        return "days since 1970-01-01" if record.clock == CALENDAR else record.clock
    return f"days since 1970-01-01 that stand for growing degree days: {record.clock}"


def _place(trained: Trained) -> tuple[dict[str, Any], list[float]]:
    """Return geometry and bounds of the training region in degrees (EPSG:4326); the whole world for a table of samples."""
    crs, bounds = trained.region.crs, trained.region.bounds
    if crs.startswith("ENGCRS"):
        crs, bounds = WGS84, (-180, -90, 180, 90)
    return geojson_of(CRS(crs), bounds)
