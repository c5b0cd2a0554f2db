"""Checks between the sections of a recipe: names of sources, regions, sites and levels that one section takes from another."""

from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from typing import Any

from bocage.disk import safe_name
from bocage.errors import BocageError, LegendError
from bocage.evaluation import METRICS
from bocage.legend import Legend, plain
from bocage.mapping import WRITERS
from bocage.recipe.nouns import Contender, GridChoice, Site, SourceChoice
from bocage.recipe.reading import Reading
from bocage.samples import names_raster
from bocage.scene import INDICES
from bocage.shelf import Shelf, did_you_mean
from bocage.sources import history, objects
from bocage.training import Choice, why_not_windows

INSTEAD = {"map.region": "; give each site its region", "map.precision": '; remove it, or set "float32"'}
"""Setting that is not available for several sites → what to do."""
REGIONAL = "regional"
"""Name of the model that has a member for each region."""
REGIONS = "regions"
"""Sensor whose source divides the map."""


def check_sections(reading: Reading, parts: dict[str, Any], sources: dict[str, SourceChoice]) -> None:
    """Check names of sources, metrics, writers and indices, and the number of the draw to map."""
    split, mapping = parts["split"], parts["map"]
    check_grid(reading, parts.get("grid"), sources, "grid.like")
    evaluation, segment = parts["evaluation"], parts.get("segment")
    for name in segment.sources if segment and sources else ():
        if name not in sources:
            known = f"{did_you_mean(name, sources)} The sources are: {', '.join(sources)}"
            reading.add("segment.sources", f"no source is called '{name}'.{known}")
    if segment is None and any(objects.of_the_run(choice.settings) for choice in sources.values()):
        reading.add(
            "segment", "the section [segment] is missing; a source with the sensor \"objects\" needs it, or 'path'"
        )
    if segment and segment.parcels and any(objects.of_the_run(choice.settings) for choice in sources.values()):
        reading.add(
            "segment.parcels", "parcels are delineated on the map, which needs the source of objects first; remove one"
        )
    named: list[tuple[Shelf[Any], str, Any]] = [(METRICS, "evaluation.metrics", evaluation and evaluation.metrics)]
    named.append((WRITERS, "map.formats", mapping and mapping.formats))
    check_indices(reading, sources, "sources")
    check_history(reading, sources, "sources")
    for shelf, key, names in named:
        reading.names(shelf, key, names or ())
    if split and mapping and split.known_draws is not None and mapping.draw >= split.known_draws:
        units = "folds" if split.folds else "draws"
        reading.add("map.draw", f"{units} are numbered 0 to {split.known_draws - 1}; found {mapping.draw}")


def check_sets(reading: Reading, parts: dict[str, Any], choice: Choice) -> None:
    """Check that the prediction sets of the map have polygons that calibrate them."""
    mapping, training = parts["map"], choice.training
    if not mapping or mapping.sets is None or training is None:
        return
    if not training.calibrate:
        reading.add(
            "map.sets", "the sets are calibrated with the confidence; set training.calibrate = true, or remove it"
        )
    elif choice.config is not None and not choice.holds_out:
        why = "members of regions, or networks and trees, that train on all polygons hold none out together"
        reading.add(
            "map.sets", f'{why}; set training.keep = "validation" for each member, train one network, or remove it'
        )


def check_windows(reading: Reading, parts: dict[str, Any], choice: Choice, contenders: Sequence[Contender]) -> None:
    """Check that models and recipe suit a training on windows."""
    doctor, reference = parts["doctor"], parts.get("reference")
    judges = doctor and reference and doctor.model == "recipe" and reference.doubtful != "keep"
    if judges and choice.training and choice.training.window:
        reading.add("doctor.model", 'a network of windows cannot judge single polygons; set "auto" or "random_forest"')
    compared = ((f"compare.{i}.training.window", one.choice) for i, one in enumerate(contenders))
    named = [("training.window", choice), *compared]
    for key, one in named:
        if one.config is None or one.training is None:
            continue
        try:
            why = why_not_windows(one)
        except BocageError as error:  # a member that is no model
            reading.add(key.replace("training.window", "model.members"), str(error))
            continue
        if why:
            reading.add(key, why if one is choice else f"{why}, or set training = {{ window = 0 }} for it")


def check_parcels(reading: Reading, parts: dict[str, Any], choice: Choice, contenders: Sequence[Contender]) -> None:
    """Check that the reference has parcels where a model learns them, and that the objects of the run can be parcels."""
    segment, mapping, reference = parts.get("segment"), parts["map"], parts.get("reference")
    named = [("training", choice), *((f"compare.{i}.training", one.choice) for i, one in enumerate(contenders))]
    for key, one in named:
        if one.training and one.training.parcels and reference and names_raster(str(reference.path)):
            why = "the reference is a raster of class codes, which does not separate the parcels of a class"
            reading.add(f"{key}.parcels", f"{why}; give a vector file with a polygon for each parcel, or remove it")
    if choice.training is None or choice.training.parcels:
        return
    if mapping and "parcels" in mapping.layers:
        reading.add(
            "map.layers", "the layer 'parcels' needs training.parcels, the names of the classes that are parcels"
        )
    if segment and segment.parcels:
        reading.add("segment.parcels", "parcels are learnt from the reference; name their classes in training.parcels")


def check_parcel_classes(reading: Reading, choice: Choice, legend: Legend | None) -> None:
    """Check that the classes of the parcels are in the legend."""
    known = legend.names_of_levels if legend else ()
    for name in choice.training.parcels if legend and choice.training else ():
        if plain(name) not in map(plain, known):
            listed = f"{did_you_mean(name, known)} The classes are: {', '.join(known)}"
            reading.add("training.parcels", f"no class is called '{name}'.{listed}")


