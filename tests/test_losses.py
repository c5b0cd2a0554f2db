"""Loss functions: known values, and PyTorch's cross-entropy where they are equal to it."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from bocage.models.base import Criterion
from bocage.training import Training
from bocage.training.losses import Smoothing, criterion_of, focal_loss

LABEL = np.array([0] * 80 + [1] * 15 + [2] * 5)
CPU = torch.device("cpu")


def logits_and_targets() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(50, 3, generator=generator)
    classes = torch.randint(3, (50,), generator=generator)
    return logits, classes, torch.softmax(torch.randn(50, 3, generator=generator), 1)


def criterion(**settings: object) -> Criterion:
    return criterion_of(LABEL, 3, Training(**settings), CPU)


def test_the_focal_loss_of_one_sample_is_that_of_the_paper() -> None:
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.6, 0.4]]))
    found = criterion_of(np.array([0, 1]), 2, Training(loss="focal"), CPU)
    expected = [(1 - p) ** 2 * -math.log(p) for p in (0.9, 0.4)]
    assert float(found(logits, torch.tensor([0, 1]))) == pytest.approx(np.mean(expected), rel=1e-5)
    assert float(found(logits[:1], torch.tensor([0]))) == pytest.approx(0.01 * -math.log(0.9), rel=1e-4)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("probabilities", [False, True])
def test_without_focus_the_focal_loss_is_the_cross_entropy(smoothing: float, probabilities: bool) -> None:
    """With smoothing, it is that of PyTorch where the classes have one weight."""
    logits, classes, shares = logits_and_targets()
    target, equal = shares if probabilities else classes, torch.full((3,), 2.0)
    weight = equal if smoothing else torch.tensor([0.5, 1.0, 3.0])
    expected = functional.cross_entropy(logits, target, weight=weight, label_smoothing=smoothing)
    found = focal_loss(logits, target, weight, Smoothing(smoothing, torch.ones(3)), focus=0.0)
    assert torch.allclose(found, expected, rtol=1e-5)


def test_smoothing_has_the_weight_of_the_sample() -> None:
    weight, logits = torch.tensor([0.5, 1.0, 3.5]), torch.randn(1, 3, generator=torch.Generator().manual_seed(0))
    log = torch.log_softmax(logits, 1)[0]
    expected = -(0.9 * log[0] + 0.1 * (weight / 5 * log).sum())
    assert float(focal_loss(logits, torch.tensor([0]), weight, Smoothing(0.1, weight), 0.0)) == pytest.approx(
        float(expected)
    )


@pytest.mark.parametrize("weights", ["none", "root", "balanced"])
@pytest.mark.parametrize("rare", [0, 1, 3])
def test_smoothing_does_not_favour_a_class_with_few_or_no_samples(weights: str, rare: int) -> None:
    """With PyTorch's weights, the class without a sample won everywhere: patchwork with its defaults had an accuracy of 0."""
    label = np.repeat([0, 1, 2], [6000, 4000, rare])
    logits = torch.zeros(3, 3, requires_grad=True)  # the best logits of the samples of each class
    loss = criterion_of(label, 3, Training(class_weights=weights, label_smoothing=0.1), CPU)
    optimiser = torch.optim.LBFGS([logits], max_iter=100)

    def step() -> torch.Tensor:
        optimiser.zero_grad()
        total = sum(loss(logits[k : k + 1], torch.tensor([k])) for k in range(2 + (rare > 0)))
        total.backward()
        return total

    optimiser.step(step)
    assert logits.argmax(1)[: 2 + (rare > 0)].tolist() == [0, 1, 2][: 2 + (rare > 0)]
    assert float(torch.softmax(logits.detach(), 1)[0, 0]) >= 0.9


def test_the_focal_loss_has_a_gradient_where_a_class_is_certain() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([0, 0]), torch.ones(2))
    loss.backward()
    assert float(loss.detach()) == pytest.approx(200.0)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0].abs().max() < 1e-6, "a certain sample that is right changes nothing"
    assert logits.grad[1, 0] < -0.4


@pytest.mark.parametrize("weights", ["none", "balanced"])
def test_logit_adjustment_adds_the_logarithm_of_the_class_frequencies(weights: str) -> None:
    logits, classes, _ = logits_and_targets()
    shift = torch.log(torch.tensor([0.8, 0.15, 0.05]))
    same = {"class_weights": weights, "label_smoothing": 0.1}
    expected = criterion(**same)(logits + shift, classes)
    assert torch.allclose(criterion(loss="logit-adjusted", **same)(logits, classes), expected)


@pytest.mark.parametrize(("loss", "best"), [("cross-entropy", [0.8, 0.15, 0.05]), ("logit-adjusted", [1 / 3] * 3)])
def test_the_best_logits_of_the_adjusted_loss_are_those_of_equally_frequent_classes(
    loss: str, best: list[float]
) -> None:
    """Menon et al. 2021: where the image says nothing, cross-entropy learns the frequencies, and the adjusted loss does not."""
    logits = torch.log(torch.tensor(best)).requires_grad_()
    criterion(loss=loss)(logits.expand(len(LABEL), 3), torch.from_numpy(LABEL)).backward()
    assert logits.grad.abs().max() < 1e-6


def test_root_weights_are_the_square_root_of_the_balanced_weights() -> None:
    target, logits = torch.from_numpy(LABEL), torch.randn(100, 3, generator=torch.Generator().manual_seed(1))
    weights = (100 / (3 * torch.bincount(target).float())).sqrt()
    expected = torch.nn.functional.cross_entropy(logits, target, weight=weights)
    assert torch.allclose(criterion(class_weights="root")(logits, target), expected)


def test_balanced_weights_give_each_class_the_same_part_of_the_loss() -> None:
    target = torch.from_numpy(LABEL)
    logits = torch.zeros(100, 3, requires_grad=True)
    for loss in ("cross-entropy", "focal"):
        logits.grad = None
        criterion(loss=loss, class_weights="balanced")(logits, target).backward()
        own = logits.grad.gather(1, target[:, None])[:, 0]
        parts = [float(own[target == k].sum()) for k in range(3)]
        assert parts == pytest.approx([parts[0]] * 3, rel=1e-4), loss


@pytest.mark.parametrize("loss", ["cross-entropy", "focal", "logit-adjusted"])
def test_a_class_without_training_samples_has_a_finite_loss(loss: str) -> None:
    logits, classes, _ = logits_and_targets()
    label = np.zeros(10, np.int64)
    assert torch.isfinite(criterion_of(label, 3, Training(loss=loss), CPU)(logits, classes))


def test_losses_that_correct_frequencies_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="'samples_per_epoch' makes equal"):
        Training(loss="logit-adjusted", samples_per_epoch=100)
