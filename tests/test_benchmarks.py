"""Benchmarks follow the code that they measure: no figure of the documentation may lose its command."""

import importlib
from pathlib import Path

import pytest
from benchmarks.memory import bocage

MODULES = sorted(path.stem for path in (Path(__file__).parents[1] / "benchmarks").glob("*.py") if path.stem[0] != "_")


@pytest.mark.parametrize("name", MODULES)
def test_imports(name):
    importlib.import_module(f"benchmarks.{name}")


def test_peak_memory_of_a_command():
    assert 10 < bocage("sensors") < 10_000
