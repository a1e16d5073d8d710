"""Autoencoders: bottlenecks, penalties, noise and levels."""

from typing import Any

import pytest
import torch
from torch.distributions import Bernoulli, kl_divergence

from models.generation.autoencoder import Autoencoder
from tests.models.generation.pictures import draw, grey

KINDS: dict[str, dict[str, Any]] = {
    "undercomplete": {"widths": (32, 8)},
    "l1": {"widths": (900,), "code": "relu", "penalty": "l1", "strength": 0.1},
    "kl": {"widths": (900,), "code": "sigmoid", "penalty": "kl", "strength": 0.1},
    "denoising": {"widths": (32, 8), "corruption": "gaussian", "noise": 0.3},
    "stacked": {"widths": (32, 16, 8), "code": "sigmoid", "activation": "sigmoid", "corruption": "mask", "noise": 0.25},
}
each = pytest.mark.parametrize("kind", KINDS)


def thin(kind: str = "undercomplete", **config: Any) -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(**{**KINDS[kind], **config})


@each
def test_codes_have_the_last_width_and_reconstructions_the_images_shape(kind: str) -> None:
    model, x = thin(kind), grey(3)
    h = model.encode(x)
    assert h.shape == (3, KINDS[kind]["widths"][-1])
    r = model(x)
    assert r.shape == x.shape
    assert 0 <= r.min() <= r.max() <= 1
    torch.testing.assert_close(model.decode(h), r)


@each
@pytest.mark.fit
def test_steps_lower_the_loss_and_reach_every_parameter(kind: str) -> None:
    model, x, generator = thin(kind), grey(20), draw()
    optimizer = torch.optim.Adam(model.parameters(), 0.005)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = model.loss(x, generator)
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 50


def test_the_loss_is_the_cross_entropy_of_the_clean_image_and_the_penalty() -> None:
    model, x = thin("l1"), grey(4)
    h, r = model.encode(x), model(x)
    cross = -(x * r.log() + (1 - x) * (1 - r).log()).sum((1, 2, 3)).mean()
    torch.testing.assert_close(model.loss(x), cross + 0.1 * h.abs().sum(1).mean(), rtol=1e-4, atol=1e-3)


def test_the_kl_penalty_is_that_between_two_coins() -> None:
    model, h = thin("kl", sparsity=0.1), torch.rand(50, 12, generator=draw())
    wanted = kl_divergence(Bernoulli(torch.full((12,), 0.1)), Bernoulli(h.mean(0))).sum()
    torch.testing.assert_close(model.omega(h), wanted)
    assert model.omega(torch.full((50, 12), 0.1)) == pytest.approx(0, abs=1e-5)


def test_noise_is_what_the_name_says_and_a_seeds() -> None:
    x = torch.full((100, 1, 28, 28), 0.5)
    masked = thin(corruption="mask", noise=0.3).corrupt(x, draw())
    assert set(masked.flatten().tolist()) == {0, 0.5}
    assert (masked == 0).float().mean() == pytest.approx(0.3, abs=0.01)
    salted = thin(corruption="salt_and_pepper", noise=0.3).corrupt(x, draw())
    assert set(salted.flatten().tolist()) == {0, 0.5, 1}
    for value in (0, 1):
        assert (salted == value).float().mean() == pytest.approx(0.15, abs=0.01)
    noisy = thin(corruption="gaussian", noise=0.3).corrupt(x, draw())
    assert noisy.std() == pytest.approx(0.3, abs=0.01)
    torch.testing.assert_close(noisy, thin(corruption="gaussian", noise=0.3).corrupt(x, draw()), rtol=0, atol=0)
    assert thin().corrupt(x) is x


@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
def test_a_level_is_trained_alone_on_what_the_levels_below_give(activation: str) -> None:
    model, x = thin("stacked", activation=activation, corruption="none"), grey(6)
    torch.autograd.backward(model.level_loss(1, x))
    own = {id(parameter) for parameter in model.level_parameters(1)}
    for parameter in model.parameters():
        assert (parameter.grad is not None) == (id(parameter) in own)
    below = model.encoders[0](x.flatten(1))
    r = model.decoders[1](model.encoders[1](below))
    if activation == "relu":
        wanted = (r - below).square().sum(1).mean()
    else:
        wanted = -(below * r.log() + (1 - below) * (1 - r).log()).sum(1).mean()
    torch.testing.assert_close(model.level_loss(1, x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.fit
def test_levels_that_were_trained_one_by_one_are_a_better_start() -> None:
    model, fresh, x, generator = thin("stacked"), thin("stacked"), grey(30), draw()
    for level in range(3):
        optimizer = torch.optim.Adam(model.level_parameters(level), 0.01)
        for _ in range(20):
            optimizer.zero_grad()
            torch.autograd.backward(model.level_loss(level, x, generator))
            optimizer.step()
    with torch.no_grad():
        assert model.loss(x, draw()) < fresh.loss(x, draw()) - 50


def test_what_makes_no_autoencoder_is_refused() -> None:
    with pytest.raises(KeyError, match="no penalty 'l2'; there are none, l1, kl"):
        thin(penalty="l2")
    with pytest.raises(KeyError, match="no corruption 'blur'; there are none, mask, salt_and_pepper, gaussian"):
        thin(corruption="blur")
    with pytest.raises(KeyError, match="no code 'maxout'; there are linear, sigmoid, relu, tanh"):
        thin(code="maxout")
    with pytest.raises(ValueError, match=r"penalty kl has a code 'linear' and sparsity 0\.05; it needs 'sigmoid'"):
        thin(penalty="kl")
    with pytest.raises(ValueError, match=r"noise is 1\.5; a share of pixels is 0 to 1"):
        thin(corruption="mask", noise=1.5)
    with pytest.raises(ValueError, match="widths is empty; the last of at least one is the code's"):
        thin(widths=())
    with pytest.raises(ValueError, match="level is 3; 3 levels allow 0 to 2"):
        thin("stacked").level_loss(3, grey(2))
