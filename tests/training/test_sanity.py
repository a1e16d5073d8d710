import json
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.training.tiny import Tiny, tiny_recipe
from training.checkpoint import FILE
from training.classification.start import ClassifierStart, OpenedClassifier
from training.errors import SanityError
from training.fit import fit
from training.learner import Learner
from training.sanity import EXAMPLES, Check, check, initial_loss, insist


def begin(tiny: Tiny, *changes: str, model: str = "mlp") -> ClassifierStart:
    return OpenedClassifier(tiny_recipe(*changes, model=model), tiny.folder).start()


def failed(checks: list[Check]) -> list[str]:
    return [each.name for each in checks if not each.passed]


@pytest.mark.parametrize("model", ["softmax", "mlp", "lenet5", "resnet20-28", "vgg7-28"])
def test_networks_of_this_project_pass(tiny: Tiny, model: str) -> None:
    checks = check(begin(tiny, f"model={model}", model="softmax"))
    assert [each.name for each in checks] == ["initial loss", "gradients", "over-fit one batch"]
    assert failed(checks) == []
    initial, gradients, over_fit = checks
    assert initial.wanted == pytest.approx(2.302585)
    assert abs(initial.measured - initial.wanted) < 0.1
    assert gradients.measured == gradients.wanted > 0
    assert over_fit.measured < over_fit.wanted == pytest.approx(0.2302585)


def test_a_last_layer_that_starts_large_fails_the_first_check_alone(tiny: Tiny) -> None:
    start = begin(tiny)
    classifier = start.learner
    classifier.model.get_parameter("scores.weight").data *= 2000
    assert failed(check(start)) == ["initial loss"]


def test_a_learner_that_says_nothing_else_has_its_gradients_checked_alone(tiny: Tiny) -> None:
    start = begin(tiny)
    assert [each.name for each in Learner.checks(start.learner, start.some)] == ["gradients"]


@pytest.mark.parametrize(("measured", "passed"), [(8.2, True), (8.4, False), (7.6, False)])
def test_a_first_loss_is_compared_with_any_guess(measured: float, passed: bool) -> None:
    found = initial_loss(measured, 8.0, "the bits of a uniform guess", tolerance=0.3, advice="look at the scale")
    assert found.passed == passed
    assert found.words.startswith(f"the first loss is {measured:.3f}; guessing costs the bits of a uniform guess = 8.0")
    assert found.words.endswith("look at the scale") != passed


def test_a_layer_that_no_gradient_reaches_is_named(tiny: Tiny) -> None:
    start = begin(tiny)
    classifier = start.learner
    classifier.model.register_module("idle", nn.Linear(3, 3))
    checks = check(start)
    assert failed(checks) == ["gradients"]
    assert "reaches 6 of 8 weight tensors, but not idle.weight, idle.bias" in checks[1].words


def test_a_network_that_forgets_its_input_cannot_be_over_fitted(tiny: Tiny) -> None:
    start = begin(tiny)
    classifier = start.learner
    layers = classifier.model.get_submodule("layers")
    assert isinstance(layers, nn.ModuleList)
    layers[0].register_forward_hook(lambda module, images, answer: answer * 0)
    names = failed(check(start))
    assert "over-fit one batch" in names


def test_dropout_is_off_while_a_batch_is_learnt_by_heart(tiny: Tiny) -> None:
    start = begin(tiny, "config.dropout=0.95")
    classifier = start.learner
    assert failed(check(start)) == []
    assert classifier.model.get_submodule("dropout").p == 0.95


def test_only_new_heads_have_to_start_near_log_c(tiny: Tiny, finished_run: Path) -> None:
    weights = f"transfer.weights={finished_run}"
    assert "trained already" in check(begin(tiny, weights, "transfer.fresh=[]", model="softmax"))[0].words
    assert "trained already" not in check(begin(tiny, weights, model="softmax"))[0].words


def test_the_batch_has_as_many_classes_as_it_can(tiny: Tiny) -> None:
    start = begin(tiny)
    images, labels = start.some(EXAMPLES)
    examples = start.examples
    first_of_each = [examples.images[examples.labels == label][0] for label in range(EXAMPLES)]
    assert images.tolist() == [image.tolist() for image in first_of_each]
    assert labels.tolist() == list(range(EXAMPLES))


@pytest.mark.parametrize("model", ["mlp", "resnet20-28"])
def test_nothing_of_the_run_is_touched(tiny: Tiny, model: str) -> None:
    start = begin(tiny, f"model={model}", model="softmax")
    classifier = start.learner
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    state = torch.random.get_rng_state()
    check(start)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(value, classifier.state_dict()[name]) for name, value in before.items())
    assert all(weight.grad is None and weight.requires_grad for weight in classifier.parameters())
    assert all(module.training for module in classifier.model.modules())


@pytest.mark.fit
def test_a_run_ends_with_the_same_bytes_with_and_without_checks(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_recipe("epochs=2", "config.dropout=0.2", "augmentation.shift=1", model="mlp")
    fit(recipe, tmp_path / "with", tiny.folder)
    monkeypatch.setattr("training.sanity.check", lambda *_: [])
    fit(recipe, tmp_path / "without", tiny.folder)
    one, other = (torch.load(tmp_path / name / FILE, weights_only=True) for name in ("with", "without"))
    for part in ("state_dict", "optimizer_states"):
        assert str(one[part]) == str(other[part])


@pytest.mark.fit
def test_a_failed_check_is_told_and_written_and_the_run_goes_on(tiny: Tiny, tmp_path: Path) -> None:
    lines: list[str] = []
    recipe = tiny_recipe("epochs=1", "config.initialisation=torch", "model=vgg7-28", "config.normalisation=none")
    hopeless = recipe.model_copy(update={"config": recipe.config | {"activation": "sigmoid"}})
    assert fit(hopeless, tmp_path, tiny.folder, say=lines.append).finished
    assert any(line.startswith("WARNING: after 100 steps on 4 examples their loss is") for line in lines)
    written = json.loads((tmp_path / "sanity.json").read_text())
    assert [each["passed"] for each in written][-1] is False


@pytest.mark.fit
def test_to_be_strict_is_to_stop_before_the_first_step(tiny: Tiny, tmp_path: Path) -> None:
    recipe = tiny_recipe("model=vgg7-28", "config.normalisation=none", "config.activation=sigmoid")
    with pytest.raises(SanityError, match=r"their loss is .*; it should be below 0\.230"):
        fit(recipe, tmp_path, tiny.folder, strict=True)
    assert not (tmp_path / FILE).exists()


def test_checks_that_passed_stop_nobody() -> None:
    insist([Check("initial loss", passed=True, measured=2.3, wanted=2.3, words="")])
