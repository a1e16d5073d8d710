import math
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from models.classification.googlenet import Heads
from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import FILE
from training.choice_learner import ChoiceMeters
from training.classification.classifier import AUXILIARY_WEIGHT, Classifier, heads
from training.classification.start import OpenedClassifier
from training.data import Split
from training.fit import fit
from training.history import History, Row


def begin(tiny: Tiny, *changes: str, model: str = "mlp") -> tuple[Classifier, tuple[Tensor, Tensor]]:
    """A classifier that belongs to no trainer, and a batch of eight."""
    recipe = tiny_recipe("augmentation={}", *changes, model=model)
    start = OpenedClassifier(recipe, tiny.folder).start()
    classifier = start.learner
    setattr(classifier, "log_dict", lambda *_, **__: None)  # noqa: B010, logs want a trainer
    return classifier, batch(start.examples)


def batch(split: Split) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(split.images[:8]), torch.from_numpy(split.labels[:8])


def test_the_loss_of_a_step_is_the_cross_entropy_of_normalised_images(tiny: Tiny) -> None:
    classifier, (images, labels) = begin(tiny)
    pixels = (images[:, None] / 255 - 0.1307) / 0.3081
    wanted = cross_entropy(classifier.model(pixels), labels)
    assert classifier.training_step((images, labels), 0).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_each_auxiliary_head_adds_three_tenths_of_its_loss(tiny: Tiny) -> None:
    classifier, (images, labels) = begin(tiny, "model=googlenet-28", "config.scale=0.05", "config.auxiliary=true")
    fixed = Heads(torch.randn(8, 10), (torch.randn(8, 10), torch.randn(8, 10)))
    classifier.model.forward = lambda images: fixed
    main, *others = (cross_entropy(logits, labels) for logits in heads(fixed))
    wanted = main + AUXILIARY_WEIGHT * sum(others)
    assert classifier.training_step((images, labels), 0).item() == pytest.approx(wanted.item(), rel=1e-5)
    assert classifier.training_meters.loss.compute().item() == pytest.approx(main.item(), rel=1e-5)


def test_a_penalty_is_paid_but_not_reported(tiny: Tiny) -> None:
    classifier, (images, labels) = begin(tiny, "penalty.l2=0.1")
    squares = sum(float(w.detach().square().sum()) for w in classifier.model.parameters() if w.ndim > 1)
    value = classifier.training_step((images, labels), 0).item()
    reported = classifier.training_meters.loss.compute().item()
    assert value - reported == pytest.approx(0.1 / 2 * squares, rel=1e-3)


def test_the_recipes_loss_is_trained_with_and_cross_entropy_validated_with(tiny: Tiny) -> None:
    classifier, (images, labels) = begin(tiny, "loss.name=hinge")
    logits = classifier.model(classifier.prepare(images))
    classifier.training_step((images, labels), 0)
    classifier.validation_step((images, labels), 0)
    assert classifier.training_meters.loss.compute().item() == pytest.approx(9.0, abs=0.2)  # nine margins of 1
    wanted = cross_entropy(logits, labels).item()
    assert classifier.validation_meters.loss.compute().item() == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(
    "change", ["config.dropout=0.5", "noise.input=0.3", "noise.weights=0.1", "augmentation.shift=2"]
)
def test_the_draws_of_a_step_are_its_own_and_those_of_the_seed(tiny: Tiny, change: str) -> None:
    def value(*changes: str, disturb: int = 0) -> float:
        classifier, batch = begin(tiny, change, *changes)
        torch.manual_seed(disturb)
        classifier.model.load_state_dict(start_weights)
        return classifier.training_step(batch, 0).item()

    start_weights = begin(tiny, change)[0].model.state_dict()
    assert value() == value(disturb=7)
    assert value() != value("seed=1")


def test_other_processes_of_a_run_have_other_draws(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, batch = begin(tiny, "config.dropout=0.5")
    first = classifier.training_step(batch, 0).item()
    monkeypatch.setattr(Classifier, "global_rank", 1)
    assert classifier.training_step(batch, 0).item() != first


def test_means_are_right_over_unequal_batches_and_keep_what_is_no_number() -> None:
    meters, labels = ChoiceMeters(2), torch.tensor([0, 0, 0])
    meters.add(torch.tensor(1.0), torch.tensor([[1.0, 0.0]] * 3), labels)
    meters.add(torch.tensor(5.0), torch.tensor([[0.0, 1.0]]), labels[:1])
    assert meters.loss.compute().item() == 2.0
    assert meters.accuracy.compute().item() == 0.75
    meters.add(torch.tensor(math.nan), torch.tensor([[0.0, 1.0]]), labels[:1])
    assert math.isnan(meters.loss.compute().item())


def rates(rows: list[Row]) -> list[float]:
    return [row["learning_rate"] for row in rows]


@pytest.mark.fit
def test_the_learning_rate_follows_the_schedule(tiny: Tiny, tmp_path: Path) -> None:
    changes = ("schedule.name=exponential", "schedule.factor=0.5", "optimiser.learning_rate=0.1")
    done = fit(tiny_recipe(*changes), tmp_path, tiny.folder)
    assert rates(done.history) == pytest.approx([0.05, 0.025, 0.0125])


@pytest.mark.fit
def test_a_plateau_lowers_the_rate_by_the_losses_of_this_run(tiny: Tiny, tmp_path: Path) -> None:
    """With steps far too large the loss goes up and down, and the rate falls after an epoch that was no better."""
    plateau = ("schedule={name='plateau', patience=0, factor=0.5}", "optimiser.name=sgd", "optimiser.learning_rate=3")
    history = fit(tiny_recipe(*plateau, "epochs=6"), tmp_path, tiny.folder).history
    # The rate of an epoch's end is by the losses of the epochs before.
    fraction, best, wanted = 1.0, math.inf, []
    for row in history:
        wanted.append(3 * fraction)
        if row["validation_loss"] < best:
            best = row["validation_loss"]
        else:
            fraction /= 2
    assert rates(history) == pytest.approx(wanted)
    assert rates(history)[-1] < 3


def test_a_plateau_without_a_history_is_flat(tiny: Tiny) -> None:
    classifier, _ = begin(tiny, "schedule.name=plateau")
    assert classifier.history is None
    classifier.history = History(Path("nowhere"), classifier.recipe.metrics)
    assert classifier.history.rows == []


@pytest.mark.fit
@pytest.mark.parametrize("name", ["lbfgs", "levenberg_marquardt"])
def test_an_optimiser_of_the_full_batch_is_far_ahead_after_three_steps(tiny: Tiny, tmp_path: Path, name: str) -> None:
    two = ('classes=["0", "1"]', "validation=10", "batch_size=full", "schedule.name=constant", "model=logistic")
    full = fit(tiny_recipe(*two, f"optimiser={{name='{name}', learning_rate=1}}"), tmp_path / "full", tiny.folder)
    descent = "optimiser={name='sgd', learning_rate=0.001, momentum=0}"
    plain = fit(tiny_recipe(*two, descent), tmp_path / "plain", tiny.folder)
    start = math.log(2)
    # The first look of the first step is at the weights as they began.
    assert full.history[0]["train_loss"] == pytest.approx(start, abs=0.02)
    assert full.history[2]["train_loss"] < 0.1 * start < plain.history[2]["train_loss"]
    assert torch.load(tmp_path / "full" / FILE, weights_only=True)["global_step"] == 3
