"""Parse a recipe: a table, or a TOML file → the typed settings of every stage.

For an unknown key, the error names the nearest known key. One error lists all problems of a recipe.
"""

import dataclasses
import tomllib
import typing
from collections.abc import Mapping as AnyMapping
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bocage.advice.settings import Doubting
from bocage.errors import BocageError, Problem, RecipeError
from bocage.evaluation import Evaluation
from bocage.finish import Finishing
from bocage.legend import Legend, nomenclature, read_csv
from bocage.mapping import Mapping, Workers
from bocage.models import ENSEMBLES, MODELS, Member, card_of
from bocage.models.settings import mixture
from bocage.objects import Segmenting
from bocage.recipe.checks import (
    REGIONAL,
    check_grid,
    check_history,
    check_indices,
    check_levels,
    check_parcel_classes,
    check_parcels,
    check_regions,
    check_sections,
    check_sets,
    check_sites_of,
    check_windows,
)
from bocage.recipe.nouns import Contender, GridChoice, LegendChoice, Plugins, Recipe, Repetition, Site, SourceChoice
from bocage.recipe.overrides import Override, attributed, effective_text, overridden
from bocage.recipe.reading import Reading
from bocage.recipe.writing import toml_text
from bocage.report import Reporting
from bocage.samples import Reference, Split
from bocage.scene import Preparation, Preparing
from bocage.shelf import allow
from bocage.sources import SENSORS
from bocage.textfile import read_text
from bocage.training import OF_EPOCHS, Choice, Training, with_preset

SECTIONS: dict[str, tuple[type[Any], bool]] = {
    "grid": (GridChoice, True),
    "legend": (LegendChoice, True),
    "reference": (Reference, True),
    "scene": (Preparing, False),
    "split": (Split, False),
    "training": (Training, False),
    "segment": (Segmenting, False),
    "doctor": (Doubting, False),
    "map": (Mapping, False),
    "evaluation": (Evaluation, False),
    "finish": (Finishing, False),
    "report": (Reporting, False),
    "workers": (Workers, False),
    "plugins": (Plugins, False),
}
"""Section → its dataclass, and whether the section is required."""
OF_A_SITE = ("grid", "reference")
"""Sections that each table ``[[site]]`` has, in a recipe of several sites."""
MIXTURE = "mixture"
"""Name of the model that is the mean of others."""
SHARED = ("device", "devices", "pretrained", "scaling", "window", "parcels")
"""Settings of the training that all members of a mixture share."""


