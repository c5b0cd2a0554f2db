"""Text of a first recipe, from the sources and labels that were found; ``bocage init`` writes it."""

import json
import os
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bocage.recipe.colors import colors_of

UNKNOWN = "?"
"""Placeholder of a value that only the user knows; the parser of recipes refuses it."""
TEMPLATE = """\
# Written by 'bocage init' from the names, headers and values of the files. Check every line before the run.
{remarks}name = "{name}"

{land}
# Legend: for each class, its code in the map (1 to 65535), its name, and optionally color = "#rrggbb".
# To merge several labels into one class, list them: values = [...].
[legend]
classes = [
{classes}
]

# Split of the {kind} of each class: 80 % for training, the rest for testing, repeated over 10 random draws.
[split]
train = 0.8
draws = 10
rare = "{rare}"{rare_why}
{split}{block}
{model}
# [report]
# language = "fr"
"""
GRID_HINT = """\
# Grid of the map: the grid of a source, or crs = "EPSG:...", resolution and bounds.
"""
GRID = """\
[{before}grid]
like = "{like}"{like_why}
"""
SITE = """\
# {about}
[[site]]
name = "{name}"
"""
BLOCK = """\
# unit = "block"               # draw square blocks instead of polygons, to separate training from nearby test fields
"""
REFERENCE_HINTS = {
    "polygons": "# Reference polygons: a vector file in any CRS, or the address of a PostGIS database.\n",
    "samples": "# Reference labels of the samples.\n",
}
REFERENCE = """\
[{before}reference]
path = {path}
label = "{label}"
"""
POLYGON_HINTS = """\
# weight = "weight"            # if the polygons are a probability sample: field with 1 / probability of selection
# polygon_id = "field"         # if a surveyed field consists of several features: field with its identifier
# buffer = 5                   # inward buffer of each polygon, in metres
"""


@dataclass(frozen=True)
class DraftFill:
    """Regular dates for models that compare the same dates of all pixels."""

    every: int
    """Days between two dates."""
    start: date
    end: date

    @property
    def line(self) -> str:
        """The setting of the source."""
        return f"fill = {{ every = {self.every}, start = {self.start}, end = {self.end} }}"


@dataclass(frozen=True)
class DraftSource:
    """Section of a source."""

    name: str
    comments: tuple[str, ...]
    settings: tuple[str, ...]
    """Lines of the table, after its name."""
    table: str = ""
    """Name of its subtable, such as ``bands``; empty: none."""
    entries: tuple[str, ...] = ()
    """Lines of the subtable."""
    fill: DraftFill | None = None
    """Gap filling for models that compare the same dates."""

    def text(self, filled: bool, before: str = "") -> str:
        """Return the section; with `filled`, its series is interpolated to regular dates. Its name follows `before`."""
        filling = []
        if self.fill:
            filling = [self.fill.line] if filled else [f"# {self.fill.line}  # interpolation to regular dates"]
        head = [*(f"# {c}" for c in self.comments), f"[{before}sources.{self.name}]"]
        below = [f"[{before}sources.{self.name}.{self.table}]", *self.entries] if self.table else []
        return "\n".join([*head, *self.settings, *filling, *below]) + "\n"


@dataclass(frozen=True)
class DraftClass:
    """Line of a class."""

    code: int
    name: str
    values: tuple[int | str, ...]
    count: str
    """Comment with the number of features."""

    def text(self, color: str = "") -> str:
        """Return the line, with a colour if there is one."""
        values = ", ".join(str(v) if isinstance(v, int) else f'"{escaped(v)}"' for v in self.values)
        listed = f", values = [{values}]" if values else ""
        shown = f', color = "{color}"' if color else ""
        return f'  {{ code = {self.code}, name = "{escaped(self.name)}"{shown}{listed} }},  # {self.count}'


@dataclass(frozen=True)
class DraftReference:
    """Section of the reference."""

    path: str
    """Quoted path."""
    label: str
    layer: str = ""
    more: tuple[str, ...] = ()
    """Further lines."""

    def text(self, before: str = "") -> str:
        """Return the section, whose name follows `before`."""
        text = REFERENCE.format(before=before, path=self.path, label=escaped(self.label))
        layer = f'layer = "{escaped(self.layer)}"\n' if self.layer else ""
        return text + layer + "".join(f"{line}\n" for line in self.more)