def check_grid(reading: Reading, grid: GridChoice | None, sources: dict[str, SourceChoice], key: str) -> None:
    """Check that the grid is that of a source with pixels of its own; `key` is the place of the setting."""
    if grid and grid.like and sources and grid.like not in sources:
        known = f"{did_you_mean(grid.like, sources)} The sources are: {', '.join(sources)}"
        reading.add(key, f"no source is called '{grid.like}'.{known}")
    elif grid and grid.like and sources and objects.of_the_run(sources[grid.like].settings):
        reading.add(key, f"'{grid.like}' has the objects of this run; name a source that is segmented")
    elif grid and grid.like and sources and sources[grid.like].sensor == REGIONS:
        reading.add(key, f"'{grid.like}' are regions, which have no pixels; name an image or a series")
    elif grid and grid.like and sources and _is_of_polygons(sources[grid.like].settings):
        reading.add(key, f"'{grid.like}' are polygons, which have no pixels; name an image or a series")


def _is_of_polygons(settings: Any) -> bool:
    return isinstance(settings, history.Settings) and settings.path is not None


def check_history(reading: Reading, sources: AnyMapping[str, SourceChoice], place: str) -> None:
    """Check that class codes of earlier years are not prepared as measurements; `place` is the table of the sources."""
    for name, choice in sources.items():
        if not isinstance(choice.settings, history.Settings) or choice.preparation is None:
            continue
        for key in ("indices", "fill", "speckle", "thermal", "calendar", "temperatures"):
            if getattr(choice.preparation, key):
                reading.add(
                    f"{place}.{name}.{key}", "class codes of earlier years are not interpolated or filtered; remove it"
                )


def check_regions(reading: Reading, choice: Choice, sources: AnyMapping[str, SourceChoice]) -> None:
    """Check that the source of a model per region is one of regions."""
    if choice.name != REGIONAL or choice.config is None or not sources:
        return
    name, known = choice.config.source, [n for n, source in sources.items() if source.sensor == REGIONS]
    if name not in known:
        some = (
            f"Those of the recipe: {', '.join(known)}" if known else f'Add [sources.{name}] with sensor = "{REGIONS}"'
        )
        reading.add("model.source", f"'{name}' is not a source of the sensor '{REGIONS}'. {some}")


def check_indices(reading: Reading, sources: dict[str, SourceChoice], place: str) -> None:
    """Check that indices are on the shelf; `place` is the table of the sources."""
    for name, choice in sources.items():
        reading.names(INDICES, f"{place}.{name}.indices", (choice.preparation and choice.preparation.indices) or ())


def check_sites_of(reading: Reading, parts: dict[str, Any], sites: tuple[Site, ...]) -> None:
    """Check names and references of sites, and settings that are not available with them."""
    split, mapping = parts["split"], parts["map"]
    if split and split.site and not sites:
        reading.add("split.site", "the recipe has no tables [[site]]; write one for each site, or remove the setting")
    for name in mapping.sites if mapping else ():
        if name not in [site.name for site in sites]:
            reading.add(
                "map.sites", f"no site is called '{name}'. The sites are: {', '.join(s.name for s in sites) or 'none'}"
            )
    if not sites:
        return
    folders = [safe_name(site.name).casefold() for site in sites]
    for number, (site, folder) in enumerate(zip(sites, folders, strict=True)):
        if folders[:number].count(folder) == 1:  # reported once, at the second of them
            reading.add("site", f"two sites are called '{site.name}'; give each site its own name")
        if site.reference and site.reference.doubtful != "keep":
            reading.add(
                f"site '{site.name}'", "doubtful polygons are for a recipe of one site; remove reference.doubtful"
            )
        if site.reference and site.reference.weight:
            reading.add(
                f"site '{site.name}'", "inclusion weights are for a recipe of one site; remove reference.weight"
            )
    if not any(site.reference for site in sites):
        reading.add("site", "no site has reference polygons; give [site.reference] to at least one")
    _check_supported(reading, parts)


def _check_supported(reading: Reading, parts: dict[str, Any]) -> None:
    """Check that a recipe with sites has no setting that is not available with them."""
    split, mapping, evaluation = parts["split"], parts["map"], parts["evaluation"]
    unsupported = {
        "split.field": split and split.field, "split.train": split and not split.tests,
        "map.region": mapping and mapping.region, "map.precision": mapping and mapping.precision != "float32",
        "evaluation.truth": evaluation and evaluation.truth,
        "training.pretrained": parts["training"] and parts["training"].pretrained,
    }  # fmt: skip
    for key, said in unsupported.items():
        if said:
            reading.add(key, f"not available with [[site]]{INSTEAD.get(key, '; remove the setting')}")


def check_levels(reading: Reading, parts: dict[str, Any], legend: Legend | None) -> None:
    """Check the settings that refer to levels of the nomenclature."""
    evaluation, mapping = parts["evaluation"], parts["map"]
    if legend is None or evaluation is None or mapping is None:
        return
    try:
        evaluation.check_levels(legend)
    except BocageError as error:
        reading.add("evaluation.levels", f"{error}")
    if not mapping.certain:
        return
    try:
        if legend.depth == 1:
            raise LegendError("The legend has no parents. Give classes a parent, or remove the setting.")
        for level in legend.levels:
            legend.check_codes(level)
    except BocageError as error:
        reading.add("map.certain", f"{error}")
