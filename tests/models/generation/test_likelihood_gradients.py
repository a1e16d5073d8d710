"""Training reaches every parameter of the networks with a likelihood, or a bound of one."""

from typing import Any

import pytest
import torch

from models.generation import diffusion, flow, gated_pixelcnn, glow, pixelcnn, realnvp
from models.generation.rows import build
from models.variant import Variant

EVERY = [row for family in (pixelcnn, gated_pixelcnn, flow, realnvp, glow, diffusion) for row in family.VARIANTS]


@pytest.mark.parametrize("variant", EVERY, ids=lambda variant: variant.name)
def test_backward_reaches_every_parameter(variant: Variant) -> None:
    with torch.device("meta"):
        model: Any = build(variant.name)
        answer = model(**model.examples(2))
        torch.autograd.backward(sum(tensor.sum() for tensor in (answer if isinstance(answer, tuple) else (answer,))))
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
