"""``bocage report``: write the report of a folder again, from what the folder holds."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bocage.errors import BocageError, RunFolderError
from bocage.jobs.run import run
from bocage.layout import RunLayout
from bocage.mapping import Item, LandCoverMap, open_map_folder
from bocage.progress import QUIET, Progress
from bocage.provenance import Provenance
from bocage.recipe import Recipe, read_recipe
from bocage.redaction import redacted
from bocage.report.transfer import Adaptation, Asked, Mapped, Transfer, TransferMaterial
from bocage.run import has_results, held, open_scene
from bocage.scene import Scene


def asked_of(recipe: Recipe) -> Asked:
    """Return what the record of a map or of an adaptation keeps of the recipe of its scene."""
    classes = tuple(zip(recipe.legend.codes, recipe.legend.names, strict=True))
    overrides = tuple(redacted(text) for text in recipe.overrides)
    return Asked(recipe.name, str(recipe.path.resolve()), recipe.report.language, classes, overrides)


def report_of(folder: Path, progress: Progress = QUIET, overrides: Sequence[str] = ()) -> Path:
    """Write the report of a run, of a map by a model of another run, or of an adaptation again; return its path.

    Parameters
    ----------
    overrides
        Settings ``KEY=VALUE`` that replace those of the recipe and of the run.

    Raises
    ------
    RunFolderError
        The folder has nothing to report, or the recipe of its run is missing.
    """
    layout = RunLayout(folder)
    if not layout.path.is_dir():
        raise RunFolderError(
            f"{folder} does not exist. Give the folder of a run, of a map or of an adaptation, or a recipe."
        )
    mapped, adapted = Mapped.load(layout.mapped), Adaptation.load(layout.adapted)
    if mapped and not _is_map_of(mapped, layout):
        mapped = None
    if mapped is None and has_results(layout):
        return _report_of_run(layout, progress, overrides)
    if mapped is None and adapted is None:
        raise RunFolderError(
            f"{folder} has no complete run, no complete map by a model of another run and no adaptation. Run 'bocage run', "
            "'bocage map --model' or 'bocage adapt' first, or give the folder of one."
        )
    with held(folder):
        record: Any = mapped or adapted
        scene = _scene_of(record.transfer, layout.path, progress, overrides)
        return write_transfer_of(layout, mapped, adapted, scene)


def write_transfer_of(
    layout: RunLayout, mapped: Mapped | None, adapted: Adaptation | None, opened: tuple[Scene | None, str]
) -> Path:
    """Write the page of a map by a model of another run, or of an adaptation without a map.

    Parameters
    ----------
    opened
        The scene, or None if it cannot be opened, and the language.
    """
    from bocage.report.transfer_page import write_transfer  # imported here because matplotlib takes a second to import

    scene, language = opened
    if mapped:
        land: LandCoverMap | None = open_map_folder(layout.map.path)
        assert land is not None
        changed = mapped.adapted.change if mapped.adapted and not mapped.adapted.change.kept else None
        judgement = changed.judgement if changed else mapped.judgement
        return write_transfer(
            TransferMaterial(layout, mapped.transfer, land.legend, language, land, scene, mapped.adapted, judgement)
        )
    assert adapted is not None
    judgement = adapted.change.judgement
    return write_transfer(
        TransferMaterial(layout, adapted.transfer, adapted.legend, language, None, scene, adapted, judgement)
    )


def _is_map_of(mapped: Mapped, layout: RunLayout) -> bool:
    """Return whether the folder has the complete map of the record."""
    return layout.map.is_complete and Item.load(layout.map.item).fingerprint == mapped.transfer.fingerprint


def _scene_of(
    transfer: Transfer, folder: Path, progress: Progress, overrides: Sequence[str]
) -> tuple[Scene | None, str]:
    """Return the scene of a record, None if its recipe or imagery has moved, and the language of the page."""
    try:
        whole = read_recipe(Path(transfer.asked.recipe), (*transfer.asked.overrides, *overrides))
        recipe = _part_called(transfer.asked.name, whole)
    except BocageError as error:
        progress.say(f"The report is written without imagery: {error}")
        return None, transfer.asked.language
    try:
        return open_scene(recipe, progress, folder), recipe.report.language
    except BocageError as error:
        progress.say(f"The report is written without imagery: {error}")
        return None, recipe.report.language


def _part_called(name: str, recipe: Recipe) -> Recipe:
    """Return the recipe of the site of a record; a recipe of one site as it is."""
    parts = (recipe.part(site) for site in recipe.sites)
    return next((part for part in parts if part.name == name), recipe)


def _report_of_run(layout: RunLayout, progress: Progress, overrides: Sequence[str]) -> Path:
    before = Provenance.load(layout.provenance)
    recipe = Path(before.recipe)
    if not recipe.exists():
        raise RunFolderError(
            f"{layout.path}: the recipe of the run, {recipe}, does not exist. Give the recipe: bocage report RECIPE --out "
            f"{shlex.quote(str(layout.path))}"
        )
    parsed = read_recipe(recipe, (*before.overrides, *overrides))
    return run(parsed, layout.path, ("report",), progress).layout.report
