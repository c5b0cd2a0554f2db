"""Training on windows: which models can have it, and what they need of a scene."""

from typing import TYPE_CHECKING

from bocage.errors import ModelError
from bocage.models import MODELS, card_for
from bocage.samples import Needs, WindowNeeds, check_side
from bocage.scene import Scene
from bocage.training.choice import Choice

if TYPE_CHECKING:  # it imports PyTorch
    from bocage.models import Network


def needs_for(choice: Choice, network: "Network", scene: Scene) -> Needs:
    """Return what the training of a model requires from a scene: footprints, or windows.

    Raises
    ------
    SamplesError
        The scene has no windows, or their side does not suit the network or the map.
    ModelError
        The network has a loss for single footprints only.
    """
    from bocage.models import step_of

    side = choice.training.window
    if not side:
        return network
    check_side(scene, side, step_of(network.inputs, network.step))
    if not network.dense_loss:
        raise ModelError(
            f"'{choice.name}' has a loss of its own for single footprints (method 'loss') and none for windows ('loss_at'). "
            "Remove [training] window."
        )
    ratios = {name: spec.ratio for name, spec in network.inputs.items()}
    windows = {name: one.of_window(side, ratios[name]) for name, one in network.window_footprints.items()}
    return WindowNeeds(windows, network.any_source, side, ratios)


def why_not_windows(choice: Choice) -> str:
    """Return why ``[training] window`` does not suit a model, with what to do; empty if it does."""
    card, side = card_for(MODELS.get(choice.name), choice.config), choice.training.window
    if card.windows and not side:
        return f"'{choice.name}' is trained on windows: set for example 64, or remove it"
    if side and card.fitted:
        return f"'{choice.name}' is fitted to all samples at once, not on windows; remove it"
    if side and choice.members:
        return "a model with members is trained on single pixels or patches; remove it"
    if side and card.dense == "patches":
        return f"'{choice.name}' is computed patch by patch, not in windows; remove it, or use 'patchwork', 'utae' or 'unet'"
    return ""


def check_single(choice: Choice, command: str, do: str = "Use for example patchwork, without 'window'.") -> None:
    """Check that a model is trained on single pixels or patches, as a command needs; `do` is the action of the message.

    Raises
    ------
    ModelError
        It is trained on windows.
    """
    if choice.training.window:
        raise ModelError(
            f"'bocage {command}' is for models of single pixels and patches, and '{choice.title}' is trained on windows "
            f"([training] window = {choice.training.window}). {do}"
        )
