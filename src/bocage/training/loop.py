"""Training loop of all networks, on a CPU, one GPU or several GPUs; the weights of the best epoch are kept.

In epoch ``k``, sample order, augmentation and dropout use the seed ``(seed, k)``. A training that resumes from a checkpoint
therefore gives the same weights as one without interruption.
"""

import copy
import gc
import math
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessException
from torch.nn import functional

from bocage.disk import digest, digest_of
from bocage.errors import ModelError, TrainingError
from bocage.layout import SplitLayout
from bocage.machine import device_of
from bocage.models import Batch, Network, moved
from bocage.models.base import Criterion
from bocage.progress import QUIET, Progress, Sent, listening
from bocage.samples import Chips, Draw
from bocage.training import checkpoint
from bocage.training.augmentation import Augmentation, gridded
from bocage.training.batches import Ahead, Minibatch, batches
from bocage.training.checkpoint import State
from bocage.training.curves import Epoch
from bocage.training.losses import criterion_of
from bocage.training.outlines import with_outlines
from bocage.training.scaling import Normalisation
from bocage.training.settings import Training
from bocage.training.sites import balanced_members

RISE = 0.3
"""Share of the epochs of a one-cycle schedule in which the learning rate rises."""
TAIL = 0.2
"""Share of the epochs, at the end of a one-cycle schedule, from which weights are kept. Earlier scores are unstable,
because the learning rate is high."""


@dataclass(frozen=True)
class Task:
    """Inputs and settings of one training."""

    title: str
    """Title of the progress bar."""
    model: Network
    """Network to train in place."""
    chips: Chips
    """Samples."""
    draw: Draw
    """Positions of the training and validation samples."""
    n_classes: int
    """Number of classes."""
    normalisation: Normalisation
    """Scaling of the bands."""
    settings: Training
    seed: int
    """Seed of all epochs."""
    where: SplitLayout
    """Folder of the checkpoint."""
    start: str = ""
    """Fingerprint of the initial weights; empty for random weights."""
    coarser: NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), bool))
    """(J, K) whether each class is below each coarser class, whose samples have negative labels."""
    ends_saved: bool = False
    """Whether a checkpoint of the last epoch is written, from which the complete training can be restored."""
    network: str = ""
    """Digest of the name and the settings of the network, some of which change no shape of its weights."""

    @property
    def identity(self) -> str:
        """Digest of everything that determines the weights, except the machine."""
        # The names of the bands are in no shape, and some networks treat bands of reflectance otherwise than others.
        named = dict(self.model.inputs)
        settings = digest(self.settings, self.normalisation, self.seed, self.n_classes, self.start, self.network, named)
        shapes = [(name, tuple(p.shape)) for name, p in self.model.state_dict().items()]
        arrays = [self.draw.train, self.draw.validation, self.coarser]
        return digest_of(
            f"{settings} {type(self.model)} {shapes} {self.chips.identity}".encode(),
            *(np.ascontiguousarray(array).tobytes() for array in arrays),
        )

    def epoch_seed(self, number: int) -> int:
        """Return the seed of epoch `number`, from 1; 0 gives the seed of values drawn once per training."""
        return int(np.random.SeedSequence((self.seed, number)).generate_state(1)[0])


def fit(task: Task, progress: Progress) -> State:
    """Train `task.model` in place, load the kept weights into it, and return the last state: the curves, and the epoch kept.

    The checkpoint remains until the caller removes it.

    Raises
    ------
    TrainingError
        The loss or a gradient is NaN or infinite, a checkpoint cannot be written, or a batch has one sample and the network
        normalises batches.
    """
    task.model.use_scaling(task.normalisation.offset, task.normalisation.scale)
    fabric = _fabric(task.settings)
    train = _train if task.settings.devices == 1 else _train_together
    try:
        state = train(fabric, task, progress)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise TrainingError(
            f"{task.title}: a batch has one sample, and the batch normalisation of the network needs two. Set [training] "
            "batch_size to 2 or more; with one training sample, add polygons or choose another network."
        ) from error
    task.model.load_state_dict(state.kept)
    task.model.cpu().eval()
    if why := _not_the_best(task.settings, state):
        progress.say(f"{task.title}: {why}")
    return state


