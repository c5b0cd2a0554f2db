"""Train a model on a draw of the samples; classify samples with a trained model."""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bocage.disk import digest, digest_of, write_text
from bocage.errors import TrainedError, TrainingError
from bocage.layout import SplitLayout
from bocage.machine import device_of, versions
from bocage.models import Batch, Network, regional
from bocage.progress import QUIET, Named, Progress
from bocage.samples import Chips, Draw, Samples, depths
from bocage.scene import Scene, Scenes
from bocage.training.augmentation import Augmentation, cut_off, gridded
from bocage.training.batches import at_a_time, batches, dates_of, make_batch
from bocage.training.budget import budgeted, steps_of
from bocage.training.certainty import Home
from bocage.training.choice import Choice
from bocage.training.curves import write_curves
from bocage.training.ensemble import combined, part_of
from bocage.training.held_out import calibrated
from bocage.training.loop import Task, answering, fit, logits_of
from bocage.training.losses import fit_at_once
from bocage.training.novelty import domain_of
from bocage.training.pretrain import Pretrained
from bocage.training.records import Region, input_specs, source_records
from bocage.training.regions import Part, parts_of, without_source
from bocage.training.scaling import Normalisation
from bocage.training.sites import balanced_members
from bocage.training.trained import Temperature, Trained
from bocage.training.twins import Judges, alike, dealt, judged, remove_twins, twins_of
from bocage.words import quantity

PARTS = 4
"""Number of parts of the training polygons that models without epochs are fitted without, for the calibration."""
EACH = 32
"""Number of training samples of each class that are classified after the training."""
PATCHES, PIXELS = 256, 8192
"""Number of samples classified at a time, for models with and without spatial context. The second number is large because a
call of a random forest takes about the same time for one pixel and for thousands."""


