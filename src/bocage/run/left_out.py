"""Error of the accuracy that is estimated without labels, at the left-out sites of a run."""

from bocage.evaluation import Predictions
from bocage.layout import ModelLayout, RunLayout
from bocage.training import estimate, read_certainties


def missed_at_sites(model: ModelLayout) -> tuple[float, ...]:
    """Return measured minus estimated accuracy at each left-out site of the run of a model; empty without such a run.

    The run is that of a recipe with ``[split] site = "leave-one-out"``: each of its models is tested at a site that it was not
    trained on.

    Raises
    ------
    EvaluationError
        The test predictions of a draw are damaged.
    """
    splits = model.path.parent.parent
    if splits.name != "splits":
        return ()
    run, found = RunLayout(splits.parent), []
    for number in sorted(int(path.name) for path in splits.iterdir() if path.name.isdecimal()):
        split = run.split(number)
        if not (split.model.description.exists() and split.test.exists()):
            continue
        certainties = read_certainties(split.model)
        if certainties and len(certainties.left_out) == 1:
            (here,) = certainties.left_out.values()
            measured = float(Predictions.from_parquet(split.test).right.mean())
            found.append(measured - estimate(certainties.known, here))
    return tuple(found)