def _not_the_best(settings: Training, state: State) -> str:
    """Return why the weights kept are not those of the epoch with the best validation F-measure; empty if they are."""
    scores = np.array([epoch.validation_f1 for epoch in state.curves])
    if not settings.stops_early or np.isnan(scores).all():
        return ""
    best, kept = state.curves[int(np.nanargmax(scores))], state.curves[state.best_epoch - 1]
    if best.validation_f1 <= kept.validation_f1:
        return ""
    return (
        f"the weights of epoch {kept.epoch} are kept (validation F {kept.validation_f1:.3f}), the best of the last fifth of the "
        f"one-cycle schedule. Epoch {best.epoch} had {best.validation_f1:.3f}, at a high learning rate: such scores are unstable."
    )


def check_device(settings: Training) -> torch.device:
    """Return the device selected by the settings.

    Raises
    ------
    TrainingError
        This machine has fewer devices of this type than ``devices``.
    TrainedError
        This machine has no device of this type.
    """
    device = device_of(settings.device)
    available = torch.cuda.device_count() if device.type == "cuda" else 1 if device.type == "mps" else settings.devices
    if settings.devices > available:
        raise TrainingError(
            f"[training] devices is {settings.devices}, but this machine has {available} device(s) of type '{device.type}'. "
            "Reduce devices."
        )
    return device


def _fabric(settings: Training) -> Any:
    device = check_device(settings)
    precision = settings.precision
    if precision == "auto":
        mixed = device.type == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if mixed else "32-true"
    from lightning_fabric import Fabric  # imported here because the import takes seconds and mapping does not need it
    from lightning_fabric.strategies.ddp import DDPStrategy

    # Spawn: a new start of the command would repeat the other stages of the run in every process.
    # Unused parameters: a batch may not use all heads, e.g. heads of a source that none of its samples has, or heads for
    # labels during pretraining.
    several = DDPStrategy(start_method="spawn", find_unused_parameters=True)
    strategy = "auto" if settings.devices == 1 else several
    with warnings.catch_warnings():  # on the login node of a cluster, Fabric recommends srun
        warnings.filterwarnings("ignore", message="The `srun` command is available")
        return Fabric(accelerator=device.type, devices=settings.devices, strategy=strategy, precision=precision)


def _train_together(fabric: Any, task: Task, progress: Progress) -> State:
    """Train in several processes; return the state of the first process, and forward its messages."""
    messages = torch.multiprocessing.get_context("spawn").SimpleQueue()
    try:
        with listening(messages, progress):
            # partial: Fabric would modify the fields of objects passed as arguments of launch.
            weights, curves, kept = fabric.launch(partial(_train_apart, task=task, messages=messages))
    except ProcessException as error:  # the process raised an error or was killed
        raise TrainingError(f"A training process failed: {str(error).strip()}") from error
    return State(
        [Epoch(*values) for values in curves],
        best_epoch=kept,
        kept={name: torch.from_numpy(array) for name, array in weights.items()},
    )


def _train_apart(fabric: Any, task: Task, messages: Any) -> tuple[dict[str, NDArray[Any]], list[Any], int]:
    """Train in one of several processes; return weights, curves and the epoch kept, as can be sent between processes."""
    own = replace(task, model=copy.deepcopy(task.model))  # the received tensors share memory with the other processes
    state = _train(fabric, own, Sent(messages) if fabric.is_global_zero else QUIET)
    weights = {k: v.cpu().numpy().copy() for k, v in state.kept.items()}
    del own
    _leave(fabric)
    return weights, [astuple(epoch) for epoch in state.curves], state.best_epoch


def _leave(fabric: Any) -> None:
    """Destroy the process group, at the same time in all processes.

    Fabric leaves gloo's connections open until the process ends. A thread of gloo that still runs then aborts the process.
    """
    fabric.barrier()
    gc.collect()  # the wrapped model references the group in a reference cycle
    torch.distributed.destroy_process_group()


