"""The plugin of QGIS, from its archive: its algorithms call the command of Bocage, and load what it wrote."""

import configparser
import json
import runpy
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bocage import __version__
from test_qgis import OFFSCREEN, PYTHON, has_qgis

ROOT = Path(__file__).parents[1]
COMMAND = """#!{python}
import json, pathlib, signal, sys, time
name, *rest = sys.argv[1:]
after = lambda option: rest[rest.index(option) + 1]
print(name + ": started", file=sys.stderr)
if name == "init":
    pathlib.Path(after("--out")).write_text(json.dumps(rest))
elif name == "check":
    print("reading: 3/3 in 1 s", file=sys.stderr)
    finding = {{"severity": "error", "code": "x", "where": "s2", "what": "no été", "remedy": "Buy one."}}
    print(json.dumps({{"findings": [finding, {{**finding, "severity": "note"}}]}}, indent=1))
    sys.exit(1)
elif name == "run":
    for k in range(1, 5):
        print(f"training gru, draw 1 of 1: {{k}}/4, about 3 s left - loss 0.1", file=sys.stderr)
    print("map: here")
elif name == "map":
    def stop(*_):
        pathlib.Path("stopped").touch()
        sys.exit(143)
    signal.signal(signal.SIGTERM, stop)
    print("mapping: 1/10", file=sys.stderr, flush=True)
    time.sleep(60)
elif name == "finish":
    print("error: recipe.toml: 2 problems:\\n  - one\\n  - two", file=sys.stderr)
    sys.exit(1)
"""
REAL = """#!/bin/sh
PYTHONPATH={source} exec {python} -m bocage "$@"
"""


def written(path: Path, text: str) -> Path:
    """An executable file."""
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def played(home: Path, story: list, command: Path | None) -> dict:
    """What the algorithms of a story did, each with its parameters and the progress at which it is cancelled."""
    if not has_qgis():
        pytest.skip("QGIS is not installed")
    archive = runpy.run_path(str(ROOT / "qgis/pack.py"))["pack"](home / "bocage-qgis.zip")
    with zipfile.ZipFile(archive) as packed:
        packed.extractall(home / "plugins")
    (home / "story.json").write_text(json.dumps(story))
    env = OFFSCREEN | {"HOME": str(home), "XDG_RUNTIME_DIR": str(home)}
    env |= {"BOCAGE_EXECUTABLE": str(command)} if command else {"PATH": "/usr/bin"}
    script = str(Path(__file__).with_name("qgis_plugin.py"))
    line = [PYTHON, script, str(home / "plugins"), str(home / "story.json")]
    done = subprocess.run(line, check=False, capture_output=True, text=True, env=env, timeout=240)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_algorithms_show_progress_and_errors_and_end_the_command_on_cancel(finished, tmp_path):
    run, folder = finished(), tmp_path / "été 1"
    folder.mkdir()
    recipe = folder / "my recipe.toml"
    recipe.touch()
    reference = str(run.recipe.parent / "reference.gpkg")
    command = written(tmp_path / "bocage", COMMAND.format(python=sys.executable))
    made = {"IMAGES": str(folder), "REFERENCE": reference, "LABEL": "code", "RECIPE": str(folder / "new.toml")}
    story = [
        ["bocage:makerecipe", made, None],
        ["bocage:makerecipe", {**made, "REFERENCE": "memory"}, None],
        ["bocage:check", {"RECIPE": str(recipe)}, None],
        ["bocage:run", {"RECIPE": str(recipe), "FOLDER": str(run.out), "SETTINGS": "a.b=1\n\nc=2", "WORKERS": 2}, None],
        ["bocage:mapwithmodel", {"RECIPE": str(recipe), "MODEL": str(folder), "FOLDER": str(tmp_path / "map")}, 10],
        ["bocage:finish", {"FOLDER": str(run.out)}, None],
    ]
    seen = played(tmp_path, story, command)
    names = ("check", "finish", "makerecipe", "mapwithmodel", "openrun", "run")
    assert seen["algorithms"] == [f"bocage:{name}" for name in names]
    assert seen["unloaded"]
    init, drawn, check, whole, cancelled, finish = seen["told"]
    assert init["results"] == {"RECIPE": made["RECIPE"]}
    assert json.loads((folder / "new.toml").read_text()) == [
        str(folder), reference, "--out", made["RECIPE"], "--label", "code",
    ]  # fmt: skip
    assert "'drawn'" in drawn["error"]
    assert (check["error"], check["results"]) == ("", {"ERRORS": 1, "WARNINGS": 0})
    assert check["progress"] == [100]
    assert {f"{severity}: s2: no été Buy one." for severity in ("error", "note")} <= set(check["lines"])
    assert whole["progress"] == [25, 50, 75, 100]
    assert "map: here" in whole["lines"]
    assert whole["lines"][0].split(" run ")[1].endswith("--set a.b=1 --set c=2 --workers 2")
    assert whole["results"]["CLASSES"] == str(run.out / "map/classes.tif")
    land, parts = whole["loaded"]["land cover"], whole["loaded"]["reference polygons, by part"]
    assert (land[:2], land[3]) == ([True, "paletted"], True)
    assert (parts[:2], parts[3]) == ([True, "categorizedSymbol"], True)
    assert whole["loaded"]["confidence"][3] is False
    assert whole["groups"] == [["Reference", "Map", "Quality", "Imagery"]]
    assert finish["groups"] == []
    assert cancelled["error"].startswith("Cancelled")
    assert (folder / "stopped").exists()
    assert finish["error"] == "recipe.toml: 2 problems:\n  - one\n  - two"


@pytest.mark.slow
def test_a_run_is_opened_by_the_real_command(finished, tmp_path):
    out = finished().copied(tmp_path / "run")
    text = REAL.format(source=ROOT / "src", python=sys.executable)
    (opened,) = played(tmp_path, [["bocage:openrun", {"FOLDER": str(out)}, None]], written(tmp_path / "bocage", text))[
        "told"
    ]
    assert opened["results"]["PROJECT"] == str(out / "qgis/project.qgz")
    assert opened["loaded"]["land cover"] == [True, "paletted", str(out / "map/classes.tif"), True]


@pytest.mark.slow
def test_without_the_command_the_message_says_where_to_set_it(tmp_path):
    story = [["bocage:openrun", {"FOLDER": str(tmp_path)}, None]]
    (absent,) = played(tmp_path, story, None)["told"]
    assert "Settings, Options, Processing, Providers, Bocage" in absent["error"]


def test_the_archive_has_the_version_and_all_modules(tmp_path):
    archive = runpy.run_path(str(ROOT / "qgis/pack.py"))["pack"](tmp_path / "a/plugin.zip")
    with zipfile.ZipFile(archive) as packed:
        names = set(packed.namelist())
        about = configparser.ConfigParser()
        about.read_string(packed.read("bocage/metadata.txt").decode())
    assert about["general"]["version"] == __version__
    assert names >= {f"bocage/{path.name}" for path in (ROOT / "qgis/bocage").glob("*.py")} | {"bocage/LICENSE"}


def test_every_text_of_the_plugin_has_two_languages():
    source = (ROOT / "qgis/bocage/words.py").read_text()
    words: dict = {}
    exec(source[source.index("WORDS = ") : source.index("\ndef text")], words)
    for english, french in words["WORDS"].values():
        holes = [sorted(part.split("}")[0] for part in one.split("{")[1:]) for one in (english, french)]
        assert holes[0] == holes[1]
        assert not any(f" {mark}" in french for mark in ":;?!»")
        assert "« " not in french
