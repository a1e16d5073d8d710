"""Every row of the table of segmentation networks: register one, and it is tested."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

from models.registry import ROWS
from models.segmentation.rows import VARIANTS, build
from models.variant import Variant

EVERY = list(VARIANTS.values())
WIDTHS: Mapping[str, Mapping[str, Any]] = {
    "fcn": {"widths": ((4, 4), (4, 4), (6, 6), (6, 6), (8, 8)), "hidden": 8},
    "segnet": {"widths": ((4, 4), (6, 6), (8, 8))},
    "unet": {"widths": ((4, 4), (6, 6)), "bottom": (8, 8)},
    "context": {"widths": (4, 6, 8)},
}


def each(variants: list[Variant]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("variant", variants, ids=[variant.name for variant in variants])


def thin(variant: Variant, **config: object) -> Any:
    """The row at almost no width."""
    torch.manual_seed(0)
    (narrow,) = (widths for name, widths in WIDTHS.items() if variant.name.startswith(name))
    return build(variant.name, {**narrow, **config})


def images(variant: Variant, rows: int, height: int, width: int) -> torch.Tensor:
    shape = (rows, variant.input_shape[0], height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@each(EVERY)
def test_parameters_and_multiply_accumulates_are_those_in_the_table(variant: Variant) -> None:
    counter = FlopCounterMode(display=False)
    with torch.device("meta"), counter:
        model = build(variant.name).eval()
        model(torch.zeros(1, *variant.input_shape))
    assert sum(p.numel() for p in model.parameters()) == variant.parameters
    assert counter.get_total_flops() == 2 * variant.macs


@each(EVERY)
@pytest.mark.parametrize("size", [(64, 64), (45, 61), (1, 7)])
def test_an_image_of_any_size_gets_a_finite_logit_for_each_class_of_each_pixel(
    variant: Variant, size: tuple[int, int]
) -> None:
    model = thin(variant).eval()
    logits = model(images(variant, 2, *size))
    assert logits.shape == (2, variant.config["classes"], *size)
    assert logits.isfinite().all()


@each(EVERY)
def test_zeros_beyond_the_right_and_lower_sides_are_what_an_odd_size_is_padded_with(variant: Variant) -> None:
    model, x = thin(variant).eval(), images(variant, 1, 45, 61)
    height, width = (-(-side // model.divisor) * model.divisor for side in (45, 61))
    padded = torch.zeros(1, x.shape[1], height, width)
    padded[:, :, :45, :61] = x
    torch.testing.assert_close(model(x), model(padded)[:, :, :45, :61], rtol=0, atol=0)


@each(EVERY)
def test_an_image_does_not_depend_on_its_batch(variant: Variant) -> None:
    model, x = thin(variant).eval(), images(variant, 3, 32, 32)
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-4, atol=1e-5)


@each(EVERY)
def test_backward_gives_every_parameter_a_gradient(variant: Variant) -> None:
    model, x = thin(variant), images(variant, 4, 64, 64)
    for name, layer in model.named_children():
        if name.startswith("score"):  # FCN's start at 0, and then nothing reaches the layers before them
            torch.nn.init.normal_(layer.weight, std=0.1)
    torch.autograd.backward(cross_entropy(model(x), torch.randint(0, variant.config["classes"], (4, 64, 64))))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.fit
@each(EVERY)
def test_a_model_learns_where_a_square_is(variant: Variant) -> None:
    config = {"spatial_dropout": 0.0} | ({"dropout": 0.0} if variant.name.startswith("fcn") else {})
    model = thin(variant, **config)
    x, labels = torch.zeros(4, variant.input_shape[0], 64, 64), torch.zeros(4, 64, 64, dtype=torch.int64)
    for row, (top, left) in enumerate([(0, 0), (32, 0), (0, 32), (16, 16)]):
        x[row, :, top : top + 32, left : left + 32] = 1
        labels[row, top : top + 32, left : left + 32] = 1
    optimizer = torch.optim.AdamW(model.parameters(), 0.02)
    for _ in range(60):
        optimizer.zero_grad()
        torch.autograd.backward(cross_entropy(model(x), labels))
        optimizer.step()
    right = (model(x).argmax(1) == labels).to(torch.float32).mean()
    assert right > 0.85  # the background alone is 0.75; a coarse FCN cannot draw corners


@each(EVERY)
def test_a_config_that_has_been_through_json_builds_the_same(variant: Variant) -> None:
    with torch.device("meta"):
        built, again = build(variant.name), build(variant.name, json.loads(json.dumps(variant.config)))
    assert {k: v.shape for k, v in built.state_dict().items()} == {k: v.shape for k, v in again.state_dict().items()}


def test_every_row_is_in_the_registry() -> None:
    assert all(ROWS[name] is variant for name, variant in VARIANTS.items())
