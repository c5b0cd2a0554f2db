"""Files of a folder as people keep it: links are followed, system files and the results of earlier runs are not imagery."""

import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from bocage.layout import MapLayout, RunLayout

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz")


def is_archive(path: Path) -> bool:
    """Return whether the name of a file is that of an archive that Bocage reads in place, in any case.

    >>> is_archive(Path("A.ZIP")), is_archive(Path("LC08.tar")), is_archive(Path("B04.tif"))
    (True, True, False)
    """
    return path.name.lower().endswith(ARCHIVES)


def is_system(name: str) -> bool:
    """Return whether a path inside a folder or archive belongs to the operating system or is hidden, and holds no imagery.

    >>> is_system("a.SAFE/._B04.jp2"), is_system("__MACOSX/a.SAFE/B04.jp2"), is_system("a.SAFE/B04.jp2")
    (True, True, False)
    """
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def is_result(folder: Path) -> bool:
    """Return whether a folder is that of a run or of a map of Bocage, complete or not."""
    run, layer = RunLayout(folder), MapLayout(folder)
    return (
        (run.recipe.exists() and run.provenance.exists())
        or (layer.is_complete and layer.areas.exists())
        or bool(layer.incomplete)
    )


def files_below(root: Path, skipped: Callable[[Path], None] = lambda folder: None) -> list[Path]:
    """Return the files below a folder, sorted; a folder that several links point to is listed once.

    Hidden files and the folders of earlier runs are left out: a map made from the images must not become one of them.

    Parameters
    ----------
    skipped
        Called with each folder of an earlier run.
    """
    files, seen = [], set()
    for here, folders, names in os.walk(root, followlinks=True):
        seen.add(os.path.realpath(here))
        kept = []
        for name in sorted(folders):
            folder = Path(here, name)
            if is_system(name) or os.path.realpath(folder) in seen:
                continue
            if is_result(folder):
                skipped(folder)
                continue
            seen.add(os.path.realpath(folder))
            kept.append(name)
        folders[:] = kept
        files += [Path(here, name) for name in names if not is_system(name)]
    return sorted(path for path in files if path.is_file())
