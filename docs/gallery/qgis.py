"""Draw the figure of the page about QGIS: the project of a run and the plugin, in the window of QGIS. Run ``make demo`` first.

It needs QGIS, Xvfb and ImageMagick: ``apt-get install qgis python3-qgis xvfb imagemagick``. A run in the folder of temporary
files would get another icon in the panel of layers.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from bocage.jobs.qgis import project_of

SIZE = "1360x860"
SECONDS = 40
"""Time that QGIS has to start and to draw."""
ARRANGE = """
from qgis.PyQt.QtCore import QTimer, Qt
from qgis.PyQt.QtWidgets import QDockWidget
from qgis.utils import iface

def arrange():
    window = iface.mainWindow()
    window.showNormal()
    window.move(0, 0)
    window.resize(*{size})
    docks = {{dock.objectName(): dock for dock in window.findChildren(QDockWidget)}}
    for name in ("Browser", "Browser2"):
        docks[name].hide()
    toolbox, layers = docks["ProcessingToolbox"], docks["Layers"]
    window.addDockWidget(Qt.RightDockWidgetArea, toolbox)
    toolbox.show()
    window.resizeDocks([layers, toolbox], [330, 300], Qt.Horizontal)
    tree = toolbox.algorithmTree
    for row in range(tree.model().rowCount()):
        provider = tree.model().index(row, 0)
        if provider.data() == "Bocage":
            tree.expand(provider)

QTimer.singleShot(6000, arrange)
"""
SETTINGS = """[PythonPlugins]
bocage=true
[locale]
overrideFlag=true
userLocale=en_US
"""

project = project_of(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/demo/run"), overwrite=True)
with tempfile.TemporaryDirectory() as home:
    profile = Path(home) / ".local/share/QGIS/QGIS3/profiles/default"
    shutil.copytree("qgis/bocage", profile / "python/plugins/bocage")
    (profile / "QGIS").mkdir()
    (profile / "QGIS/QGIS3.ini").write_text(SETTINGS)
    code, picture = Path(home) / "arrange.py", Path(home) / "window.png"
    code.write_text(ARRANGE.format(size=tuple(map(int, SIZE.split("x")))))
    script = (
        f"/usr/bin/qgis.bin --noversioncheck --nologo --project '{project.resolve()}' --code {code} & "
        f"sleep {SECONDS}; import -window root {picture}; kill $!"
    )
    screen = ["xvfb-run", "-a", "-s", f"-screen 0 {SIZE}x24", "sh", "-c", script]
    env = {"PATH": os.environ["PATH"], "HOME": home, "XDG_RUNTIME_DIR": home, "LANG": "C.UTF-8"}
    subprocess.run(screen, check=True, env=env)
    Image.open(picture).convert("P", palette=Image.Palette.ADAPTIVE).save("docs/gallery/qgis.png")
