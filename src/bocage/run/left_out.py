"""Error of the accuracy that is estimated without labels, at the left-out sites of a run."""

import tomllib
from collections.abc import Iterator

from bocage.disk import artefact
from bocage.evaluation import Predictions
from bocage.layout import ModelLayout, RunLayout
from bocage.provenance import Provenance
from bocage.training import estimate, read_certainties


def missed_at_sites(model: ModelLayout) -> tuple[float, ...]:
    """Return measured minus estimated accuracy at each left-out site of the run of a model; empty without such a run.

    The run is that of a recipe with ``[split] site = "leave-one-out"``: each of its models is tested at a site that it was not
    trained on. Draws of another training than that of the model, or without an evaluation since, do not count.

    Raises
    ------
    EvaluationError
        The test predictions of a draw are damaged.
    RunFolderError
        The recipe or the records of the run are damaged.
    """
    splits = model.path.parent.parent
    run = RunLayout(splits.parent)
    if splits.name != "splits" or not run.provenance.exists():
        return ()
    found = []
    for number, site in _left_out(run, model.path.parent.name):
        split = run.split(number)
        certainties = read_certainties(split.model) if split.model.description.exists() else None
        here = certainties.left_out.get(site) if certainties else None
        if certainties and here and (known := certainties.like(here)) and split.test.exists():
            measured = float(Predictions.from_parquet(split.test).right.mean())
            found.append(measured - estimate(known, here))
    return tuple(found)


def _left_out(run: RunLayout, draw: str) -> Iterator[tuple[int, str]]:
    """Yield number and left-out site of each draw that was trained as `draw` was, and evaluated since.

    With ``site = "leave-one-out"``, the test pixels of a draw are those of one site: the sites with polygons, in their order.
    """
    with artefact(run.recipe):
        recipe = tomllib.loads(run.recipe.read_text(encoding="utf-8"))
        if recipe.get("split", {}).get("site") != "leave-one-out":
            return
        sites = [site["name"] for site in recipe["site"] if site.get("reference")]
    records = Provenance.load(run.provenance)
    own = records.stages.get(f"train/{draw}")
    for number, site in enumerate(sites):
        if own and records.is_evaluated(number) and records.stages[f"train/{number}"].key == own.key:
            yield number, site
