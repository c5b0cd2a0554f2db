"""``bocage init``: write commented recipes for a folder of images or tables and a file of labels."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bocage.disk import write_text
from bocage.errors import BocageError, Problem, RecipeError, SamplesError, SourceError
from bocage.grid import Grid
from bocage.recipe.draft import Draft, DraftClass, DraftReference, DraftSite, DraftSource, escaped, quoted
from bocage.recipe.leaks import without_leaks
from bocage.recipe.sections import Candidate, candidates_of, in_period, spans_of, table_candidates
from bocage.recipe.shared_samples import with_shared_samples
from bocage.samples.ground import Ground
from bocage.samples.label_years import chosen
from bocage.samples.labels import Labels, read_labels
from bocage.samples.periods import Period, about_periods, outside, periods_in
from bocage.samples.points import label_rows
from bocage.samples.rare import Counted
from bocage.samples.rasterise import Pixels, joined_pixels, rasterise
from bocage.samples.reference import labelled_features, usable_polygons
from bocage.samples.split import FEWEST, Split
from bocage.sources import TableSource, check_overlap
from bocage.sources.band_names import plain_name
from bocage.sources.folders import files_below
from bocage.sources.found import Found
from bocage.sources.inventory import SUFFIXES, look
from bocage.sources.unread import unread
from bocage.words import quantity

PATCHWORK = """\
# Patchwork, a network for any combination of sources, each on its own grid and dates, with gaps.
[model]
name = "patchwork"
{members}
"""
ONE = "# members = 3                  # the mean of three networks: often more accurate; training takes three times as long"
THREE = "members = 3                    # the mean of three networks; with 1, training takes a third of the time"
MANY = 10_000
"""Number of labelled samples of tables above which one network is proposed, because training takes long."""
COMPARED = """
# Other models, which 'bocage compare' trains and tests on the same draws.
[[compare]]
model = {{ name = "random_forest"{settings} }}
"""
LINEAR = ', gaps = "linear"'
"""Setting of a random forest for samples that share few dates: it interpolates the series of each."""
PAN_MS = """
# [[compare]]                  # published for a PAN and an MS image of one product
# model = {{ name = "multiresolcc", pan = "{pan}", ms = "{ms}" }}
"""
FOLD = '# fold = "{field}"                # each value of this field is the test part once; without train and draws\n'
FOREST = """\
# Random forest, the usual baseline.
[model]
name = "random_forest"
"""
LOST = 0.1
"""Share of the features that may label no pixel without a remark."""


@dataclass
class Sought:
    """What was found of sources and labels, and what the user should know of it."""

    labels: Labels
    candidates: list[Candidate]
    remarks: list[str] = field(default_factory=list)
    like: str = ""
    counted: Counted | None = None
    """Labelled pixels of the map, or rows of the tables; None if they cannot be known."""
    on_map: dict[int, int] = field(default_factory=dict)
    """Class → number of features on the map, whether they contain the centre of a pixel or not."""
    periods: list[Period] = field(default_factory=list)
    """Periods of the labels that have images; empty if all labels hold for the same time."""
    where: str = ""
    """Condition that selects the labels of the year of the images, without periods; empty: all labels."""

    @property
    def grid(self) -> Grid:
        """Grid of the map."""
        return next(c.source.grid for c in self.candidates if c.name == self.like)

    @property
    def tables(self) -> bool:
        """Whether the sources are tables."""
        return any(c.source.ids is not None for c in self.candidates)

    @property
    def usable(self) -> dict[int, int]:
        """Class → number of features with labelled pixels."""
        return dict(enumerate(self.counted.polygons(len(self.labels.classes)).tolist())) if self.counted else {}

    @property
    def unit(self) -> str:
        """What the split counts, in words."""
        several = self.counted is not None and self.counted.shares(Split())
        return ("samples" if self.tables else "polygons") + " at different places" * several


def write_recipe(images: Path, reference: Path, label: str, out: Path, layer: str = "") -> list[str]:
    """Write a recipe to `out` and one with a random forest beside it, and return messages for the user, one per line.

    If `label` is empty, the field is guessed. `layer` is required if the vector file has several layers.

    Raises
    ------
    RecipeError
        `out`, or the recipe beside it, exists.
    BocageError
        The folder has no imagery and no table of series, or the labels cannot be used with it.
    """
    forest = out.with_name(f"{out.stem}-forest{out.suffix}")
    for path in (out, forest):
        if path.exists():
            raise RecipeError(path, [Problem("", "the file exists; choose another --out")])
    if not images.is_dir():
        instead = (
            f": bocage init {shlex.quote(str(images.parent))} {shlex.quote(str(reference))}" if images.is_file() else ""
        )
        raise BocageError(f"{images} is not a folder. Give the folder of the images, or of the tables{instead}.")
    found = look(images, reference if reference.exists() else None)
    found.skipped += unread([path for path in files_below(images) if path.absolute() != reference.absolute()])
    labels = read_labels(reference, label, layer)
    labels = replace(labels, reference=replace(labels.reference, path=reference.absolute()))
    sought = _sought(found, images, labels, out)
    draft = _draft(sought, out)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, draft.text(_model(sought)))
    write_text(forest, draft.text(FOREST, "-forest", filled=True))
    return [*(f"skipped {line}" for line in found.skipped), *_said(sought, out, forest)]


def _said(sought: Sought, out: Path, forest: Path) -> list[str]:
    """Return the closing messages: what was found, the remarks, and the next commands."""
    labels, grid = sought.labels, sought.grid
    beside = f" (and '{labels.beside}', one to one)" if labels.beside else ""
    kind = "samples" if sought.tables else "polygons"
    place = "" if sought.tables else f"; map grid of '{sought.like}', {grid}"
    unknown = [c.name for c in sought.candidates if c.unknown]
    recipe = shlex.quote(str(out))
    compared = [] if len(sought.periods) > 1 else [f"  bocage compare {recipe}"]
    edit = [
        f'edit {out} and {forest}: write the clear values of {", ".join(unknown)} in place of "?" (the line says what was found)'
    ]
    return [
        *(f"remark: {remark}" for remark in sought.remarks),
        f"{out}: patchwork on {', '.join(c.name for c in sought.candidates)}{place}",
        f"  label field '{labels.reference.label}'{beside}: {len(_shown(sought))} classes, "
        f"{sum(sought.usable.values()) if sought.counted else sum(labels.counts)} {kind}",
        f"{forest}: a random forest on the same sources and the same split",
        *(edit if unknown else []),
        "Read the recipe, then run:",
        f"  bocage check {recipe}",
        f"  bocage run {recipe}",
        *compared,
    ]


# --- sources and labels
def _sought(found: Found, images: Path, labels: Labels, out: Path) -> Sought:
    """Return the sources and the labels on their map.

    Raises
    ------
    BocageError
        There is no usable source, or the labels cannot be used with the sources.
    """
    candidates = candidates_of(found, images, out) or with_shared_samples(
        table_candidates(found, images, labels, out), labels, found.remarks
    )
    if candidates and (field := candidates[0].sample_id):
        labels = labels.one_each(field)
    sought = Sought(labels, candidates, found.remarks)
    if not candidates:
        shown = "".join(f" {line.rstrip('.')}." for line in [*found.remarks, *found.reasons][:3])
        raise BocageError(
            f"{images} contains no known product, no readable raster ({', '.join(SUFFIXES)}) and no table of series.{shown}"
        )
    _check_labels(sought)
    _find_periods(sought)
    _lay_out(sought)
    while leaked := _leaked(sought, found, images, out):
        sought.remarks.append(leaked)
        if not sought.candidates:
            raise BocageError(f"{images} contains no imagery: {leaked}.")
        _lay_out(sought)
    sought.remarks += [remark for c in sought.candidates for remark in c.remarks]
    sought.remarks += _about_labels(sought)
    return sought


def _check_labels(sought: Sought) -> None:
    """Check that the features can label pixels of imagery, or samples of tables.

    Raises
    ------
    SamplesError
        They have no geometry, are lines, or hold for different periods that a table of series does not show.
    """
    labels, shown = sought.labels, sought.labels.reference.shown
    if sought.tables:
        _check_periods(sought)
        return
    if not labels.has_geometry:
        raise SamplesError(
            f"{shown}: its features have no geometry, so they label no pixel. Give a vector file of polygons or points, or a "
            "table with their coordinates in columns 'lon' and 'lat' (degrees, WGS 84), 'x' and 'y', or as WKT in 'geometry'."
        )
    if labels.are_lines:
        raise SamplesError(
            f"{shown}: its features are lines, and only polygons and points label pixels. Draw a polygon around each, for "
            "example with a buffer of one pixel."
        )


def _check_periods(sought: Sought) -> None:
    """Check that the series of each sample of a table lie in the period of its label, if labels have periods.

    Raises
    ------
    SamplesError
        Some do not.
    """
    labels = sought.labels
    if not labels.period:
        return
    count = max(outside(labels.frame, labels.period, spans_of(c.source), c.sample_id) for c in sought.candidates)
    if count:
        first, last = labels.period
        raise SamplesError(
            f"{labels.reference.shown}: each label holds for a period of its own (fields '{first}' and '{last}'). Samples whose "
            f"series has dates outside of it: {count}. Write a table with the series of each sample within its period "
            "(columns of the sample, the date and the bands)."
        )


def _find_periods(sought: Sought) -> None:
    """Find the periods of labels that hold for different seasons or years, and leave out those without images.

    Raises
    ------
    SamplesError
        The periods cannot be read, or there are several and no series has a date in one of them.
    """
    labels, fields = sought.labels, sought.labels.period
    if sought.tables:
        return
    if not fields:
        _find_years(sought)
        return
    every = periods_in(labels.frame, fields)
    series = [c for c in sought.candidates if len(c.source.times) > 1]
    imaged = [p for p in every if any(in_period(c, p.first, p.last, 0) for c in series)]
    if not imaged and len(every) > 1:
        raise SamplesError(
            f"{labels.reference.shown}: no series has a date in a period of the labels (fields '{fields[0]}' and '{fields[1]}', "
            f"from {every[0].first} to {every[-1].last}). {_undated(sought) or 'Give images of these periods.'}"
        )
    sought.periods = imaged
    sought.remarks += about_periods(labels.frame, fields, every, imaged)


def _find_years(sought: Sought) -> None:
    """Choose the labels of the year of the images, or a period for each year, if the labels are of several years."""
    times = max((c.source.times for c in sought.candidates), key=len)
    if years := sought.labels.yearly:
        found = chosen(years, sorted({time.date() for time in times if time}))
        sought.periods, sought.where = found.periods, found.where
        sought.remarks += found.remarks


def _undated(sought: Sought) -> str:
    """Return what to do about rasters whose bands may be dates; empty if there is none."""
    stacks = [c for c in sought.candidates if not c.source.dated and len(c.source.bands) > 1]
    said = next((remark for remark in sought.remarks if "dates for its bands" in remark), "")
    if not stacks:
        return ""
    found = f"Source '{stacks[0].name}' has {len(stacks[0].source.bands)} bands without dates. "
    return found + (f"{said}." if said else "If each band is a date, write a text file with a date per band beside it.")


def _lay_out(sought: Sought) -> None:
    """Choose the grid of the map, leave out the sources beside it, and label its pixels."""
    sought.like = _like(sought.candidates)
    for candidate in list(sought.candidates):
        try:
            check_overlap(candidate.source, sought.grid)
        except SourceError as error:
            sought.candidates.remove(candidate)
            sought.remarks.append(f"source '{candidate.name}' is left out: {error}")
    sought.counted, sought.on_map = None, {}
    if sought.tables:
        _label_rows(sought)
    else:
        _label_pixels(sought)


def _label_rows(sought: Sought) -> None:
    labels, candidate = sought.labels, sought.candidates[0]
    reference = replace(labels.reference, sample_id=candidate.sample_id)
    sought.counted = label_rows(reference, candidate.source.ids or (), labels.legend, Split()).counted
    sought.on_map = sought.usable


def _label_pixels(sought: Sought) -> None:
    """Label the pixels of the map, with the labels of each period or with those that are chosen."""
    reference, legend = sought.labels.reference, sought.labels.legend
    parts: list[Pixels] = []
    lost = total = 0
    for where in [period.where for period in sought.periods] or [sought.where]:
        own = replace(reference, where=where)
        try:
            table, _ = labelled_features(own, legend)
            table, *_ = usable_polygons(table, own, sought.grid, legend)
        except SamplesError as error:
            if (error_text := str(error)) not in sought.remarks:
                sought.remarks.append(error_text)
            continue
        for k, n in table.label.value_counts().items():
            sought.on_map[int(k)] = sought.on_map.get(int(k), 0) + int(n)
        pixels, _ = rasterise(table, sought.grid, legend)
        lost, total = lost + table.polygon.nunique() - len(np.unique(pixels.polygon)), total + table.polygon.nunique()
        parts.append(pixels)
    sought.counted = _together(parts, sought.grid) if parts else None
    said = f"{lost} of {total} features on the map label no pixel: they contradict others at the same place, or are too small"
    if lost > LOST * total and said not in sought.remarks:
        sought.remarks.append(said)


def _together(parts: Sequence[Pixels], grid: Grid) -> Counted:
    """Return the labelled pixels of all periods; polygons at one place are one sampling unit."""
    whole = joined_pixels(parts)
    return Counted(whole, ground=Ground.of(parts, [grid] * len(parts)).units(whole.polygon))


def _like(candidates: Sequence[Candidate]) -> str:
    """Return the source with the grid of the map: the finest series, or else the PAN image of a pair, or the finest image."""
    if candidates[0].source.ids is not None:
        return candidates[0].name
    series = [c for c in candidates if len(c.source.times) > 1]
    if not series and (pair := _pair(candidates)):
        return pair[0]
    # Of equal resolutions, the source with more bands comes first.
    return min(series or candidates, key=lambda c: (round(c.source.grid.metres[0], 3), -len(c.source.bands))).name


def _pair(candidates: Sequence[Candidate]) -> tuple[str, str] | None:
    """Return a PAN image and an MS image of 2 or 4 times its pixel size; None if there is no such pair."""
    for pan in (c for c in candidates if len(c.source.bands) == 1):
        for ms in (c for c in candidates if len(c.source.bands) > 1):
            fine, coarse = pan.source.grid, ms.source.grid
            ratio = coarse.resolution / fine.resolution
            if coarse.crs == fine.crs and abs(ratio - round(ratio)) < 0.01 and round(ratio) in (2, 4):
                return pan.name, ms.name
    return None


def _leaked(sought: Sought, found: Found, images: Path, out: Path) -> str:
    """Remove the first source or bands whose values give the labels, and return why; empty if there is none."""
    if sought.tables or sought.counted is None or not len(sought.counted.pixels):
        return ""
    for i, candidate in enumerate(sought.candidates):
        if len(set(candidate.source.times)) > 1 and candidate.name not in found.series:
            continue  # the bands of a product are known
        try:
            rest, why = without_leaks(candidate, sought.grid, sought.counted.pixels, found, images, out)
        except SourceError as error:
            if candidate.name in found.series:
                continue  # 'check' names the damaged file; the other dates may be usable
            rest, why = None, f"source '{candidate.name}' is left out: {error}"
        if why:
            sought.candidates[i : i + 1] = [rest] if rest else []
            return why
    return ""


def _about_labels(sought: Sought) -> list[str]:
    """Return remarks on the labels: years other than those of the images, and classes with too few features."""
    remarks = sought.labels.remarks
    years = {time.year for c in sought.candidates for time in c.source.times if time}
    if years and sought.labels.years and not years & set(sought.labels.years):
        theirs, ours = (", ".join(map(str, sorted(found)[:6])) for found in (sought.labels.years, years))
        remarks.append(
            f"the labels are of {theirs}, the images of {ours}: labels of another year are wrong where the land changed"
        )
    rare = _rare(sought)
    if rare:
        remarks.append(f'too few {sought.unit} (fewer than {FEWEST}) and excluded, rare = "drop": {", ".join(rare)}')
    if sought.counted and len(_shown(sought)) - len(rare) < 2:
        remarks.append(
            f"fewer than two classes have {FEWEST} usable {sought.unit}; a classification needs two. Add reference polygons"
        )
    return remarks


def _shown(sought: Sought) -> list[int]:
    """Return the classes of the legend: those with a feature on the map, or all if no feature is there."""
    everything = range(len(sought.labels.classes))
    return [k for k in everything if sought.on_map.get(k)] or list(everything)


def _rare(sought: Sought) -> list[str]:
    """Return the classes with too few sampling units for training, validation and test."""
    if sought.counted is None:
        return []
    names, split = sought.labels.legend.names, Split()
    units, shown = sought.counted.units(split, len(names)), sought.counted.shown(split, len(names))
    return [f"'{names[k]}' ({shown[k]})" for k in _shown(sought) if units[k] < FEWEST]


# --- recipe
def _draft(sought: Sought, out: Path) -> Draft:
    labels, shown, more = sought.labels, _shown(sought), _more(sought)
    of = labels.reference
    reference = DraftReference(quoted(of.path, out), of.label, of.layer, tuple(more))
    sites = tuple(_site(sought, period, out, more) for period in sought.periods) if len(sought.periods) > 1 else ()
    classes = tuple(
        DraftClass(c.code, c.name, c.values, _count(sought, k)) for k, c in enumerate(labels.classes) if k in set(shown)
    )
    name = plain_name(out.stem if out.stem != "recipe" else out.resolve().parent.name)
    fold = next((f for f in labels.fields if f.lower() == "fold"), "")
    sources = sites[0].sources if sites else _sources(sought)
    return Draft(
        name,
        sought.like if sought.like in [source.name for source in sources] else sources[0].name,
        sources,
        reference,
        classes,
        "" if sought.tables else f"the grid of this source: {sought.grid}",
        tuple(_rare(sought)),
        FOLD.format(field=fold) if fold else "",
        tuple(sought.remarks),
        "samples" if sought.tables else "polygons",
        sought.unit,
        sites,
    )


def _more(sought: Sought) -> list[str]:
    """Return the lines of the section of the labels after the file and its field."""
    labels = sought.labels
    more = [sought.candidates[0].sample_id_line] if sought.tables else []
    if not sought.tables and labels.frame.crs is None:
        more.append('crs = "?"                      # the file does not give it: write it, as in "EPSG:2154"')
    if len(sought.periods) == 1 and sought.periods[0].count < len(labels.frame):
        more.append(f'where = "{escaped(sought.periods[0].where)}"')
    if sought.where:
        more.append(f'where = "{escaped(sought.where)}"')
    if len(_shown(sought)) < len(labels.classes):
        more.append(
            'unknown = "reject"             # labels that only features outside of the map have are not in the legend'
        )
    return more


def _sources(sought: Sought) -> tuple[DraftSource, ...]:
    """Return the sections of the sources, with the dates of the only period of the labels, if they have one."""
    if not sought.periods:
        return tuple(c.draft for c in sought.candidates)
    (period,) = sought.periods
    drafts = [in_period(c, period.first, period.last, (period.last - period.first).days) for c in sought.candidates]
    return tuple(draft for draft in drafts if draft)


def _site(sought: Sought, period: Period, out: Path, more: Sequence[str]) -> DraftSite:
    """Return the site of a period: the sources with its dates, and the labels that hold for it."""
    shortest = min((p.last - p.first).days for p in sought.periods)
    drafts = [(c.name, in_period(c, period.first, period.last, shortest)) for c in sought.candidates]
    sources: tuple[DraftSource, ...] = tuple(draft for _, draft in drafts if draft)
    names = [name for name, draft in drafts if draft]
    reference = sought.labels.reference
    lines = [f'where = "{escaped(period.where)}"', *more]
    section = DraftReference(quoted(reference.path, out), reference.label, reference.layer, tuple(lines))
    like = sought.like if sought.like in names else names[0]
    about = f"From {period.first} to {period.last}: {quantity(period.count, 'label')}."
    return DraftSite(period.name, about, like, sources, section)


def _count(sought: Sought, k: int) -> str:
    """Return the number of features of a class, in the file and usable on the map."""
    n, usable = sought.labels.counts[k], sought.usable.get(k, 0)
    text = quantity(n, "sample" if sought.tables else "polygon")
    if sought.counted is None or usable == n:
        return text
    return f"{text}, {usable} in the table" if sought.tables else f"{text}, {usable} usable on the map"


def _model(sought: Sought) -> str:
    """Return the sections of the model and of the models to compare it with."""
    few = sought.tables and sought.counted is not None and len(sought.counted.pixels) <= MANY
    patchwork = PATCHWORK.format(members=THREE if few else ONE)  # docs/decisions/0017-ensembles.md
    if len(sought.periods) > 1:
        return patchwork  # models are compared at one site
    pair, tables = _pair(sought.candidates), [c.source for c in sought.candidates if isinstance(c.source, TableSource)]
    compared = COMPARED.format(settings=LINEAR if any(table.different_dates for table in tables) else "")
    if pair and all(len(c.source.times) == 1 for c in sought.candidates):
        return patchwork + compared + PAN_MS.format(pan=pair[0], ms=pair[1])
    return patchwork + compared
