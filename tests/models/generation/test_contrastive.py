"""Representations that are learnt without labels."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from models.generation.contrastive import RotationNetwork, SimCLR, rotate
from tests.models.generation.pictures import draw, grey
from training.generation.loss import nt_xent


def simclr(projection: int = 5) -> SimCLR:
    torch.manual_seed(0)
    return SimCLR((1, 1), (4, 6), projection)


def test_features_and_their_projection_have_the_widths_of_the_row() -> None:
    model = simclr()
    assert model.encode(grey(3)).shape == (3, 6)
    assert model(grey(3)).shape == (3, 5)
    torch.testing.assert_close(model.eval()(grey(3)), model.head(model.encode(grey(3))))


def test_an_image_does_not_depend_on_its_batch() -> None:
    model = simclr().eval()
    torch.testing.assert_close(model.encode(grey(5))[3:4], model.encode(grey(5)[3:4]), rtol=1e-4, atol=1e-5)


@pytest.mark.fit
def test_steps_bring_views_of_an_image_together_and_reach_every_parameter() -> None:
    model, x, generator = simclr(), grey(16), draw()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(20):
        one, two = (x + 0.1 * torch.randn(x.shape, generator=generator) for _ in range(2))
        optimizer.zero_grad()
        loss = nt_xent(model(one), model(two))
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.2


def test_images_are_turned_four_ways_and_the_label_says_how() -> None:
    x = grey(3)
    turned, turns = rotate(x)
    assert turned.shape == (12, 1, 28, 28)
    assert turns.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    for image, quarter, original in zip(turned, turns, x.repeat(4, 1, 1, 1), strict=True):
        torch.testing.assert_close(image.rot90(-int(quarter), (1, 2)), original)


@pytest.mark.fit
def test_steps_learn_how_images_were_turned() -> None:
    torch.manual_seed(0)
    model = RotationNetwork((1, 1), (4, 6))
    (x, turns), optimizer = rotate(grey(8)), torch.optim.Adam(model.parameters(), 0.01)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = cross_entropy(model(x), turns)
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(1.386, abs=0.05)  # log 4
    assert losses[-1] < losses[0] - 0.1


def test_the_encoder_is_a_residual_network_without_scores() -> None:
    model = RotationNetwork((1, 1), (4, 6))
    assert [name for name, module in model.named_modules() if isinstance(module, nn.Linear)] == ["scores"]
