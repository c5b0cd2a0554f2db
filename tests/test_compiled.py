"""Functions compiled by numba: their cache on disk, and a processor without the instructions of vectors."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numba.core.caching
import numpy as np
import pytest
import rasterio
import torch

from bocage.grid import Ratio
from bocage.machine import compiled
from bocage.mapping import Mapping, make_map
from bocage.models import InputSpec, build, lanes, mixture, patchwork
from bocage.models.member import Member

OUTER = """
from functools import partial
from pathlib import Path
import inner
from bocage.machine import compiled

@partial(compiled, uses=(Path(inner.__file__),))
def outer(x):
    return inner.inner(x) + 1

print(outer(1), sum(outer.stats.cache_hits.values()))
"""
INNER = "import numba\n\n@numba.njit\ndef inner(x):\n    return {} * x\n"


@pytest.mark.slow
def test_a_cache_of_an_earlier_version_is_not_used(tmp_path):
    def work() -> str:
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, "outer.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    (tmp_path / "outer.py").write_text(OUTER)
    (tmp_path / "inner.py").write_text(INNER.format(2))
    before = (tmp_path / "inner.py").stat()
    assert work() == "3 0"
    assert work() == "3 1"
    (tmp_path / "inner.py").write_text(INNER.format(5))
    os.utime(tmp_path / "inner.py", ns=(before.st_atime_ns, before.st_mtime_ns))  # as packages with a fixed time
    assert work() == "6 0"


def test_without_a_folder_for_the_cache_functions_are_compiled_in_memory(monkeypatch):
    def read_only(self):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(numba.core.caching._CacheLocator, "ensure_cache_path", read_only)

    @compiled
    def doubled(x):
        return 2 * x

    assert doubled(4) == 8
    assert not doubled.stats.cache_path


def _read(path: Path) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read().astype(int)


@pytest.fixture
def without_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "USABLE", False)


class Heard:
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: object) -> None:
        self.said.append(str(text))

    def step(self, *_: object) -> None: ...


@pytest.mark.slow
def test_a_processor_without_the_instructions_makes_the_map_and_says_so_once(brief, tmp_path, monkeypatch):
    model = brief('name = "patchwork"\npreset = "small"')
    trained, scene = model.trained, model.scene
    monkeypatch.setattr(patchwork, "WORTH_COMPILING", 1)
    settings = Mapping(tile=16, layers=("classes", "probabilities"), probabilities="uint16")
    monkeypatch.setattr("bocage.mapping.lattice.SMALL", 16)
    with_lanes = make_map(trained, scene, settings, tmp_path / "with", progress=(quiet := Heard()))
    monkeypatch.setattr(lanes, "USABLE", False)
    without = make_map(trained, scene, settings, tmp_path / "without", progress=(heard := Heard()))
    assert not any("AVX2" in line for line in quiet.said)
    assert [line for line in heard.said if "AVX2" in line] == [patchwork.NO_LANES]
    one, other = (_read(land.files["probabilities"]) for land in (with_lanes, without))
    assert np.abs(one - other).max() <= 1


def test_the_reason_concerns_the_processor_only(without_instructions):
    spec = {"s2": InputSpec("s2", ("red", "nir"), 3, Ratio())}
    network = build(patchwork, spec, 2, patchwork.Config(preset="small"))
    assert network.slow_because(torch.device("cpu")) == patchwork.NO_LANES
    assert not network.slow_because(torch.device("cuda"))
    members = mixture.Config((Member("patchwork", {"preset": "small"}), Member("gru", {"units": 4})))
    assert build(mixture, spec, 2, members).slow_because(torch.device("cpu")) == patchwork.NO_LANES


def test_the_name_of_a_compiled_function_has_the_content_of_its_file():
    @compiled
    def same(x):
        return x

    content = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    assert same.py_func.__qualname__.endswith(content[:16])
