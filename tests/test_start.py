"""Start of the commands: rooms and libraries are imported when they are first used."""

import subprocess
import sys
import types

import pytest

from bocage import mapping, models, training
from bocage.later import Library, Room
from bocage.models import MODELS, InputSpec, build
from bocage.models.card import no_architecture

HEAVY = ("torch", "onnx", "lightning_fabric", "distributed", "odc.stac", "sklearn", "scipy", "numba", "lightgbm")


def held(code: str) -> list[str]:
    """Return which of the heavy libraries a new interpreter holds after `code`."""
    code += f"\nimport sys; print('held', *[m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.slow
def test_a_viewer_opens_a_run_without_pytorch(finished):
    code = (
        "from pathlib import Path\nfrom bocage.view import server\nfrom bocage.jobs.view import viewer_of\n"
        "server.static_files = lambda: dict.fromkeys(server.STATIC, b'')\n"
        f"viewer = viewer_of([Path({str(finished().out)!r})])\n"
        "assert viewer.runs[0].recipe is not None and viewer.runs[0].layers\nviewer.stop()"
    )
    assert held(code) == []


@pytest.mark.slow
def test_a_recipe_is_written_and_read_without_pytorch(landscape, tmp_path):
    code = (
        "from pathlib import Path\nfrom bocage.jobs.init import write_recipe\nfrom bocage.recipe import read_recipe\n"
        f"import bocage.jobs.check\nland, out = Path({str(landscape)!r}), Path({str(tmp_path / 'recipe.toml')!r})\n"
        "write_recipe(land, land / 'reference.gpkg', 'code', out)\n"
        "out.write_text(out.read_text().replace('\"?\"', '[4]'))\n"
        "assert read_recipe(out).choice.config.preset == 'medium'"
    )
    assert "torch" not in held(code)


@pytest.mark.parametrize("name", list(MODELS))
def test_settings_are_those_of_the_network(name):
    architecture = MODELS.get(name)
    assert not no_architecture(architecture)
    assert architecture.Config is architecture.module.Config
    assert architecture.CARD is architecture.module.CARD
    assert architecture.Model.__module__ == f"bocage.models.{name}" or name in models.SINGLE.things


def test_a_name_of_a_room_precedes_its_module():

    assert callable(training.adapt)
    assert callable(training.pretrain)
    assert callable(mapping.sureness)
    assert training.Trained is sys.modules["bocage.training.trained"].Trained


@pytest.mark.parametrize("room", [models, training, mapping])
def test_a_room_offers_what_it_lists(room):
    assert isinstance(room, Room)
    assert set(room.__all__) == set(room.__offered__)
    assert set(room.__all__) <= set(dir(room))
    assert all(not isinstance(getattr(room, name), types.ModuleType) for name in room.__all__)
    with pytest.raises(AttributeError, match=f"{room.__name__}' has no attribute 'nothing'"):
        _ = room.nothing


def test_a_library_is_imported_with_its_first_name():
    assert Library("json").loads("[1]") == [1]
    with pytest.raises(ModuleNotFoundError):
        _ = Library("no_such_library").name


def test_a_network_is_built_from_the_shelf():
    spec = {"s2": InputSpec("s2", ("red", "nir"), 3, models.card.Ratio())}
    assert build(MODELS.get("patchwork"), spec, 2, MODELS.get("patchwork").Config(preset="small")).width == 32
