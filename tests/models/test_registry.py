"""Every row of the model table: register a model, and it is tested."""

import json
import math

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from models.classification.rows import VARIANTS, build, find
from models.variant import Variant
from tests.models.rows import EVERY, GREY, LARGE, SMALL, each, images, seasoned, steady

TRAINED = [variant for variant in GREY if variant.parameters]


def classes(variant: Variant) -> int:
    return int(variant.config.get("classes", 2))


@each(SMALL)
@pytest.mark.parametrize("rows", [1, 3])
def test_forward_gives_one_finite_logit_a_class_for_each_row(variant: Variant, rows: int) -> None:
    logits = build(variant.name)(images(variant, rows))
    assert logits.shape == (rows, classes(variant))
    assert logits.isfinite().all()


@each(LARGE)
def test_a_large_row_goes_forward_and_backward(variant: Variant) -> None:
    with torch.device("meta"):  # shapes only
        model = build(variant.name)
        logits = model(torch.zeros(2, *variant.input_shape))
        torch.autograd.backward(logits.sum())
    assert logits.shape == (2, classes(variant))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name


@each(TRAINED)
def test_backward_gives_every_parameter_a_gradient(variant: Variant) -> None:
    torch.manual_seed(0)
    model = build(variant.name, steady(variant))
    torch.autograd.backward(cross_entropy(model(images(variant, 8)), torch.arange(8) % classes(variant)))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@each(EVERY)
def test_parameters_and_multiply_accumulates_are_those_in_the_table(variant: Variant) -> None:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        model = build(variant.name).eval()
        model(torch.zeros(1, *variant.input_shape))
    assert sum(p.numel() for p in model.parameters()) == variant.parameters
    assert counter.get_total_flops() == 2 * variant.macs


@each(SMALL)
def test_a_row_does_not_depend_on_its_batch(variant: Variant) -> None:
    model, x = seasoned(variant), images(variant, 5)
    together, alone = model(x), model(x[3:4])
    torch.testing.assert_close(together[3:4], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(together[2:3], alone, rtol=1e-2, atol=1e-2)


@each(TRAINED)
def test_the_first_loss_is_near_that_of_a_guess(variant: Variant) -> None:
    torch.manual_seed(0)
    labels = torch.arange(20) % classes(variant)
    loss = cross_entropy(build(variant.name, steady(variant))(images(variant, 20)), labels).item()
    assert loss == pytest.approx(math.log(classes(variant)), abs=0.1)


@pytest.mark.fit
@each(TRAINED)
def test_a_model_learns_one_batch_by_heart(variant: Variant) -> None:
    torch.manual_seed(0)
    model, x = build(variant.name, steady(variant)), images(variant, 10)
    labels = torch.arange(10) % classes(variant)
    optimizer = torch.optim.AdamW(model.parameters(), 0.002)
    for _ in range(60):
        logits = model(x)
        if (logits.argmax(1) == labels).all():
            return
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(logits, labels))
        optimizer.step()
    pytest.fail("not after 60 steps")


@each(EVERY)
def test_a_config_that_has_been_through_json_builds_the_same(variant: Variant) -> None:
    with torch.device("meta"):
        built, again = build(variant.name), build(variant.name, json.loads(json.dumps(variant.config)))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in again.state_dict().items()}


def test_names_are_unique_and_those_that_a_package_may_have() -> None:
    assert list(VARIANTS) == [variant.name for variant in EVERY]
    assert all(name.replace("-", "").isalnum() and name == name.lower() for name in VARIANTS)


def test_a_config_replaces_values_of_the_row() -> None:
    assert build("lenet5", {"classes": 47})(torch.zeros(1, 1, 28, 28)).shape == (1, 47)


def test_an_unknown_model_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(KeyError, match=r"no model 'lenet6'; there are logistic, softmax, .*, lenet5"):
        find("lenet6")


def test_an_unknown_config_key_is_refused_by_name() -> None:
    with pytest.raises(KeyError, match="model 'mlp' has no 'depth'"):
        build("mlp", {"depth": 3})