@dataclass(frozen=True)
class Trainer:
    """A model, and the scene and samples for its training."""

    choice: Choice
    scene: Scene | Scenes
    samples: Samples
    start: Pretrained | None = None
    """Pretrained weights; the scaling of the bands is that of the pretraining."""
    member: int = 0
    """Number of the network among the members of a mixture; member 0 is the network that is trained without a mixture."""
    normalisation: Normalisation | None = None
    """Scaling of the bands; None: from the training samples."""
    part: Part | None = None
    """Samples of the region whose member is trained; None: all."""

    def train(self, number: int, folder: Path, progress: Progress = QUIET) -> Trained:
        """Train on draw `number`, from 0; write ``model/`` and ``curves.csv`` to `folder`, and return the model.

        An interrupted training resumes from its checkpoint in the folder and gives the same weights. With a fixed schedule, a
        network is trained on all polygons, and before that, for the calibration, a twin without the validation polygons, or
        one without each part of the polygons (`calibration_folds`).

        Raises
        ------
        ModelError
            The network does not accept the sources of the scene.
        TrainedError
            The pretrained weights are those of another network, or of other bands, units or days.
        TrainingError
            A network that stops early has no validation polygon, the loss or a gradient is NaN or infinite, or a checkpoint
            cannot be written.
        """
        choice, samples, settings = self.choice, self.samples, self.choice.training
        where = SplitLayout(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if choice.members:
            return self._ensemble(number, where, progress)
        shutil.rmtree(where.members, ignore_errors=True)  # of a mixture trained here before
        task = self._prepared(number, where, progress)
        draw, seed, model, normalisation = task.draw, task.seed, task.model, task.normalisation
        self._check_validation(model, self.whole_draw(number), number)
        if not self.member or self.part:
            self._report(draw, number, progress)
        twins = self._twins(task, number, progress)
        self._fit(task, progress)
        records = source_records(self.scene, model.footprints)
        trained = Trained(
            choice.name, choice.config, samples.legend, records, normalisation, model, Region.of(self.scene), versions()
        )
        if settings.calibrate:
            own = [(trained.model, judged(draw, samples.label).validation)]
            judges = [*(twins or own), *self._folds(trained, draw, seed, progress)]
            trained = calibrated(trained, samples.chips, judges, settings)
        self._report_constant(trained, draw, seed, f"Draw {number + 1}", progress)
        trained = replace(trained, domain=domain_of(trained, samples.chips, draw, seed))
        if settings.calibrate and not self.normalisation:  # of a member, nothing is asked
            trained = self._with_certainties(trained, number, where)
        trained.save(where.model.path)
        where.checkpoint.unlink(missing_ok=True)
        if self.normalisation is None:  # those of a member calibrate the mixture, too
            remove_twins(where)
        return trained

    def _prepared(self, number: int, where: SplitLayout, progress: Progress) -> Task:
        """Return the training of a new network on draw `number`, with the samples that it uses."""
        draw, seed = self._draw(number), _seed(self.samples, number, self.member)
        torch.manual_seed(seed)
        model = self.choice.build(self.scene, self.samples.legend)
        if model.abilities.fitted:
            draw = self._finest(draw, number, progress)
        return self._task(model, draw, self._scaling(model, draw, progress), number, where)

    def _twins(self, task: Task, number: int, progress: Progress) -> Judges:
        """Return the twins of a network, all members of a mixture without the same polygons, and the samples of these."""
        return twins_of(task, self.whole_draw(number), self.samples, _seed(self.samples, number), progress)

    def _scaling(self, model: Network, draw: Draw, progress: Progress) -> Normalisation:
        """Return the scaling of the bands; a network that starts from pretrained weights gets them, and has their scaling."""
        scaling = self.normalisation or Normalisation.of(self.samples.cuts, draw.train, self.choice.training.scaling)
        if self.start and isinstance(self.scene, Scene):
            return self.start.start(model, self.choice.name, self.scene, scaling, progress)
        return scaling

    def _with_certainties(self, trained: Trained, number: int, where: SplitLayout) -> Trained:
        """Return a model with its certainties at home."""
        home = Home(trained, self.samples, self.whole_draw(number), where, self.choice.training.device)
        return replace(trained, certainties=home.certainties(self.scene, _seed(self.samples, number)))

    def _draw(self, number: int) -> Draw:
        """Return draw `number` with the training and validation samples that the settings use."""
        draw = self.whole_draw(number)
        if self.choice.training.stops_early:
            return draw
        return draw.whole  # validation polygons are not needed and are used for training

    def whole_draw(self, number: int) -> Draw:
        """Return draw `number` without distrusted samples; for the member of a region, the samples of its part."""
        draw = _believed(self.samples.draw(number), self.samples.trust)
        if self.part is None:
            return draw
        parts = (some[self.part.samples[some]] for some in (draw.train, draw.validation, draw.beside))
        train, validation, beside = parts
        return replace(draw, train=train, validation=validation, beside=beside)

    def _finest(self, draw: Draw, number: int, progress: Progress) -> Draw:
        """Return a draw without the training samples of coarser classes, which a model that is fitted at once cannot use."""
        kept = draw.train[self.samples.label[draw.train] >= 0]
        if coarse := len(draw.train) - len(kept):
            of_what = f"{quantity(coarse, 'pixel')} of coarser classes or sets of classes"
            do = "do" if coarse > 1 else "does"
            progress.say(f"Draw {number + 1}: {of_what} {do} not train '{self.choice.name}'.")
        return replace(draw, train=kept)

    def _ensemble(self, number: int, where: SplitLayout, progress: Progress) -> Trained:
        """Train the members of a mixture, or of the regions, one after the other, and combine them; complete members are kept."""
        choice, samples, draw = self.choice, self.samples, self._draw(number)
        where.curves.unlink(missing_ok=True)  # of a single network trained here before
        normalisation = self._shared_scaling(draw)
        trainers = list(self.of_members(normalisation, number, progress))
        members = []
        for i, trainer in enumerate(trainers):
            title = trainer.part.region if trainer.part else f"member {i + 1} of {len(trainers)}"
            members.append(trainer.train_once(number, where.member(i), Named(progress, f"{title}: ")))
        for extra in where.members.glob("*"):  # of a larger mixture trained here before
            if extra not in [where.member(i).path for i in range(len(trainers))]:
                shutil.rmtree(extra)
        trained = combined(choice, self.scene, samples.legend, members)
        if choice.training.calibrate:
            pairs = list(zip(trainers, members, strict=True))
            trained = self._calibrated_mixture(trained, pairs, number, where, progress)
        domain = domain_of(trained, samples.chips, draw, _seed(samples, number))
        trained = replace(trained, domain=domain)
        if choice.training.calibrate:
            trained = self._with_certainties(trained, number, where)
        trained.save(where.model.path)
        for i in range(len(trainers)):
            remove_twins(where.member(i))
        return trained

    def _calibrated_mixture(
        self,
        trained: Trained,
        pairs: Sequence[tuple["Trainer", Trained]],
        number: int,
        where: SplitLayout,
        progress: Progress,
    ) -> Trained:
        """Return a mixture with its calibration on samples that no member was trained on, or whose twins were not."""
        if all(member.training.stops_early for member in self.choice.members):
            judges: Judges = [(trained.model, judged(self._draw(number), self.samples.label).validation)]
        else:
            judges = self._mixed_twins(pairs, number, where, progress)
        if self.choice.training.cutoff and not judges:
            progress.say(
                f"Draw {number + 1}: the members are not trained without the same polygons, so the confidence is calibrated for "
                "whole series only. For a confidence before the end of the season, train members of one kind, or one network."
            )
        return calibrated(trained, self.samples.chips, judges, self.choice.training)

    def _mixed_twins(
        self, pairs: Sequence[tuple["Trainer", Trained]], number: int, where: SplitLayout, progress: Progress
    ) -> Judges:
        """Return mixtures of the twins of the members, and the samples that none of them was trained on; none if they share none.

        Parameters
        ----------
        pairs
            Trainer of each member, and the member.
        """
        each: list[Judges] = []
        for i, (trainer, _) in enumerate(pairs):
            there = where.member(i).twins.exists()  # they are restored, without a new training
            said = QUIET if there else Named(progress, f"member {i + 1} of {len(pairs)}: ")
            each.append(trainer._twins(trainer._prepared(number, where.member(i), QUIET), number, said))
            if not alike(each):
                return []
        mixtures = []
        for parts in zip(*each, strict=True):
            twins = [replace(member, model=twin) for (_, member), (twin, _) in zip(pairs, parts, strict=True)]
            mixtures.append((combined(self.choice, self.scene, self.samples.legend, twins).model, parts[0][1]))
        return mixtures

    def _shared_scaling(self, draw: Draw) -> Normalisation:
        """Return the scaling of the bands for all members of a mixture."""
        members, start = self.choice.members, self.start
        scaling = Normalisation.of(self.samples.cuts, draw.train, self.choice.training.scaling)
        if not start or not isinstance(self.scene, Scene):
            return scaling
        first = next((member for member in members if member.name == start.name), members[0])
        return start.start(first.build(self.scene, self.samples.legend), first.name, self.scene, scaling, QUIET)

    def of_members(
        self, normalisation: Normalisation, number: int = 0, progress: Progress = QUIET
    ) -> Iterator["Trainer"]:
        """Yield the trainer of each member: its model, and its part of the samples of draw `number`.

        Raises
        ------
        TrainingError
            A region has too few samples.
        """
        scene, samples, network = self.scene, self.samples, self.choice.build(self.scene, self.samples.legend)
        pairs: list[tuple[Choice, Part | None]] = [(choice, None) for choice in self.choice.members]
        if isinstance(config := self.choice.config, regional.Config):
            pairs = [(self.choice.members[0], part) for part in self.parts(number, progress)]
            scene = without_source(scene, config.source)
        for i, (choice, part) in enumerate(pairs):
            own = choice.build(scene, samples.legend).footprints
            cuts = {name: part_of(samples.cuts[name], network.footprints[name], own[name]) for name in own}
            start = self.start if self.start and self.start.name == choice.name else None
            yield Trainer(choice, scene, replace(samples, cuts=cuts), start, i, normalisation, part)

    def parts(self, number: int, progress: Progress = QUIET) -> list[Part]:
        """Return the samples of each region in draw `number`, for a model per region; none for another model.

        Raises
        ------
        TrainingError
            A region has too few samples.
        """
        choice, config = self.choice, self.choice.config
        if not isinstance(config, regional.Config):
            return []
        fitted = choice.build(self.scene, self.samples.legend).abilities.fitted
        validated = choice.training.stops_early and not fitted
        try:
            return parts_of(self.scene, self.samples, self._draw(number), config, validated, progress)
        except TrainingError as error:
            raise TrainingError(f"Draw {number + 1}: {error}") from error

    def train_once(self, number: int, where: SplitLayout, progress: Progress) -> Trained:
        """Train a member in its folder, or read it if it is complete and of the same settings and samples."""
        identity = self._identity(number)
        if where.identity.exists() and where.identity.read_bytes() == identity.encode():
            try:
                trained = Trained.load(where.model.path)
            except TrainedError as error:
                progress.say(f"{error} The member is trained again.")
            else:
                progress.say("complete")
                return trained
        where.identity.unlink(missing_ok=True)
        trained = self.train(number, where.path, progress)
        write_text(where.identity, identity)
        return trained

    def _identity(self, number: int) -> str:
        """Return the digest of everything that determines the weights of a member."""
        samples, draw = self.samples, self.whole_draw(number)
        inputs = {name: spec for name, spec in input_specs(self.scene).items() if name in samples.cuts}
        start, seed = self.start.fingerprint if self.start else "", _seed(self.samples, number, self.member)
        arrays = (draw.train, draw.validation, samples.trains_only, samples.legend.groups)
        return digest_of(
            digest(self.choice, inputs, self.normalisation, seed, start, samples.chips.identity).encode(),
            *(np.ascontiguousarray(array).tobytes() for array in arrays),
        )

    def _check_validation(self, model: Network, draw: Draw, number: int) -> None:
        """Check that a network that stops early has validation samples.

        Raises
        ------
        TrainingError
            It has none.
        """
        if self.choice.training.stops_early and not len(draw.validation) and not model.abilities.fitted:
            raise TrainingError(
                f'Draw {number + 1} has no validation polygon, and [training] keep = "validation" needs one to select the epoch. '
                'Add polygons, increase [split] train or validation, or set keep = "last".'
            )

    def _report(self, draw: Draw, number: int, progress: Progress) -> None:
        """Report the pixels excluded by the buffer, and the classes without training samples."""
        if draw.left_out:
            split = self.samples.split
            near = f"within {split.buffer:g} m of test pixels" if split.buffer else ""
            torn = f"in {split.unit}s with samples of the tested fold" if self.samples.fold is not None else ""
            held = f"in {split.unit}s that are held out" if self.samples.trains_only.any() else ""
            where = " or ".join(filter(None, [near, torn, held]))
            are = "are" if draw.left_out > 1 else "is"
            progress.say(f"Draw {number + 1}: {quantity(draw.left_out, 'pixel')} {where} {are} excluded from training.")
        if absent := self.samples.without(draw.train):
            names = ", ".join(absent)
            progress.say(f"Draw {number + 1}: no training sample of: {names}. The model cannot predict these classes.")

    def _report_constant(self, trained: Trained, draw: Draw, seed: int, where: str, progress: Progress) -> None:
        """Report a model that gives all its training samples, up to ``EACH`` of each class, one class."""
        label, generator = self.samples.label, np.random.default_rng(seed)
        known = [draw.train[label[draw.train] == k] for k in np.unique(label[draw.train]) if k >= 0]
        if len(known) < 2:
            return
        some = np.sort(np.concatenate([generator.permutation(of_class)[:EACH] for of_class in known]))
        found = classify(trained, self.samples.chips, some, self.choice.training.device)
        if len(only := np.unique(found.argmax(1))) == 1:
            name = self.samples.legend.names[only[0]]
            progress.say(
                f"{where}: '{trained.name}' classifies all its training samples as '{name}', although they have {len(known)} "
                "classes: it separates none of them. Add samples, train longer, or choose other settings."
            )

    def _task(self, model: Network, draw: Draw, normalisation: Normalisation, number: int, where: SplitLayout) -> Task:
        """Return the training of a model on a draw, with the number of epochs that the limits of its steps give."""
        samples, name = self.samples, self.choice.name
        chips = samples.chips
        if parcels := self.choice.training.parcels:
            pixels = samples.pixels(np.arange(len(samples.label)))
            chips = replace(chips, depth=depths(pixels, samples.legend, parcels))
        settings = budgeted(self.choice.training, samples.label[draw.train], chips.items(draw.train))
        return Task(
            f"training {name}, draw {number + 1} of {samples.draws}", model, chips, draw, len(samples.legend.classes),
            normalisation, settings, _seed(samples, number, self.member), where, self.start.fingerprint if self.start else "",
            samples.legend.groups, network=digest(name, self.choice.config),
        )  # fmt: skip

    def _fit(self, task: Task, progress: Progress) -> None:
        """Fit the model to all training samples at once, or train it by epochs, depending on the model."""
        model, members, settings, label = task.model, task.draw.train, task.settings, task.chips.label
        if model.abilities.fitted:
            self._fit_at_once(model, members, task.normalisation, task.seed)
            task.where.curves.unlink(missing_ok=True)  # of a network trained here before
            progress.step(task.title, 1, 1)
            return
        items = task.chips.items(members)
        if settings.batch_size > items and not settings.samples_per_epoch:
            what = "windows" if task.chips.windows else "training samples"
            progress.say(f"batch_size is {settings.batch_size}, but the draw has {items} {what}: an epoch is one step.")
        if settings.epochs != self.choice.training.epochs:
            each = steps_of(settings, label[members], items)
            progress.say(
                f"{task.title}: {quantity(settings.epochs, 'epoch')} of {quantity(each, 'optimiser step')}, instead of "
                f"{quantity(self.choice.training.epochs, 'epoch')} ([training] steps = {list(settings.steps)})."
            )
        state = fit(task, progress)
        write_curves(state.curves, state.best_epoch, task.where.curves)

    def _fit_at_once(self, model: Network, members: NDArray[np.int64], normalisation: Normalisation, seed: int) -> None:
        """Fit a model without epochs to the trusted ones of the samples `members`, balanced between sites."""
        chips, settings, generator = self.samples.chips, self.choice.training, np.random.default_rng(seed)
        used = chips.trusted(balanced_members(members, chips, settings, generator), generator)
        fit_at_once(model, self._fitted_batch(model, used, normalisation, seed), chips.label[used], settings, seed)

    def _fitted_batch(
        self, model: Network, members: NDArray[np.int64], normalisation: Normalisation, seed: int
    ) -> Batch:
        """Return the samples for a model that is fitted at once, with the cut-offs of the settings."""
        chips, cutoff = self.samples.chips, self.choice.training.cutoff
        batch = make_batch(chips, members, normalisation)
        if not cutoff:
            return batch
        how = Augmentation(cutoff=cutoff, each_series=True, gridded=gridded(model.inputs, chips.cuts))
        return cut_off(batch, dates_of(chips, members), how, np.random.default_rng(seed))

    def _folds(
        self, trained: Trained, draw: Draw, seed: int, progress: Progress
    ) -> Iterator[tuple[Network, NDArray[np.int64]]]:
        """Yield models fitted without a part of the training polygons, and the samples of this part; none for a network.

        A network is trained again for each part only with `calibration_folds`, because that takes long.
        """
        if not trained.model.abilities.fitted:
            return
        for k, rest, out in dealt(self.samples, draw.train, PARTS, seed):
            model = self.choice.build(self.scene, self.samples.legend)
            self._fit_at_once(model, rest, trained.normalisation, seed)
            yield model, out
            progress.step(f"calibrating {trained.name}", k + 1, PARTS)


def _believed(draw: Draw, trust: NDArray[np.float64] | None) -> Draw:
    """Return a draw without the training and validation samples that are not trusted at all; the test part stays."""
    if trust is None:
        return draw
    train, validation, beside = (some[trust[some] > 0] for some in (draw.train, draw.validation, draw.beside))
    return replace(draw, train=train, validation=validation, beside=beside)


def _seed(samples: Samples, number: int, member: int = 0) -> int:
    entropy = (samples.split.seed, number, member) if member else (samples.split.seed, number)
    return int(np.random.SeedSequence(entropy).generate_state(1)[0])


def classify(trained: Trained, chips: Chips, members: NDArray[np.int64], device: str) -> NDArray[np.float32]:
    """Return the calibrated class probabilities (N, K) of the samples `members`, 0 to 1."""
    return classified(trained, chips, members, device)[0]


def classified(
    trained: Trained, chips: Chips, members: NDArray[np.int64], device: str
) -> tuple[NDArray[np.float32], Temperature]:
    """Return the calibrated class probabilities (N, K) of the samples `members`, and the temperature of all, or of each (N,)."""
    classes, main = len(trained.legend.classes), trained.calibration.temperature
    if not len(members):
        return np.zeros((0, classes), np.float32), main
    where = device_of(device)
    model = trained.model.to(where).eval()
    size = at_a_time(chips, PATCHES if trained.has_context else PIXELS)
    made, answer = batches(chips, members, trained.normalisation, size), answering(model, chips)

    def scaled(batch: Batch) -> Tensor:
        logits = answer(batch).float()
        found = trained.scaled(logits, batch)
        return found if trained.one_temperature else torch.cat([found, trained.temperature(logits, batch)], 1)

    found = logits_of(scaled, made, where)[0]
    probabilities = torch.softmax(found[:, :classes], 1).numpy()
    return probabilities, main if trained.one_temperature else found[:, classes].double().numpy()
