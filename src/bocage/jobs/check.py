"""``bocage check``: check the recipe and all its inputs before a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bocage.errors import (
    BocageError,
    EvaluationError,
    ModelError,
    RecipeError,
    SamplesError,
    SourceError,
    TrainingError,
)
from bocage.grid import Grid
from bocage.layout import RunLayout
from bocage.legend import Legend
from bocage.mapping import check_truth
from bocage.preflight import Finding, Preflight, ordered
from bocage.preflight.dates import check_dates, clearness
from bocage.preflight.disk import check_disk, needs
from bocage.preflight.files import check_files
from bocage.preflight.finding import Severity
from bocage.preflight.grids import check_coverage, check_grid, check_shifts
from bocage.preflight.polygons import at_all_sites, check_classes, check_polygons
from bocage.preflight.validity import check_needed, check_validity
from bocage.progress import QUIET, Named, Progress
from bocage.recipe import Recipe, Site, read_recipe
from bocage.run import open_chosen, placed
from bocage.samples import WindowNeeds, check_split
from bocage.samples.masked import notes_on_masked, with_dates
from bocage.samples.points import label_rows
from bocage.samples.rare import Counted, drop_rare
from bocage.scene import Cube, Scene, Scenes, limited, make_scene
from bocage.scene.facts import facts_of
from bocage.sources import (
    SENSORS,
    HistorySource,
    Readable,
    RegionsSource,
    Source,
    check_overlap,
    objects,
    opening_order,
    same_rows,
)  # fmt: skip
from bocage.words import Note

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.models import Network

FOUND: dict[str, Severity] = {
    "cloud_mask_elsewhere": "warning", "cloud_mask_unread": "warning", "declared_scale": "note", "intervals": "note",
    "no_cloud_cover": "warning", "no_offset": "warning", "no_orbit": "warning", "scale_differs": "warning",
    "several_orbits": "warning", "several_versions": "note",
}  # fmt: skip
"""Notes of an opened source that are findings → severity."""
ON_MAP: dict[str, Severity] = {
    "outside_map": "warning", "regions_gaps": "warning", "regions_outside": "note", "regions_unusable": "warning",
}  # fmt: skip
"""Notes of a source on the map that are findings → severity."""


def check(
    path: Path, out: Path | None = None, progress: Progress = QUIET, site: str = "", overrides: Sequence[str] = ()
) -> Preflight:
    """Return the findings about a recipe and its inputs; an unusable input is a finding and raises no error.

    A recipe with several sites is checked site by site, or only at `site`. Settings ``KEY=VALUE`` in `overrides` replace those
    of the file.
    """
    try:
        recipe = read_recipe(path, overrides)
    except RecipeError as error:
        problems = [
            Finding.of("error", problem.key, Note.of("text", text=problem.message), "correct_recipe")
            for problem in error.problems
        ]
        return Preflight(path.stem, problems)
    folder = out or recipe.out
    if site:
        return _checked(_of_site(recipe, recipe.find(site)), folder, progress, alone=False)
    if not recipe.sites:
        return _checked(recipe, folder, progress)
    whole = Preflight(recipe.name, language=recipe.report.language)
    counted, grids, scenes = [], [], {}
    for one in recipe.sites:
        found = _checked(_of_site(recipe, one), folder, Named(progress, f"{one.name}: "), alone=False)
        whole.findings += [replace(f, where=Note.of("at_site", site=one.name, note=f.where)) for f in found.findings]
        if found.counted and found.grid:
            counted.append(found.counted)
            grids.append(found.grid)
        if found.scene and found.scene.ids is None and one.reference:
            scenes[one.name] = found.scene
    if len(scenes) == sum(site.reference is not None for site in recipe.sites):
        whole.findings += _of_common_sources(recipe, scenes)
    if len(counted) == sum(site.reference is not None for site in recipe.sites):
        whole.findings += _of_all_sites(at_all_sites(counted, grids, recipe.split), recipe)
    whole.findings = ordered(whole.findings)
    return whole


def sites_of(path: Path, overrides: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the names of the sites of a recipe; none of one that cannot be read, which is a finding of :func:`check`."""
    try:
        return tuple(site.name for site in read_recipe(path, overrides).sites)
    except RecipeError:
        return ()


