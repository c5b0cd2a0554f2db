"""``bocage pretrain``: compute initial weights of a network from the scene, without labels."""

from dataclasses import replace
from pathlib import Path

from bocage.layout import RunLayout
from bocage.mapping import region_of
from bocage.models.reconstruction import reconstruction
from bocage.progress import QUIET, Progress
from bocage.recipe import Recipe
from bocage.run import claim, held, segment_first
from bocage.run.start import STAGE, pretraining_key, settle_pretraining
from bocage.samples.unlabelled import Drawing, cut_pixels
from bocage.training import Pretrained, Pretraining, check_device, pretrain


def pretrain_on(
    recipe: Recipe,
    out: Path,
    settings: Pretraining = Pretraining(),  # noqa: B008 - frozen
    progress: Progress = QUIET,
    overwrite: bool = False,
) -> Pretrained:
    """Pretrain the recipe's network on unlabelled pixels of its scene, and write ``<out>/pretrained``.

    Raises
    ------
    RunFolderError
        The folder contains another run, or a pretraining with other settings, and `overwrite` is False.
    ModelError
        The network has no encoder that can be trained without labels.
    """
    choice = recipe.choice.encoder
    check_device(choice.training)
    layout, settings = RunLayout(out), replace(settings, seed=recipe.split.seed)
    with held(out):
        segment_first(recipe, out, progress, overwrite)
        claimed = claim(recipe, layout, progress, overwrite)
        scene, folder = claimed.scene, claimed.folder
        network = choice.build(scene, recipe.legend)
        region = region_of(recipe.map, scene)
        reconstruction(network)  # an unsuitable network is reported before the pixels are cut

        def work() -> None:
            free = Drawing(settings.seed, region).pixels(scene, settings.pixels)
            with cut_pixels(scene, free, network, layout.scratch, progress) as chips:
                pretrain(choice, scene, chips, settings, layout, progress)

        if not layout.pretrained.path.exists():
            folder.forget(STAGE)
        inside = (region.describe(),) if region else ()
        own = settle_pretraining(folder, settings, inside, overwrite)
        folder.once(STAGE, pretraining_key(recipe, claimed.inputs) + own, work, progress)
    return Pretrained.load(layout.pretrained.path)
