"""Parameters and multiply-accumulates."""

import pytest
import torch

from models.classification.rows import build
from training.export.counts import count_macs, count_parameters


# By hand: LeNet-5's C1 28*28*6*25, C3 10*10*16*150, then 400*120, 120*84 and 84*10.
@pytest.mark.parametrize(("name", "macs"), [("softmax", 7_840), ("mlp", 234_752), ("lenet5", 416_520)])
def test_macs_are_those_counted_by_hand(name: str, macs: int) -> None:
    assert count_macs(build(name).eval(), torch.zeros(1, 1, 28, 28)) == macs


def test_parameters_that_are_not_trained_do_not_count() -> None:
    model = build("softmax")
    model.get_parameter("scores.bias").requires_grad_(False)
    assert count_parameters(model) == 7_840
