"""Compatibility of a map with other software: STAC readers, GDAL, QGIS."""

import json
import re
import shutil
import subprocess

import pystac
import pytest
from pystac.validation.stac_validator import JsonSchemaSTACValidator

from bocage.mapping import Mapping, make_map

SYSTEM_PYTHON = "/usr/bin/python3"
"""Interpreter of Debian's python3-qgis."""
QGIS = """
import json, sys
from qgis.core import QgsApplication, QgsRasterLayer
application = QgsApplication([], False)
application.initQgis()
layer = QgsRasterLayer(sys.argv[1], "classes")
renderer = layer.renderer()
print(json.dumps({"valid": layer.isValid(), "type": renderer.type(),
                  "classes": [[int(c.value), c.label, c.color.name()] for c in renderer.classes()]}))
"""


def has_qgis():
    if not (shutil.which(SYSTEM_PYTHON) and shutil.which("gdal_translate")):
        return False
    return subprocess.run([SYSTEM_PYTHON, "-c", "import qgis.core"], capture_output=True, check=False).returncode == 0


@pytest.fixture
def land(brief, tmp_path):
    found = brief()
    return make_map(found.trained, found.scene, Mapping(), tmp_path / "map")


@pytest.fixture
def expected(land):
    legend = land.legend
    return [[c.code, c.name, color.lower()] for c, color in zip(legend.classes, legend.colors, strict=True)]


def test_the_item_is_valid_against_the_core_of_stac(land):
    item = json.loads((land.files["classes"].parent / "item.json").read_text())
    JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])
    del item["assets"]["classes"]["href"]
    with pytest.raises(pystac.errors.STACValidationError):
        JsonSchemaSTACValidator().validate_core(item, pystac.STACObjectType.ITEM, item["stac_version"])


@pytest.mark.skipif(not shutil.which("gdalinfo"), reason="needs gdalinfo (Debian: gdal-bin)")
def test_gdalinfo_shows_categories_and_colours(land, expected):
    text = subprocess.run(["gdalinfo", land.files["classes"]], capture_output=True, text=True, check=True).stdout
    names = dict(re.findall(r"^\s+(\d+): ([^\d\s].*)$", text, re.MULTILINE))
    colors = dict(re.findall(r"^\s+(\d+): (\d+,\d+,\d+),255$", text, re.MULTILINE))
    for code, name, color in expected:
        assert names[str(code)] == name
        assert colors[str(code)] == ",".join(str(int(color[i : i + 2], 16)) for i in (1, 3, 5))


@pytest.mark.skipif(not has_qgis(), reason="needs QGIS and GDAL's tools (Debian: python3-qgis, gdal-bin)")
def test_qgis_uses_the_style_file_of_the_map(land, expected, tmp_path):
    # The colours of the raster and its sidecar are removed, so that QGIS can read them from the style only.
    classes, bare = land.files["classes"], tmp_path / "bare.tif"
    subprocess.run(["gdal_translate", "-q", "-colorinterp", "gray", classes, bare], check=True)
    bare.with_name("bare.tif.aux.xml").unlink(missing_ok=True)
    shutil.copy(classes.with_name("classes.qml"), bare.with_suffix(".qml"))
    environment = {"QT_QPA_PLATFORM": "offscreen", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(
        [SYSTEM_PYTHON, "-c", QGIS, bare], capture_output=True, text=True, check=False, env=environment
    )
    layer = json.loads(done.stdout)
    assert layer["valid"]
    assert layer["type"] == "paletted"
    assert layer["classes"] == expected
