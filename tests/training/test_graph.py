import pytest
import torch

from models.registry import build
from training.graph import Served, count_macs, count_parameters, normalise, unit


def served(name: str = "softmax") -> Served:
    return Served(build(name), 0.1307, 0.3081)


def test_black_and_white_are_normalised_as_the_pixels_of_the_training_split() -> None:
    images = torch.tensor([[[0, 255]]], dtype=torch.uint8)
    found = normalise(unit(images), 0.1307, 0.3081)
    assert found.shape == (1, 1, 1, 2)
    assert found.flatten().tolist() == pytest.approx([-0.1307 / 0.3081, (1 - 0.1307) / 0.3081])


def test_the_served_model_gives_probabilities() -> None:
    images = torch.randint(0, 256, (5, 28, 28), dtype=torch.uint8)
    found = served()(images)
    assert found.shape == (5, 10)
    assert found.dtype == torch.float32
    assert (found > 0).all()
    torch.testing.assert_close(found.sum(1), torch.ones(5))


# By hand: LeNet-5's C1 28*28*6*25, C3 10*10*16*150, then 400*120, 120*84 and 84*10.
@pytest.mark.parametrize(("name", "macs"), [("softmax", 7_840), ("mlp", 234_752), ("lenet5", 416_520)])
def test_macs_are_those_counted_by_hand(name: str, macs: int) -> None:
    assert count_macs(served(name), 28, 28) == macs


def test_parameters_that_are_not_trained_do_not_count() -> None:
    model = build("softmax")
    model.get_parameter("scores.bias").requires_grad_(False)
    assert count_parameters(model) == 7_840
