"""The density network beside the integral itself, which one latent allows."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Normal

from models.generation.density_network import LEAST_DEVIATION, DensityNetwork
from tests.models.generation.pictures import binary, draw


def thin(latent: int = 1) -> DensityNetwork:
    torch.manual_seed(0)
    model = DensityNetwork(latent, (8,), (1, 3, 3))
    for parameter in model.parameters():  # steep enough that latents matter
        torch.nn.init.normal_(parameter, std=2.0)
    return model


def images(rows: int = 6) -> Tensor:
    return binary(rows)[:, :, 10:19:3, 10:19:3]


def integral(model: DensityNetwork, x: Tensor) -> Tensor:
    """log of the integral of p(x | z) p(z), by the trapezoidal rule over one latent."""
    z = torch.linspace(-8, 8, 20_001).double()
    p: Any = Bernoulli(model.decode(z[:, None]).flatten(1))  # (Z, D)
    prior: Any = Normal(torch.zeros((), dtype=torch.float64), 1.0)
    log_joint = p.log_prob(x.double().flatten(1)[:, None]).sum(2) + prior.log_prob(z)  # (B, Z)
    return torch.trapezoid(log_joint.exp(), z, dim=1).log()


def test_draws_from_the_prior_estimate_the_integral() -> None:
    model, x = thin().double(), images().double()
    z = torch.randn(200_000, 1, generator=draw()).double()
    with torch.no_grad():
        torch.testing.assert_close(model(x, z), integral(model, x), rtol=0, atol=0.03)


def test_draws_from_a_proposal_estimate_it_too_with_far_fewer() -> None:
    model, x, generator = thin().double(), images().double(), draw()
    prior = torch.randn(2000, 1, generator=generator).double()
    eps = torch.randn(100, 200, 6, 1, generator=generator).double()
    z = torch.randn(100, 200, 1, generator=generator).double()
    with torch.no_grad():
        wanted, (mean, deviation) = integral(model, x), model.proposal(x, prior)
        # A proposal of more width than it found covers the tails.
        focused = torch.stack([model.importance_log_prob(x, mean, 1.5 * deviation, one) for one in eps])  # (100, B)
        plain = torch.stack([model(x, one) for one in z])
    torch.testing.assert_close(focused.mean(0), wanted, rtol=0, atol=0.1)
    assert (focused - wanted).square().mean() < (plain - wanted).square().mean()


def test_a_proposal_is_the_posteriors_mean_and_deviation() -> None:
    model, x = thin().double(), images().double()
    z = torch.randn(200_000, 1, generator=draw()).double()
    grid = torch.linspace(-8, 8, 20_001).double()
    with torch.no_grad():
        mean, deviation = model.proposal(x, z)
        weights = (model.log_joint(x, grid[:, None]) - grid.square() / 2).softmax(1)  # (B, Z)
    wanted = (weights * grid).sum(1)
    spread = ((weights * grid.square()).sum(1) - wanted.square()).clamp(min=LEAST_DEVIATION**2).sqrt()
    torch.testing.assert_close(mean[:, 0], wanted, rtol=0, atol=0.02)
    torch.testing.assert_close(deviation[:, 0], spread, rtol=0, atol=0.02)


def test_all_images_there_are_have_a_probability_of_one_together() -> None:
    model = thin(3)
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 9).reshape(512, 1, 3, 3)
    with torch.no_grad():
        total = model(every, torch.randn(50, 3, generator=draw())).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-4)


@pytest.mark.fit
def test_steps_along_the_gradient_raise_the_likelihood() -> None:
    torch.manual_seed(0)
    model, x, generator = DensityNetwork(2, (16,)), binary(20), draw()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    scores = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = -model(x, torch.randn(50, 2, generator=generator)).mean()
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        scores.append(-loss.item())
    assert scores[-1] > scores[0] + 50