def _train(fabric: Any, task: Task, progress: Progress) -> State:
    """Train epoch by epoch."""
    settings, state = task.settings, State()
    model, optimiser = fabric.setup(task.model, _optimiser(task.model, settings))
    model.mark_forward_method("loss")
    model.mark_forward_method("loss_at")
    if settings.ema:
        state.average = {k: p.detach().clone() for k, p in task.model.named_parameters()}
    identity = task.identity  # of many samples, it takes a moment
    checkpoint.restore(task.where, identity, task.model, optimiser, state, progress)
    state.average = {name: value.to(fabric.device) for name, value in state.average.items()}
    # The weights of the classes are those of an epoch, in which the sites are balanced.
    drawn = balanced_members(task.draw.train, task.chips, settings, np.random.default_rng(0))
    criterion = criterion_of(task.chips.label[drawn], task.n_classes, settings, fabric.device, task.coarser)
    work = _Work(fabric, task, model, optimiser, state, criterion, validation_of(task))
    restored = len(state.curves)
    base, started, saved = (state.curves[-1].seconds if state.curves else 0.0), time.monotonic(), time.monotonic()
    for number in range(len(state.curves) + 1, settings.epochs + 1):
        if settings.stops_early and state.curves and number - state.best_epoch > settings.patience:
            note = f"stopped early; kept epoch {state.best_epoch}, validation F {state.best[0]:.3f}"
            progress.step(task.title, settings.epochs, settings.epochs, note)
            break
        loss, waiting = work.train(number)
        validation_loss, f1 = work.validate() if settings.stops_early else (math.nan, math.nan)
        state.curves.append(Epoch(number, loss, validation_loss, f1, waiting, base + time.monotonic() - started))
        work.keep()
        if fabric.is_global_zero and time.monotonic() - saved >= settings.checkpoint:
            checkpoint.save(task.where, identity, task.model, optimiser, state)
            saved = time.monotonic()
        score = f"validation F {f1:.3f}, " if settings.stops_early else ""
        score += f"kept epoch {state.best_epoch}"
        progress.step(task.title, number, settings.epochs, f"loss {loss:.3f}, {score}, waiting {waiting:.0%}")
    if task.ends_saved and fabric.is_global_zero and len(state.curves) > restored:
        checkpoint.save(task.where, identity, task.model, optimiser, state)
    return state


