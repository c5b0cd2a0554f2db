"""The tables of a first recipe: those that share samples."""

from dataclasses import replace

from bocage.recipe.sections import Candidate
from bocage.samples.labels import Labels
from bocage.sources import same_rows
from bocage.sources.table import texts

SHARED = 0.5
"""Share of the labelled samples of the largest table that another table has at least, 0 to 1: models that use the samples of
all tables only would lose more than half of them."""


def with_shared_samples(candidates: list[Candidate], labels: Labels, remarks: list[str]) -> list[Candidate]:
    """Return the sources of the table with most labelled samples, and of the tables with most of them, all with the same rows.

    The remarks name the tables that are left out, and those with other samples.
    """
    if not candidates:
        return []
    wanted = {c.sample_id: frozenset(texts(labels.frame[c.sample_id])) for c in candidates}
    labelled = {c.name: wanted[c.sample_id].intersection(c.source.ids or ()) for c in candidates}
    chosen, kept = max(candidates, key=lambda c: len(labelled[c.name])), []
    most = labelled[chosen.name]
    for candidate in candidates:
        own, shared = labelled[candidate.name], len(labelled[candidate.name] & most)
        counts = f"{len(own)} labelled samples, that of '{chosen.name}' {len(most)}, and both have {shared}"
        enough = candidate.sample_id == chosen.sample_id and shared >= SHARED * len(most)
        kept += [candidate] if enough else []
        if not enough:
            remarks.append(
                f"source '{candidate.name}' is left out: its table has {counts}. A model that tolerates missing sources "
                "(patchwork) can use the samples of both: add a section [sources] for this table to try it"
            )
        elif own != most:
            remarks.append(
                f"source '{candidate.name}': its table has {counts}. patchwork uses the samples of all tables; models that "
                "need all sources use those that all tables have"
            )
    rows = same_rows({c.name: c.source for c in kept})
    return [replace(c, source=rows[c.name]) for c in kept]