@dataclass(frozen=True)
class DraftSite:
    """A period of the labels: the sources with its dates, and the labels that hold for it."""

    name: str
    about: str
    """Comment."""
    like: str
    """Source whose grid the map uses."""
    sources: tuple[DraftSource, ...]
    reference: DraftReference

    def text(self, filled: bool) -> str:
        """Return the table of the site; with `filled`, its series are interpolated to regular dates."""
        before = "site."
        parts = [
            SITE.format(about=_one_line(self.about), name=escaped(self.name)),
            GRID.format(before=before, like=self.like, like_why=""),
            *(source.text(filled, before) for source in self.sources),
            self.reference.text(before),
        ]
        return "".join(parts)


@dataclass(frozen=True)
class Draft:
    """Content of a recipe; :meth:`text` returns it for one model."""

    name: str
    like: str
    sources: tuple[DraftSource, ...]
    reference: DraftReference
    classes: tuple[DraftClass, ...]
    like_why: str = ""
    rare: tuple[str, ...] = ()
    """Classes with too few polygons."""
    split: str = ""
    """Further lines of the split."""
    remarks: tuple[str, ...] = field(default=())
    kind: str = "polygons"
    """What the reference contains: polygons, or samples of a table."""
    unit: str = "polygons"
    """What the split counts, in words."""
    sites: tuple[DraftSite, ...] = ()
    """Periods, in place of grid, sources and reference."""

    def _land(self, filled: bool) -> str:
        """Return grid, sources and reference, or the sites."""
        if self.sites:
            return "\n".join(site.text(filled) for site in self.sites)
        why = f"  # {self.like_why}" if self.like_why else ""
        grid = GRID_HINT + GRID.format(before="", like=self.like, like_why=why)
        reference = REFERENCE_HINTS[self.kind] + self.reference.text() + POLYGON_HINTS * (self.kind == "polygons")
        return "\n".join([grid, *(source.text(filled) for source in self.sources), reference])

    def text(self, model: str, suffix: str = "", filled: bool = False) -> str:
        """Return the recipe with the sections `model`; `suffix` is appended to its name."""
        if self.rare:
            shown = ", ".join(self.rare[:8]) + ", …" * (len(self.rare) > 8)
            hint = f'excludes classes with fewer than 3 {self.unit}; "train" maps them without a test'
            rare_why = _one_line(f"                  # {hint}: {shown}")
        else:
            hint = f'"drop" excludes classes with fewer than 3 {self.unit}, "train" maps them without a test'
            rare_why = f"                  # {hint}"
        colors = colors_of([one.name for one in self.classes]) or [""] * len(self.classes)
        return TEMPLATE.format(
            name=self.name + suffix,
            remarks="".join(f"# Remark: {_one_line(remark)}\n" for remark in self.remarks),
            land=self._land(filled),
            classes="\n".join(one.text(color) for one, color in zip(self.classes, colors, strict=True)),
            rare="drop" if self.rare else "stop",
            rare_why=rare_why,
            split=self.split,
            kind=self.kind,
            block=BLOCK if self.kind == "polygons" else "",
            model=model,
        )


def quoted(path: object, out: Path) -> str:
    """Return the quoted path for a recipe at `out`, with forward slashes: relative to it, or absolute where this is shorter."""
    absolute = str(Path(str(path)).absolute())  # links stay as they are
    try:
        relative = os.path.relpath(absolute, out.resolve().parent)
    except ValueError:  # another drive on Windows
        relative = absolute
    shorter = min(relative, absolute, key=len)
    return '"' + escaped(shorter.replace(os.sep, "/")) + '"'


def escaped(text: str) -> str:
    """Return a text as the inside of a TOML string."""
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")


def _one_line(text: str) -> str:
    """Return a text without line breaks and control characters, which would end a comment."""
    return "".join(c if c.isprintable() else " " for c in text)