def read_recipe(path: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe file.

    Parameters
    ----------
    overrides
        Settings ``KEY=VALUE`` that replace those of the file, in their order.

    Raises
    ------
    RecipeError
        The file is missing, is not TOML, or has problems; the error lists all of them.
    """
    try:
        text = read_text(path)
        table = tomllib.loads(text)
    except FileNotFoundError:
        raise RecipeError(path, [Problem("", "the file does not exist; 'bocage init' writes one")]) from None
    except RecursionError as error:
        raise RecipeError(path, [Problem("", "not a recipe: its tables and lists are nested too deeply")]) from error
    except ValueError as error:  # also numbers with thousands of digits
        raise RecipeError(path, [Problem("", f"not a TOML file: {error}")]) from error
    parsed, table, used = _replaced({"name": path.stem, **table}, path.resolve().parent, path, overrides)
    text = effective_text(path, table, used) if used else text
    return replace(parsed, path=path, text=text)


def read_table(table: AnyMapping[str, Any], folder: Path, overrides: Sequence[str] = ()) -> Recipe:
    """Check a recipe given as a table as if it were a file in `folder`; its text is the TOML of the table.

    Raises
    ------
    RecipeError
        The table has problems, or values that TOML does not have; the error lists all of them.
    """
    source = folder / "recipe.toml"
    try:
        plain = tomllib.loads(
            toml_text({"name": "recipe", **table})
        )  # as a file: tuples and paths of Python are not TOML
    except ValueError as error:
        raise RecipeError("the recipe", [Problem("", str(error))]) from error
    parsed, plain, used = _replaced(plain, folder, "the recipe", overrides)
    return replace(parsed, text=effective_text(source, plain, used) if used else toml_text(plain))


def _replaced(
    table: dict[str, Any], folder: Path, source: object, given: Sequence[str]
) -> tuple[Recipe, dict[str, Any], Sequence[Override]]:
    """Return the recipe of a table with the settings `given`, the table with them, and the settings that count."""
    table, used, problems = overridden(table, given)
    if problems:
        raise RecipeError(source, problems)
    try:
        parsed = parse(table, folder, source)
    except RecipeError as error:
        raise RecipeError(source, attributed(error.problems, used)) from error
    return replace(parsed, overrides=tuple(one.text for one in used)), table, used


def parse(table: AnyMapping[str, Any], folder: Path, source: object = "the recipe") -> Recipe:
    """Parse and check a recipe given as a table, with the structure of the TOML file.

    Parameters
    ----------
    folder
        Folder to which relative paths refer.
    source
        Name of the recipe in error messages.

    Raises
    ------
    RecipeError
        The table has problems; the error lists all of them.
    """
    reading = Reading(folder.resolve())
    raw = reading.expanded(dict(table), "")
    _check_keys(reading, raw)
    sites = _sites(reading, raw)
    sources = {} if "site" in raw else _sources(reading, raw.get("sources"))
    choice = _choice(reading, raw.get("model"), raw.get("training", {}))
    contenders = _contenders(reading, raw, choice.title)
    elsewhere = ("training", *OF_A_SITE) if "site" in raw else ("training",)
    parts = {key: _plain_section(reading, raw, key) for key in SECTIONS if key not in elsewhere}
    check_sections(reading, parts, sources)
    check_sets(reading, parts, choice)
    check_windows(reading, parts, choice, contenders)
    check_parcels(reading, parts, choice, contenders)
    for one in [choice, *(contender.choice for contender in contenders)]:
        for declared in [sources, *(site.sources for site in sites)]:
            check_regions(reading, one, declared)
    check_sites_of(reading, {**parts, "training": choice.training}, sites)
    legend = _legend(reading, parts.pop("legend"))
    check_levels(reading, parts, legend)
    check_parcel_classes(reading, choice, legend)
    if reading.problems or legend is None:
        raise RecipeError(source, reading.problems)
    allow(parts["plugins"].allow)
    if choice.training.parcels:
        parts["map"] = parts["map"].with_layer("parcels")
    name = str(raw.get("name", "recipe"))
    own: dict[str, Any] = dict.fromkeys(OF_A_SITE) if sites else {}
    own |= {"legend": legend, "sources": sources, "choice": choice, "compare": contenders, "sites": sites}
    return Recipe(name, path=reading.folder / f"{name}.toml", **own, **parts)


def _check_keys(reading: Reading, raw: AnyMapping[str, Any]) -> None:
    known = ["name", "sources", "model", "compare", "site", *SECTIONS]
    for key in raw:
        if key not in known:
            reading.unknown(key, known)


def _sites(reading: Reading, raw: dict[str, Any]) -> tuple[Site, ...]:
    """Read the tables [[site]]: for each site, its name, sources, grid, reference polygons and region."""
    tables = raw.get("site", [])
    empty = "site" in raw and not tables
    if empty or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        reading.add("site", "write a table [[site]] for each site, with name, [site.grid] and [site.sources.<name>]")
        return ()
    for key in (*OF_A_SITE, "sources") if tables else ():
        if key in raw:
            reading.add(key, f"the recipe has tables [[site]]: move [{key}] into each site, as [site.{key}]")
    return tuple(site for i, table in enumerate(tables) if (site := _site(reading, table, f"site.{i}")))


def _site(reading: Reading, table: dict[str, Any], key: str) -> Site | None:
    sources = _sources(reading, table.get("sources"), f"{key}.sources")
    grid = reading.section(GridChoice, table.get("grid", {}), f"{key}.grid")
    check_grid(reading, grid, sources, f"{key}.grid.like")
    check_indices(reading, sources, f"{key}.sources")
    check_history(reading, sources, f"{key}.sources")
    reference = reading.section(Reference, table["reference"], f"{key}.reference") if "reference" in table else None
    known = [field.name for field in dataclasses.fields(Site)]
    for odd in sorted(set(table) - set(known)):
        reading.unknown(f"{key}.{odd}", known)
    name, region, layer, where = (str(table.get(one, "")) for one in ("name", "region", "region_layer", "where"))
    try:
        return Site(name, grid, sources, reference, reading.folder / region if region else None, layer, where)
    except ValueError as error:
        reading.add(key, error)
        return None


def _choice(reading: Reading, raw: Any, training: Any, before: str = "") -> Choice:
    """Read a model, its settings and those of its training; `before` is the key of the table that contains both."""
    key = f"{before}model"
    if _table(raw).get("name") == MIXTURE:
        return _mixture(reading, raw, training, before)
    if _table(raw).get("name") == REGIONAL:
        return _regional(reading, raw, training, before)
    raw, count = _repeated(reading, raw, key)
    name, config = _model(reading, raw, key)
    completed = _completed(reading, training, name, f"{before}training")
    settings = reading.section(Training, completed, f"{before}training")
    if count > 1 and config is not None:
        name, config = MIXTURE, mixture.Config((Member(name, dataclasses.asdict(config), count),))
    return Choice(name, config, settings)


def _model(reading: Reading, raw: Any, key: str) -> tuple[str, Any]:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        reading.add(f"{key}.name", f"the model is missing; choose one of {', '.join(MODELS)}")
        return "", None
    try:
        kind = MODELS.get(raw["name"]).Config
    except BocageError as error:
        reading.add(f"{key}.name", f"{error}")
        return "", None
    return raw["name"], reading.section(kind, {k: v for k, v in raw.items() if k != "name"}, key)


def _completed(reading: Reading, training: Any, model: str, key: str) -> Any:
    """Complete [training] with the defaults of the network, or with the published settings if the recipe selects them."""
    if not model or not isinstance(training, dict):
        return training
    try:
        return with_preset(model, training)
    except ValueError as error:
        reading.add(f"{key}.preset", f"{error}")
        return training


def _repeated(reading: Reading, raw: Any, key: str) -> tuple[Any, int]:
    """Return the table of a model without `members`, and the number of its networks."""
    if "members" not in _table(raw):
        return raw, 1
    name, rest = raw.get("name"), {k: v for k, v in raw.items() if k != "members"}
    if name in list(MODELS) and "members" in typing.get_type_hints(MODELS.get(name).Config):
        if not isinstance(raw["members"], int):
            return raw, 1
        reading.add(
            f"{key}.members",
            f"members of '{name}' are its own networks; to repeat it, write name = \"{MIXTURE}\" with a table "
            f'[[model.members]], name = "{name}" and count = {raw["members"]}',
        )
        return rest, 1
    if isinstance(raw["members"], list):
        reading.add(f"{key}.members", f'a number is expected; for different models, write name = "{MIXTURE}"')
        return rest, 1
    repetition = reading.section(Repetition, {"members": raw["members"]}, key)
    return rest, repetition.members if repetition else 1


def _mixture(reading: Reading, raw: dict[str, Any], training: Any, before: str) -> Choice:
    """Read a mixture: a table [[model.members]] for each model, with its settings, its number and its training."""
    key = f"{before}model"
    for odd in sorted(set(raw) - {"name", "members"}):
        reading.unknown(f"{key}.{odd}", ["members", "name"])
    tables = raw.get("members")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        reading.add(
            f"{key}.members", "a mixture needs a table [[model.members]] for each model, with name and settings"
        )
        return Choice(MIXTURE, None, None)  # type: ignore[arg-type] # never used, because the recipe has a problem
    members, trainings = [], []
    for i, table in enumerate(tables):
        member, completed = _member(reading, table, training, f"{key}.members.{i}")
        members.append(member)
        trainings.append(completed)
    shared = _scaling(reading, trainings, f"{before}training")
    main = reading.section(Training, {**_table(training), **shared} if shared else training, f"{before}training")
    parsed = [
        reading.section(Training, {**completed, **shared}, f"{key}.members.{i}.training")
        for i, completed in enumerate(trainings)
        if main is not None
    ]
    try:
        config = mixture.Config(tuple(members))
    except ValueError as error:
        reading.add(f"{key}.members", error)
        config = None
    return Choice(MIXTURE, config, main, tuple(parsed))


def _regional(reading: Reading, raw: dict[str, Any], training: Any, before: str) -> Choice:
    """Read a model per region: the table [model.member] with its settings; the training is that of the member."""
    key = f"{before}model"
    table = raw.get("member")
    if not isinstance(table, dict):
        reading.add(f"{key}.member", f"a table [{key}.member] is expected, with name and settings")
        return Choice(REGIONAL, None, None)  # type: ignore[arg-type] # never used, because the recipe has a problem
    for odd in sorted({"count", "training"} & set(table)):
        why = "each region has one network" if odd == "count" else f"write [{before}training]"
        reading.add(f"{key}.member.{odd}", f"not available for the model of each region: {why}")
    member, completed = _member(
        reading, {k: v for k, v in table.items() if k not in ("count", "training")}, training, f"{key}.member"
    )
    own = {k: v for k, v in raw.items() if k not in ("name", "member")}
    config = reading.section(MODELS.get(REGIONAL).Config, {**own, "member": {"name": member.name}}, key)
    settings = reading.section(Training, completed or training, f"{before}training")
    if settings and settings.pretrained:
        reading.add(f"{before}training.pretrained", "not available for a model per region; remove the setting")
    return Choice(REGIONAL, replace(config, member=member) if config else None, settings)


def _member(reading: Reading, table: dict[str, Any], training: Any, key: str) -> tuple[Member, dict[str, Any]]:
    """Return a member of a mixture, and the settings of its training."""
    own = {k: v for k, v in table.items() if k not in ("count", "training")}
    given = table.get("training", {})
    if own.get("name") in ENSEMBLES:
        return Member(own["name"]), {}
    name, config = _model(reading, own, key)
    if not isinstance(given, dict):
        reading.add(f"{key}.training", f"a table is expected; found {given!r}")
    for shared in sorted(set(SHARED) & set(_table(given))):
        reading.add(f"{key}.training.{shared}", f"all members have the same {shared}; set it in [training]")
    completed = _completed(reading, {**_table(training), **_table(given)}, name, f"{key}.training")
    settings = {} if config is None else dataclasses.asdict(config)
    member = reading.section(Member, {"name": name, "count": table.get("count", 1)}, key)
    return replace(member or Member(name), settings=settings), completed


def _scaling(reading: Reading, trainings: list[dict[str, Any]], key: str) -> dict[str, Any]:
    """Return the scaling of the bands, which all members share; empty for the default."""
    known = {str(training["scaling"]) for training in trainings if "scaling" in training}
    if len(known) > 1:
        reading.add(
            f"{key}.scaling", f"the members have different scalings ({', '.join(sorted(known))}); set one for all"
        )
    return {"scaling": known.pop()} if known else {}


def _contenders(reading: Reading, raw: dict[str, Any], own: str) -> tuple[Contender, ...]:
    """Read the tables [[compare]]: for each model, its settings and the differences of its training."""
    tables = raw.get("compare", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        reading.add("compare", "write a table [[compare]] for each model, with label, model and training")
        return ()
    contenders, taken = [], {own}
    for i, table in enumerate(tables):
        key = f"compare.{i}"
        for odd in sorted(set(table) - {"label", "model", "training"}):
            reading.unknown(f"{key}.{odd}", ["label", "model", "training"])
        training = {**_table(raw.get("training")), **_table(table.get("training"))}
        if "parcels" not in _table(table.get("training")):
            training.pop("parcels", None)  # the map, and so its layer of parcels, is that of the recipe's network
        if _is_fitted(table.get("model")):  # windows and epochs are those of the recipe's network
            training = _without_epochs(training, _table(table.get("training")))
        choice = _choice(reading, table.get("model"), training, f"{key}.")
        label = str(table.get("label") or _label(table.get("model"), choice))
        if label in taken:
            reading.add(
                f"{key}.label", f"'{label}' is already the label of another model; give each model its own label"
            )
        taken.add(label)
        contenders.append(Contender(label, choice))
    return tuple(contenders)


def _table(raw: Any) -> dict[str, Any]:
    return raw if isinstance(raw, dict) else {}


def _is_fitted(raw: Any) -> bool:
    """Return whether a table [model] names a model without epochs."""
    name = _table(raw).get("name")
    return name in list(MODELS) and card_of(MODELS.get(name)).fitted


def _without_epochs(training: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Return the training of a model without epochs: its `own` settings, and the shared ones that it uses."""
    return {key: value for key, value in training.items() if key in own or key not in ("window", *OF_EPOCHS)}


def _label(raw: Any, choice: Choice) -> str:
    """Return the default label of a model: its name and settings, or the members of a mixture."""
    table = _table(raw)
    if table.get("name") == MIXTURE:
        return choice.title
    settings = ", ".join(f"{key} = {value}" for key, value in table.items() if key != "name")
    return f"{table.get('name', '?')}" + (f" ({settings})" if settings else "")


def _plain_section(reading: Reading, raw: dict[str, Any], key: str) -> Any:
    kind, required = SECTIONS[key]
    if key == "segment" and key not in raw:
        return None  # no objects
    if key not in raw and required:
        reading.add(key, f"the section [{key}] is missing")
        return None
    return reading.section(kind, raw.get(key, {}), key)


def _sources(reading: Reading, raw: Any, place: str = "sources") -> dict[str, SourceChoice]:
    if not isinstance(raw, dict) or not raw:
        reading.add(place, "at least one table [sources.<name>] is needed")
        return {}
    chosen = {}
    prepared = {f.name for f in dataclasses.fields(Preparation)}
    for name, table in raw.items():
        key = f"{place}.{name}"
        if not isinstance(table, dict) or not isinstance(table.get("sensor"), str):
            reading.add(f"{key}.sensor", f"the sensor is missing; choose one of {', '.join(SENSORS)}")
            continue
        try:
            kind = SENSORS.get(table["sensor"]).Settings
        except BocageError as error:
            reading.add(f"{key}.sensor", f"{error}")
            continue
        own = {f.name for f in dataclasses.fields(kind)}
        for odd in set(table) - prepared - own - {"sensor"}:
            reading.unknown(f"{key}.{odd}", sorted(prepared | own | {"sensor"}))
        settings = reading.section(kind, {k: v for k, v in table.items() if k in own}, key)
        preparation = reading.section(Preparation, {k: v for k, v in table.items() if k in prepared}, key)
        chosen[name] = SourceChoice(table["sensor"], settings, preparation)
    return chosen


def _legend(reading: Reading, choice: LegendChoice | None) -> Legend | None:
    if choice is None:
        return None
    try:
        legend = read_csv(choice.csv) if choice.csv else nomenclature(choice.classes)
        legend = legend.with_sets(choice.sets)
        return legend.at_level(choice.level) if choice.level else legend
    except BocageError as error:
        reading.add("legend", f"{error}")
        return None
