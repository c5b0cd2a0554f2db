"""Early fusion stacks the bands of several series date by date, so that their dates must be the same."""

from typing import TYPE_CHECKING

import numpy as np

from bocage.days import date_of
from bocage.errors import ModelError
from bocage.models.settings import fusion
from bocage.scene import Scene, Scenes

if TYPE_CHECKING:  # it imports this module
    from bocage.training.choice import Choice


def check_stacked(choice: "Choice", scene: Scene | Scenes) -> None:
    """Check that the series that a model, or a member of it, stacks have the same dates.

    Raises
    ------
    ModelError
        Two series have the same number of dates, but not the same ones. Another number is an error of the network.
    """
    for one in (choice, *choice.members):
        if isinstance(one.config, fusion.Config) and one.config.strategy == "early":
            for part in [scene] if isinstance(scene, Scene) else scene.by_site.values():
                _check(part, one.config)


def _check(scene: Scene, config: fusion.Config) -> None:
    cubes = [scene.cubes[name] for name in config.sources or scene.cubes if name in scene.cubes]
    first, *others = [cube for cube in cubes if len(cube.days) > 1] or cubes
    for other in others:
        if len(first.days) == len(other.days) and not np.array_equal(first.days, other.days):
            k = int(np.argmax(first.days != other.days))
            raise ModelError(
                f"fusion: early fusion needs sources with the same dates; date {k + 1} of '{first.name}' is "
                f"{date_of(first.days[k])}, and that of '{other.name}' {date_of(other.days[k])}. Give both the same fill = "
                '{ every, start, end }, or set strategy = "late".'
            )
