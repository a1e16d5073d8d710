"""Networks of several parts, each with its optimiser, its schedule and its clipping."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import SGD

from tests.training.tiny import Tiny, tiny_recipe
from tests.training.toy_learners import Adversaries, Pair
from tests.training.toys import OpenedToy, toy_recipe, toys
from training.checkpoint import FILE
from training.classification.start import OpenedClassifier
from training.craft.recipe import Recipe
from training.craft.schedule import rate
from training.errors import RecipeError
from training.fit import fit
from training.sanity import check
from training.search.rate_finder import Ascent, find_rate
from training.start import fresh_model

SGD_OF_ALL = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9, "nesterov": False}
OWN = {
    "discriminator": {
        "optimiser": {"learning_rate": 0.1},
        "schedule": {"name": "exponential", "factor": 0.5},
        "clipping": {"at": 0.05},
    }
}
# A discriminator that hardly moves is easily fooled.
STILL = {"discriminator": {"optimiser": {"learning_rate": 1e-6}, "schedule": {"name": "linear"}}}
PLAIN: dict[str, Any] = {
    "optimiser": SGD_OF_ALL,
    "schedule": {"name": "cosine"},
    "clipping": {"at": 0.2},
    "parts": OWN,
}


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toys():
        yield


def begun(recipe: Recipe) -> Adversaries:
    learner = OpenedToy(recipe).start().learner
    assert isinstance(learner, Adversaries)
    return learner


def test_parts_that_the_network_has_not_are_refused(tiny: Tiny) -> None:
    with pytest.raises(RecipeError, match=r"parts: Input should be one of 'generator', 'discriminator', not 'critc'"):
        begun(toy_recipe("toy-pair", parts={"critc": {}}))
    with pytest.raises(RecipeError, match="parts: softmax has no parts that are trained apart"):
        OpenedClassifier(tiny_recipe("parts.generator.optimiser.learning_rate=1"), tiny.folder).start()


def test_a_part_takes_no_optimiser_of_the_whole_network() -> None:
    whole = {"name": "lbfgs", "learning_rate": 1}
    with pytest.raises(RecipeError, match="lbfgs trains a whole network; toy-pair is trained in the parts generator, "):
        begun(toy_recipe("toy-pair", parts={"generator": {"optimiser": whole}}))


def test_the_checks_are_the_learners_own() -> None:
    (gradients,) = check(OpenedToy(toy_recipe("toy-pair")).start())
    assert gradients.passed
    assert gradients.words == "a gradient reaches 8 of 8 weight tensors"


def by_hand(recipe: Recipe) -> Pair:
    """The network after the recipe's run, written out in torch alone."""
    start = OpenedToy(recipe).start()
    learner, network = start.learner, start.learner.model
    assert isinstance(learner, Adversaries)
    assert isinstance(network, Pair)
    parts: dict[str, nn.Module] = {"discriminator": network.discriminator, "generator": network.generator}
    how = {name: recipe.descent(name) for name in parts}
    optimizers = {name: SGD(part.parameters(), momentum=0.9, lr=1) for name, part in parts.items()}
    loader, step = start.training(), 0
    with torch.random.fork_rng():
        for epoch in range(recipe.epochs):
            loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
            for (real,) in loader:
                # Each of the two parts takes a step a batch, and the seed counts both.
                torch.manual_seed((recipe.seed << 31) + 2 * step)
                made = network.generator(torch.randn_like(real))
                for name, part in parts.items():
                    fraction = rate(how[name].schedule, step / (6 * recipe.epochs) * recipe.epochs, recipe.epochs)
                    optimizers[name].param_groups[0]["lr"] = how[name].optimiser.learning_rate * fraction
                    part.zero_grad()
                    if name == "discriminator":
                        value = learner.of_discriminator(network, real, made)
                    else:
                        value = learner.of_generator(network, made)
                    value.backward()  # type: ignore[no-untyped-call]
                    clip_grad_norm_(part.parameters(), how[name].clipping.at)
                    optimizers[name].step()
                step += 1
    return network


@pytest.mark.fit
def test_a_run_of_two_parts_is_the_loop_that_one_would_write(tmp_path: Path) -> None:
    recipe = toy_recipe("toy-pair", **PLAIN)
    wanted = by_hand(recipe).state_dict()
    done = fit(recipe, tmp_path, progress=False)
    for name, value in done.weights.items():
        torch.testing.assert_close(value, wanted[name], rtol=1e-5, atol=1e-6)
    start = fresh_model(recipe, {"width": 8}).state_dict()
    assert all((done.weights[name] - value).norm() > 1e-3 for name, value in start.items())


@pytest.mark.fit
def test_the_history_has_the_losses_and_the_rate_of_each_part(tmp_path: Path) -> None:
    done = fit(toy_recipe("toy-pair", **PLAIN), tmp_path, progress=False)
    losses = [f"{stage}_{part}_loss" for stage in ("train", "validation") for part in ("generator", "discriminator")]
    rates = ["learning_rate_generator", "learning_rate_discriminator"]
    assert list(done.history[0]) == ["epoch", *losses, *rates, "seconds"]
    assert [row[rates[1]] for row in done.history] == pytest.approx([0.05, 0.025, 0.0125])
    assert done.history[-1][rates[0]] == pytest.approx(0)
    assert (tmp_path / "curve.png").is_file()


