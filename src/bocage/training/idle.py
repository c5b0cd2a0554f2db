"""Settings of ``[training]`` that have no effect: those of the epochs, for a model that is fitted at once."""

from collections.abc import Iterator

from bocage.models import MODELS, Abilities
from bocage.training.choice import Choice
from bocage.training.settings import OF_EPOCHS, Training
from bocage.words import Note

DEFAULT = Training()


def idle_settings(choice: Choice) -> Iterator[Note]:
    """Yield a note for each model without epochs, with the settings of its training that it does not use.

    The settings that a mixture shares are not reported if it has a network, which uses them.
    """
    members = choice.members or (choice,)
    fitted = [one for one in members if _abilities(one).fitted]
    shared = DEFAULT if len(fitted) == len(members) else choice.training
    notes: dict[Note, None] = {}
    for one in fitted:
        keys = [*OF_EPOCHS, *([] if _abilities(one).weighted else ["class_weights"])]
        idle = tuple(
            key for key in keys if _differs(one.training, key, DEFAULT) and _differs(one.training, key, shared)
        )
        if idle:
            notes[Note.of("idle_settings", model=one.name, settings=idle)] = None
    yield from notes


def _differs(training: Training, key: str, other: Training) -> bool:
    return bool(getattr(training, key) != getattr(other, key))


def _abilities(choice: Choice) -> Abilities:
    """Return what the class of a model declares; of a class from outside the package, what its methods show."""
    model = MODELS.get(choice.name).Model
    found: Abilities = getattr(model, "abilities", Abilities(fitted=hasattr(model, "fit")))
    return found