@dataclass
class _Work:
    """Training and validation of single epochs."""

    fabric: Any
    task: Task
    model: Any
    optimiser: Any
    state: State
    criterion: Criterion
    validation: NDArray[np.int64]

    def train(self, number: int) -> tuple[float, float]:
        """Train for one epoch; return the mean loss and the share of the time spent waiting for samples, 0 to 1."""
        task, settings = self.task, self.task.settings
        generator = np.random.default_rng(task.epoch_seed(number))
        torch.manual_seed(task.epoch_seed(number) + self.fabric.global_rank)
        members = _members(task.chips.trusted(task.draw.train, generator), task.chips, settings, generator)
        made = batches(
            task.chips, members, task.normalisation, settings.batch_size, generator, _augmentation(task)
        )  # fmt: skip
        ready = Ahead(made)
        steps = max(1, -(-task.chips.items(members) // settings.batch_size))
        self.model.train()
        total, n, started = 0.0, 0, time.monotonic()
        for step, batch in enumerate(ready):
            self._set_rate((number - 1 + step / steps) / settings.epochs)
            size = len(batch.labels)
            own = batch.part(self.fabric.global_rank, self.fabric.world_size)
            loss = self._step(own, f"epoch {number}, batch {step + 1}")
            total, n = total + loss * size, n + size
        spent = time.monotonic() - started
        return self._mean_over_processes(total / max(n, 1)), ready.waited / max(spent, 1e-9)

    def _set_rate(self, done: float) -> None:
        settings = self.task.settings
        if settings.schedule != "constant":
            rising = RISE if settings.schedule == "one-cycle" else 0.0
            phase = done / rising - 1 if done < rising else (done - rising) / (1 - rising)  # from -1 over 0 to 1
            for group in self.optimiser.param_groups:
                group["lr"] = settings.learning_rate * 0.5 * (1 + math.cos(math.pi * phase))

    def _step(self, batch: Minibatch, where: str) -> float:
        """Run one optimiser step; return the loss. `where` names epoch and batch in error messages."""
        settings = self.task.settings
        self.optimiser.zero_grad()
        here = batch.to(self.fabric.device)
        if here.at is None:
            loss = self.model.loss(here.inputs, here.labels, self.criterion)
        else:
            labels, criterion = here.labels, self.criterion
            if here.depth is not None:
                criterion = with_outlines(criterion, self.task.n_classes, labels, here.depth)
                labels = torch.arange(len(labels), device=labels.device)
            loss = self.model.loss_at(here.inputs, here.at, labels, criterion)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise _diverged(self.task, batch, f"The training loss is {value} at {where}")
        self.fabric.backward(loss)
        gradients = [p.grad for p in self.task.model.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        # With float16, the gradient scaler handles an overflow: it skips the step and reduces its scale.
        if settings.precision != "16-mixed" and not math.isfinite(float(norm)):
            raise _diverged(self.task, batch, f"The gradient norm is {float(norm)} at {where}")
        if settings.clip:
            self.fabric.clip_gradients(self.model, self.optimiser, max_norm=settings.clip, error_if_nonfinite=False)
        self.optimiser.step()
        if settings.ema:
            with torch.no_grad():
                for name, parameter in self.task.model.named_parameters():
                    self.state.average[name].lerp_(parameter, 1 - settings.ema)
        return value

    def _mean_over_processes(self, value: float) -> float:
        return (
            value
            if self.fabric.world_size == 1
            else float(self.fabric.all_reduce(torch.tensor(value), reduce_op="mean"))
        )

    @torch.no_grad()
    def validate(self) -> tuple[float, float]:
        """Return mean cross-entropy and mean F-measure of the validation samples.

        The averaged weights are used if ``ema`` is set.
        """
        task, n_classes = self.task, self.task.n_classes
        rank, world = self.fabric.global_rank, self.fabric.world_size
        size = 4 * task.settings.batch_size
        network = answering(_averaged(task.model, self.state.average).eval(), task.chips)
        matrix, total = torch.zeros(n_classes, n_classes), 0.0
        made = batches(task.chips, task.chips.share(self.validation, rank, world), task.normalisation, size)
        for batch in Ahead(made):
            target = batch.labels
            with self.fabric.autocast():
                logits = batch.pick(network(moved(batch.inputs, self.fabric.device)).float().cpu())
            total += float(functional.cross_entropy(logits, target, reduction="sum"))
            pairs = torch.bincount(target * n_classes + logits.argmax(1), minlength=n_classes**2)
            matrix += pairs.reshape(n_classes, -1)
        if world > 1:
            both = self.fabric.all_reduce(torch.cat([matrix.flatten(), torch.tensor([total])]), reduce_op="sum").cpu()
            matrix, total = both[:-1].reshape(n_classes, -1), float(both[-1])
        return total / max(1.0, float(matrix.sum())), mean_f1(matrix)

    def keep(self) -> None:
        """Keep the weights if they are the best so far according to the setting ``keep``."""
        last, state, settings = self.state.curves[-1], self.state, self.task.settings
        score = {
            "validation": (last.validation_f1, -last.validation_loss),
            "training": (-last.train_loss, 0.0),
            "last": (float(last.epoch), 0.0),
        }[settings.keep]
        early = settings.schedule == "one-cycle" and last.epoch <= (1 - TAIL) * settings.epochs
        if early:
            score = state.best
        if early or score > state.best or not state.kept:
            state.best, state.best_epoch = score, last.epoch
            network = _averaged(self.task.model, state.average)
            state.kept = {k: v.detach().clone() for k, v in network.state_dict().items()}


def mean_f1(matrix: Tensor) -> float:
    """Return the mean F-measure of the classes with reference samples, from counts (K, K) of (reference, predicted) pairs."""
    right, both = matrix.diagonal(), matrix.sum(0) + matrix.sum(1)
    return float((2 * right / both.clamp_min(1))[matrix.sum(1) > 0].mean())


def _optimiser(model: nn.Module, settings: Training) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if settings.optimiser == "adamw" else torch.optim.Adam
    return kind(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)


def validation_of(task: Task) -> NDArray[np.int64]:
    """Return the validation samples evaluated after every epoch."""
    members, most = task.draw.validation, task.settings.validation_samples
    if not most or len(members) <= most:
        return members
    return np.sort(np.random.default_rng(task.epoch_seed(0)).choice(members, most, replace=False))


def _members(
    train: NDArray[np.int64], chips: Chips, settings: Training, generator: np.random.Generator
) -> NDArray[np.int64]:
    if not settings.samples_per_epoch:
        return balanced_members(train, chips, settings, generator)
    label = chips.label
    classes = np.unique(label[train])
    each = max(1, settings.samples_per_epoch // len(classes))
    chosen = []
    for value in classes:
        of_class = balanced_members(train[label[train] == value], chips, settings, generator)
        chosen.append(generator.choice(of_class, each, replace=len(of_class) < each))
    return np.concatenate(chosen)


def _augmentation(task: Task) -> Augmentation:
    settings, inputs = task.settings, task.model.inputs
    footprints = task.model.footprints
    turns = settings.augment and any(f.size > 1 for f in footprints.values())
    if task.chips.windows:  # they turn around their own middle, which is that of the labels only with equal halos
        finer = {name: inputs[name].ratio.finer for name in footprints}
        turns = turns and all(2 * f.before + finer[name] == f.size for name, f in footprints.items())
    each = not task.model.any_source
    steps = gridded(inputs, task.chips.cuts)
    return Augmentation(turns, settings.jitter, settings.date_dropout, settings.cutoff, each, steps)


def _averaged(model: Network, average: Mapping[str, Tensor]) -> Network:
    """Return a copy of the network with the averaged weights; the network itself without averaged weights."""
    if not average:
        return model
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            parameter.copy_(average[name])
    return twin


def _diverged(task: Task, batch: Minibatch, problem: str) -> TrainingError:
    """Return an error that describes the batch: the source with the most extreme values, and the polygons."""
    extremes, details, polygons = [], "", task.chips.polygon[batch.members]
    item = np.arange(len(polygons)) if batch.at is None else batch.at.window.numpy()
    one, many = ("polygon", "polygons") if batch.at is None else ("the window of polygons", "the windows of polygons")
    for name, tensor in batch.inputs.items():
        values = tensor.values
        odd = ~torch.isfinite(values)
        size = values.abs().nan_to_num(math.inf, math.inf, math.inf).amax((1, 2, 3, 4))
        worst = int(size.argmax())
        extremes.append((float(size[worst]), name, _listed(np.unique(polygons[item == worst]))))
        if odd.any():
            affected = np.unique(polygons[odd.flatten(1).any(1).numpy()[item]])
            details += f" Source '{name}' has NaN or infinite values in {many} {_listed(affected)}."
    largest, name, polygon = max(extremes)
    details = details or f" The largest scaled value is {largest:.3g}, of source '{name}' in {one} {polygon}."
    return TrainingError(
        f"{problem}, with samples of polygons {_listed(np.unique(polygons))}.{details} If a value is NaN, infinite or far "
        "from 0, check the imagery in these polygons; otherwise reduce [training] learning_rate (now "
        f"{task.settings.learning_rate:g}) or set clip = 1."
    )


def _listed(polygons: NDArray[Any]) -> str:
    rest = f" and {len(polygons) - 20} more" if len(polygons) > 20 else ""
    return ", ".join(str(p) for p in islice(polygons.tolist(), 20)) + rest


def logits_of(
    model: Callable[[Batch], Tensor], batched: Iterator[Minibatch], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Return logits (N, K) and labels (N,) of all samples, without gradients; `model` is the network, or :func:`answering`.

    Raises
    ------
    ModelError
        A logit is NaN.
    """
    logits, labels, order = [], [], []
    with torch.inference_mode():
        for batch in Ahead(batched):
            logits.append(batch.pick(model(moved(batch.inputs, device)).float().cpu()))
            if wrong := int(torch.isnan(logits[-1]).any(1).sum()):
                raise ModelError(f"The network gives NaN for {wrong} of {len(logits[-1])} samples with valid data.")
            labels.append(batch.labels)
            order += [] if batch.order is None else [batch.order]
    if not order:
        return torch.cat(logits), torch.cat(labels)
    back = torch.from_numpy(np.argsort(np.concatenate(order)))  # windows mix the order of the samples
    return torch.cat(logits)[back], torch.cat(labels)[back]


def answering(network: Network, chips: Chips) -> Callable[[Batch], Tensor]:
    """Return the function that gives the logits of batches of the samples: of their windows, or of single footprints."""
    return network if chips.windows is None else network.dense
