"""Warning before a model that compares dates is trained on samples of a table that share few dates."""

from collections.abc import Collection, Iterator

from bocage.models import MODELS, card_for
from bocage.scene import Scene
from bocage.sources import TableSource
from bocage.training.choice import Choice
from bocage.words import Note


def few_shared(choice: Choice, scene: Scene, names: Collection[str]) -> Iterator[Note]:
    """Yield a note for each table, of the sources `names`, whose samples share few dates, if the model compares dates.

    Gap filling gives all samples the same dates, and so does the setting `gaps` of the trees.
    """
    members = [one.name for one in choice.members or (choice,) if _compares(one)]
    for name, cube in scene.cubes.items() if members else ():
        source = cube.source
        if name not in names or not isinstance(source, TableSource) or cube.preparation.fill:
            continue
        values = {"share": 100 * source.own_dates, "n": len(source.times), "model": members[0]}
        if source.different_dates:
            yield Note.of("few_shared", name, **values)
        elif source.different_seasons:
            yield Note.of("few_shared_seasons", name, **values)


def _compares(choice: Choice) -> bool:
    """Return whether a model compares dates, and does not interpolate them itself."""
    gaps = getattr(choice.config, "gaps", "missing")
    return card_for(MODELS.get(choice.name), choice.config).same_dates and gaps == "missing"