def now_and_then(self: Adversaries, batch: tuple[torch.Tensor], batch_idx: int) -> None:
    """Two steps of the discriminator in each batch, and one of the generator in every second."""
    assert isinstance(self.model, Pair)
    made = self.model.generator(torch.randn_like(batch[0]))
    for _ in range(2):
        judged = self.of_discriminator(self.model, batch[0], made)
        self.descend("discriminator", judged)
    fooled = self.of_generator(self.model, made)
    if batch_idx % 2:
        self.descend("generator", fooled)
    self.measure("train", fooled, judged)


@pytest.mark.fit
def test_the_schedules_go_on_once_a_batch_however_often_a_part_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Adversaries, "training_step", now_and_then)
    done = fit(toy_recipe("toy-pair", **PLAIN), tmp_path, progress=False)
    assert [row["learning_rate_discriminator"] for row in done.history] == pytest.approx([0.05, 0.025, 0.0125])
    assert torch.load(tmp_path / FILE, weights_only=True)["global_step"] == 3 * (6 * 2 + 3)
    curve = find_rate(toy_recipe("toy-pair", parts=STILL), lowest=1e-2, highest=10, steps=20, part="generator")
    assert len(curve.losses) == 20


def test_a_weight_that_no_part_trains_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adversaries, "parts", property(lambda self: {"generator": self.model.generator}))
    with pytest.raises(
        ValueError, match=r"discriminator\.0\.weight is trained, and in none of the parts \['generator'"
    ):
        begun(toy_recipe("toy-pair"))


class Interrupted(Exception):
    pass


class Interruption(pl.Callback):
    """Ends a run, as a kill would, when its second epoch begins."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1:
            raise Interrupted


@pytest.mark.fit
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_a_resumed_run_of_two_parts_equals_an_uninterrupted_one(tmp_path: Path, precision: str) -> None:
    plateau = {"name": "plateau", "patience": 0}
    recipe = toy_recipe("toy-pair", parts=OWN, ema=0.8, precision=precision, schedule=plateau, clipping={"at": 0.1})
    unbroken = fit(recipe, tmp_path / "unbroken", progress=False)
    with pytest.raises(Interrupted):
        fit(recipe, tmp_path / "resumed", progress=False, callbacks=[Interruption()])
    resumed = fit(recipe, tmp_path / "resumed", progress=False)
    for name, value in unbroken.weights.items():
        assert torch.equal(value, resumed.weights[name]), name
    clocked = [[{**row, "seconds": 0} for row in run.history] for run in (unbroken, resumed)]
    assert clocked[0] == clocked[1]


@pytest.mark.fit
def test_the_rate_of_one_part_rises_while_the_others_keep_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe, seen = toy_recipe("toy-pair", optimiser=SGD_OF_ALL, parts=STILL), []
    end = Ascent.on_train_batch_end

    def look(self: Ascent, trainer: pl.Trainer, *further: Any) -> None:
        seen.append([optimizer.param_groups[0]["lr"] for optimizer in trainer.optimizers])
        end(self, trainer, *further)

    monkeypatch.setattr(Ascent, "on_train_batch_end", look)
    curve = find_rate(recipe, lowest=1e-2, highest=10, steps=20, part="generator")
    assert [generator for generator, _ in seen] == pytest.approx(list(curve.rates))
    assert len(curve.rates) == 20
    assert {discriminator for _, discriminator in seen} == {1e-6}


@pytest.mark.parametrize(
    ("model", "part", "message"),
    [
        ("toy-pair", "", "its parts have a rate each; the parts are generator, discriminator"),
        ("toy-pair", "generater", "no part 'generater'; did you mean 'generator'?; the parts are generator, "),
        ("toy-density", "generator", "toy-density has no parts that are trained apart"),
        ("toy-solved", "", "toy-solved is trained without steps; it has no learning rate"),
    ],
)
def test_a_rate_is_found_only_for_a_part_that_has_one(model: str, part: str, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        find_rate(toy_recipe(model), part=part)
    assert message in str(refused.value)


@pytest.mark.fit
def test_a_whole_network_is_trained_as_the_loop_that_one_would_write(tiny: Tiny, tmp_path: Path) -> None:
    optimiser = "optimiser={name='sgd', learning_rate=0.1, momentum=0.9, nesterov=false}"
    recipe = tiny_recipe(optimiser, "schedule={name='cosine'}", "clipping.at=0.5", "augmentation={}", "penalty={}")
    start = OpenedClassifier(recipe, tiny.folder).start()
    learner, loader, step = start.learner, start.training(), 0
    optimizer = SGD(learner.model.parameters(), momentum=0.9, lr=1)
    steps = len(loader) * recipe.epochs
    for epoch in range(recipe.epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            optimizer.param_groups[0]["lr"] = 0.1 * rate(recipe.schedule, step / steps * recipe.epochs, recipe.epochs)
            optimizer.zero_grad()
            learner.losses(learner.model, batch)[0].backward()  # type: ignore[no-untyped-call]
            clip_grad_norm_(learner.model.parameters(), 0.5)
            optimizer.step()
            step += 1
    done = fit(recipe, tmp_path, tiny.folder, progress=False)
    for name, value in learner.model.state_dict().items():
        torch.testing.assert_close(done.weights[name], value, rtol=1e-5, atol=1e-6)
