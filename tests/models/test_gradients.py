"""Whole networks beside finite differences (I2DL IV, gradient check)."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from models.classification.rows import build
from models.variant import Variant
from tests.models.rows import CONVOLUTIONAL, GREY, each, images, steady, thin

STEP = 1e-6  # in 64 bits, where the error of a central difference is least


def direction(parameter: nn.Parameter) -> torch.Tensor:
    """A random direction of length 1."""
    drawn = torch.randn_like(parameter)
    unit: torch.Tensor = drawn / drawn.norm()
    return unit


@pytest.mark.slow
@each([variant for variant in GREY if variant.parameters])
def test_every_parameters_gradient_is_the_difference_quotient(variant: Variant) -> None:
    torch.manual_seed(0)
    config = thin(variant) if variant in CONVOLUTIONAL else {}
    network = build(variant.name, {**steady(variant), **config}).double()
    for scores in [module for module in network.modules() if isinstance(module, nn.Linear)][-1:]:
        nn.init.xavier_normal_(scores.weight)  # from near 0 next to nothing would come down
    x, labels = images(variant, 3).double(), torch.tensor([1, 0, 1])

    def loss() -> torch.Tensor:
        return cross_entropy(network(x), labels)

    torch.autograd.backward(loss())
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None
        way = direction(parameter)
        with torch.no_grad():
            parameter.add_(way, alpha=STEP)
            after = loss().item()
            parameter.add_(way, alpha=-2 * STEP)
            before = loss().item()
            parameter.add_(way, alpha=STEP)
        slope = (parameter.grad * way).sum().item()
        assert (after - before) / (2 * STEP) == pytest.approx(slope, rel=1e-4, abs=1e-7), name