def _of_site(recipe: Recipe, site: Site) -> Recipe:
    """Return the recipe of a site, where a class may have few polygons or none: the other sites can have them."""
    return replace(recipe.part(site), split=replace(recipe.split, site="", rare="drop"))


def _of_all_sites(counted: Counted, recipe: Recipe) -> Iterator[Finding]:
    """Yield findings on the classes of all sites together."""
    yield from check_classes(counted, recipe.legend, recipe.split)
    try:
        drop_rare(counted, recipe.legend, replace(recipe.split, rare="drop"))
    except SamplesError as error:
        yield Finding.quoting("reference", error)


def _of_common_sources(recipe: Recipe, scenes: Mapping[str, Scene]) -> Iterator[Finding]:
    """Yield findings on bands that are not at all sites with polygons, and on sources that differ between them."""
    from bocage.training import check_sites

    every = Scenes(scenes)
    try:
        bands = every.meeting()
        yield from (Finding.of("warning", note.source, note) for note in every.unused(bands))
        every = Scenes({name: limited(scene, bands) for name, scene in scenes.items()})
        check_sites(every, recipe.choice, recipe.choice.build(every, recipe.legend))
    except BocageError as error:
        yield Finding.quoting("sources", error)


def _checked(recipe: Recipe, out: Path, progress: Progress, alone: bool = True) -> Preflight:
    """Return the findings on a recipe of one site; one that is not `alone` has classes and polygons at other sites too."""
    seen = Preflight(recipe.name, language=recipe.report.language)
    seen.findings += _open_sources(recipe, seen, out, progress)
    seen.findings += _lay_rows(recipe, seen)
    try:
        seen.grid = recipe.grid.grid(seen.sources)
    except (KeyError, BocageError) as error:
        unopened = isinstance(error, KeyError)
        why = Note.of("source_unopened", name=recipe.grid.like) if unopened else str(error)
        seen.findings.append(Finding.of("error", "grid", Note.of("no_grid", why=why)))
        seen.findings = ordered(seen.findings)
        return seen
    seen.findings += _look_at_sources(recipe, seen, progress)
    if recipe.reference is not None:  # a site that is mapped only has none
        seen.findings += _look_at_reference(recipe, seen, progress)
        if alone and seen.counted:
            seen.findings += check_classes(seen.counted, recipe.legend, recipe.split)
    seen.findings += _look_at_run(recipe, seen, out, alone)
    seen.findings = ordered(seen.findings)
    return seen


def _open_sources(recipe: Recipe, seen: Preflight, out: Path, progress: Progress) -> Iterator[Finding]:
    """Open every source; skip unreadable files, so that the findings list all of them."""
    own, recipe = recipe, placed(recipe, out)
    for name in opening_order({name: SENSORS.get(choice.sensor) for name, choice in recipe.sources.items()}):
        choice = recipe.sources[name]
        settings: Any = choice.settings
        if objects.of_the_run(own.sources[name].settings) and not RunLayout(out).objects.table.exists():
            yield Finding.of("note", name, Note.of("objects_later"))
            continue
        severity: Severity = "warning"
        if getattr(settings, "on_error", "") == "stop":
            choice, severity = replace(choice, settings=replace(settings, on_error="skip")), "error"
        try:
            source = open_chosen(name, choice, progress, seen.sources)
        except SourceError as error:
            yield Finding.quoting(name, error)
            continue
        seen.sources[name] = source
        for note in source.notes:
            if note.code == "left_out":
                yield Finding.of(severity, name, note)
            elif note.code in FOUND:
                yield Finding.of(FOUND[note.code], name, note, "check_source")


def _lay_rows(recipe: Recipe, seen: Preflight) -> Iterator[Finding]:
    """Give all tables the rows of the same samples, and yield findings on the samples that they lack."""
    try:
        sources = same_rows(seen.sources)
    except SourceError as error:
        yield Finding.quoting("sources", error)
        sources = {name: source for name, source in seen.sources.items() if name == recipe.grid.like}
    for name, source in sources.items():
        for note in source.notes[len(seen.sources[name].notes) :]:
            yield Finding.of("note", name, note)
    seen.sources = sources


