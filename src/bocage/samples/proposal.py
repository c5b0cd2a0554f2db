"""What a file of labelled features offers, as lines of text: its fields, the label field and the legend with counts."""

from collections.abc import Iterator

from bocage.legend import LandClass, plain
from bocage.samples.label_field import label_fields
from bocage.samples.labels import Labels

SHOWN = 4
"""Number of values of a field that are shown."""
LONG = 40
"""Number of characters up to which a value is shown."""


def proposal(labels: Labels) -> list[str]:
    """Return the features, fields, label field and legend of a file, and remarks, as lines for the user."""
    label, beside = labels.reference.label, f" (and '{labels.beside}', one to one)" if labels.beside else ""
    others = [field for field in label_fields(labels.frame) if field not in (label, labels.beside)]
    lines = [*_file(labels), "Fields:", *(f"  {line}" for line in _fields(labels))]
    lines.append(
        f"Label field: '{label}'{beside}. Others that look like a label: {', '.join(others) if others else 'none'}."
    )
    lines.append(f"Legend: {len(labels.classes)} classes, {sum(labels.counts)} of {len(labels.frame)} features")
    ranked = sorted(zip(labels.counts, labels.classes, strict=True), key=lambda pair: -pair[0])
    lines += [f"  {n:>8} {c.code:>6} {c.name}{_values(c)}" for n, c in ranked]
    lines += [f"remark: {remark}" for remark in labels.remarks]
    if not labels.has_geometry:
        lines.append("remark: its features have no geometry, so they label no pixel; they can label samples of a table")
    elif labels.frame.crs is None:
        lines.append('remark: it declares no CRS; write it in the recipe, for example [reference] crs = "EPSG:32631"')
    return lines


def _file(labels: Labels) -> Iterator[str]:
    frame, layer = labels.frame, labels.reference.layer
    crs = frame.crs.to_string() if frame.crs is not None else "no CRS"
    kinds = frame.geometry.geom_type.value_counts()
    place = ", ".join(f"{n} {kind}" for kind, n in kinds.items()) + f"; {crs[:LONG]}" if len(kinds) else "no geometry"
    yield f"{labels.reference.shown}{f', layer {layer}' if layer else ''}: {len(frame)} features ({place})"


def _fields(labels: Labels) -> Iterator[str]:
    for field in labels.fields:
        found = labels.frame[field].map(plain)
        missing = int((found == "").sum())
        counts = found[found != ""].value_counts()
        shown = ", ".join(value[:LONG] for value in counts.index[:SHOWN]) + ", …" * (len(counts) > SHOWN)
        yield (
            f"{field}: {len(counts)} values" + (f" ({shown})" if shown else "") + f", {missing} missing" * bool(missing)
        )


def _values(one: LandClass) -> str:
    values = [text for text in map(str, one.values) if text != one.name]
    return f"  (value {', '.join(text[:LONG] for text in values)})" if values else ""
