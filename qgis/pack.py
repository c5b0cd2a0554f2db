"""Pack the plugin of QGIS into a zip archive for its plugin manager: ``python3 qgis/pack.py dist/bocage-qgis.zip``."""

import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Time of all members: the same plugin has the same bytes."""


def pack(target: Path) -> Path:
    """Write the archive, and return its path."""
    target.parent.mkdir(parents=True, exist_ok=True)
    files = [path for path in sorted((HERE / "bocage").iterdir()) if path.suffix in (".py", ".txt", ".svg")]
    with zipfile.ZipFile(target, "w") as archive:
        for path in [*files, HERE.parent / "LICENSE"]:
            member = zipfile.ZipInfo(f"bocage/{path.name}", EPOCH)
            archive.writestr(member, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return target


if __name__ == "__main__":
    print(pack(Path(sys.argv[1])))