def _look_at_sources(recipe: Recipe, seen: Preflight, progress: Progress) -> Iterator[Finding]:
    assert seen.grid is not None
    for name, source in list(seen.sources.items()):
        if isinstance(source, Source):
            yield from check_files(source, progress)
        coverage = list(check_coverage(source, seen.grid)) if source.ids is None else []
        yield from coverage
        if any(finding.severity == "error" for finding in coverage):
            continue
        try:
            scene = make_scene(seen.grid, [source], {name: recipe.sources[name].preparation})
        except BocageError as error:
            yield Finding.quoting(name, error)
            continue
        cube = scene.cubes[name]
        for note in cube.source.notes:
            if note.code in ON_MAP:
                yield Finding.of(ON_MAP[note.code], name, note)
        if source.ids is None:
            yield from check_grid(source, seen.grid, cube)
            try:
                facts = facts_of(cube)
            except SourceError as error:
                yield Finding.quoting(name, error, "copy_again")
            else:
                seen.ever[name] = facts.ever
                yield from check_validity(cube, facts)
        yield from _when(seen, cube)


def _when(seen: Preflight, cube: Cube) -> Iterator[Finding]:
    if not cube.source.dated or len(cube.source.times) < 2:
        return
    try:
        clear = seen.clear[cube.name] = clearness(cube.source, cube.grid)
        seen.ever[cube.name] = clear.ever  # of all dates
    except SourceError as error:
        yield Finding.quoting(cube.name, error, "copy_again")
        return
    yield from check_dates(cube.source, seen.clear[cube.name], cube.preparation.fill)


def _look_at_reference(recipe: Recipe, seen: Preflight, progress: Progress) -> Iterator[Finding]:
    assert seen.grid is not None
    if not recipe.split.tests:
        yield Finding.of("warning", "split", Note.of("no_test_part"))
    ids = next(iter(seen.sources.values())).ids if seen.sources else None
    if ids is not None:
        try:
            found = label_rows(recipe.reference, ids, recipe.legend, recipe.split)
        except BocageError as error:
            yield Finding.quoting("reference", error)
            return
        seen.counted = found.counted
        for r in found.rejections:
            note = Note.of("rejected", count=Note.of("features", n=r.polygons), reason=r.note)
            yield Finding.of("warning", f"reference, {r.label}", note, "if_intended")
        return
    findings, seen.counted = check_polygons(recipe.reference, seen.grid, recipe.legend, recipe.split)
    yield from findings
    try:
        images = {
            n: one for n, one in seen.sources.items() if not isinstance(one, objects.ObjectsSource)
        }  # others place these
        yield from check_shifts(_over(images, seen.grid), seen.grid, seen.pixels, progress)
    except SourceError as error:
        yield Finding.quoting("sources", error, "copy_again")


def _over(sources: dict[str, Readable], grid: Grid) -> dict[str, Readable]:
    """Return the sources that overlap the map, cropped to the map; without regions and history, which have no imagery."""
    kept = {}
    for name, source in sources.items():
        if isinstance(source, RegionsSource | HistorySource):
            continue
        try:
            check_overlap(source, grid)
        except SourceError:
            continue  # already a finding of check_coverage
        kept[name] = source.over(grid)
    return kept


def _look_at_run(recipe: Recipe, seen: Preflight, out: Path, alone: bool) -> Iterator[Finding]:
    """Check the truth raster, the network with these sources, the split of polygons `alone`, and the free disk space."""
    assert seen.grid is not None
    if recipe.evaluation.truth:
        yield from _look_at_truth(recipe.evaluation.truth, seen.grid, recipe.legend)
    if set(seen.sources) != set(recipe.sources) or any(f.what.code == "no_overlap" for f in seen.findings):
        return  # already findings, and there is no scene without these sources
    try:
        scene = make_scene(
            seen.grid, list(seen.sources.values()), {n: c.preparation for n, c in recipe.sources.items()}
        )
        network = recipe.choice.build(scene, recipe.legend)  # PyTorch is imported here
    except BocageError as error:
        yield Finding.quoting("model", error)
        return
    seen.scene = scene
    yield from _without_dates(recipe, seen, network)
    yield from _of_the_model(recipe, scene, network)
    if scene.ids is None and not network.any_source:
        ever = {name: seen.ever[name] for name in network.footprints if name in seen.ever}
        yield from check_needed(ever, recipe.choice.title)
    yield from (Finding.of("warning", note.source, note) for note in scene.notes if note.code == "same_season")
    if seen.counted is not None and alone:
        yield from _look_at_split(recipe, seen.counted, scene)
    yield from _look_at_disk(recipe, seen, network, out)


def _look_at_truth(path: Path, grid: Grid, legend: Legend) -> Iterator[Finding]:
    try:
        said = check_truth(path, grid, legend)
    except EvaluationError as error:
        yield Finding.quoting("evaluation.truth", error, "correct_truth")
    else:
        if said:
            yield Finding.of("warning", "evaluation.truth", said, "if_intended")


def _look_at_split(recipe: Recipe, counted: Counted, scene: Scene) -> Iterator[Finding]:
    """Check that every draw has polygons of each class in its parts, and that a model can be trained on them."""
    from bocage.training import Trainer

    try:
        samples = check_split(counted, scene, recipe.survey)
        for draw in range(samples.draws):
            Trainer(recipe.choice, scene, samples).parts(draw)
    except SamplesError as error:
        yield Finding.quoting("reference", error)
    except TrainingError as error:
        yield Finding.quoting("model", error)


def _without_dates(recipe: Recipe, seen: Preflight, network: "Network") -> Iterator[Finding]:
    """Yield findings on labelled samples of tables without a valid date; they are no longer counted."""
    if seen.scene is None or seen.counted is None or seen.scene.ids is None:
        return
    pixels = seen.counted.pixels
    usable = with_dates(seen.scene, network, pixels.row)
    for note in notes_on_masked(seen.scene, network, pixels, usable, recipe.legend):
        yield Finding.of("warning", note.source, note)
    seen.counted = seen.counted.take(np.flatnonzero(usable))


def _of_the_model(recipe: Recipe, scene: Scene, network: "Network") -> Iterator[Finding]:
    """Yield findings on the model with these sources: its members, dates that samples do not share, settings without effect."""
    from bocage.training import few_shared, idle_settings

    if len(members := recipe.choice.members) > 1:
        means = Note.of("mean_of_models", n=len(members), members=recipe.choice.title)
        yield Finding.of("note", "model", means)
    for note in few_shared(recipe.choice, scene, network.footprints):
        yield Finding.of("warning", note.source, note)
    for note in idle_settings(recipe.choice):
        yield Finding.of("note", "training", note)
    for name, cube in scene.cubes.items():
        if (thermal := cube.preparation.thermal) is None or not cube.source.dated:
            continue
        if name in network.by_position:
            yield Finding.of("warning", name, Note.of("thermal_idle", name, model=recipe.choice.title))
        elif late := thermal.late(cube.days):
            values = {"n": late, "of": len(cube.days), "degrees": thermal.enough(cube.days)}
            yield Finding.of("warning", name, Note.of("thermal_late", name, **values))


def _look_at_disk(recipe: Recipe, seen: Preflight, network: "Network", out: Path) -> Iterator[Finding]:
    """Check the side of windows, and the free disk space for the samples and the map."""
    from bocage.training import needs_for

    scene = seen.scene
    assert scene is not None
    try:
        wanted = needs_for(recipe.choice, network, scene)
    except (ModelError, SamplesError) as error:
        yield Finding.quoting("training.window", error)
        return
    pixels = len(seen.pixels) if seen.pixels is not None else len(scene.ids or ())
    if seen.pixels is not None and isinstance(wanted, WindowNeeds):
        pixels = wanted.count(seen.pixels)
    footprints = {name: f.size for name, f in wanted.footprints.items()}
    yield from check_disk(needs(scene, recipe.scene, pixels, footprints, 4), out)
