"""The VAE's equations beside torch's distributions, and beside the linear model whose likelihood is known."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

from models.generation.pca import ProbabilisticPCA
from models.generation.rows import build
from models.generation.vae import VAE, kl
from tests.models.generation.pictures import binary, classes, draw, grey, small

KINDS: dict[str, dict[str, Any]] = {
    "mlp": {},
    "conv": {"maps": (4, 6)},
    "conditional": {"classes": 10},
    "gaussian": {"likelihood": "gaussian"},
    "tanh": {"activation": "tanh"},
}
each = pytest.mark.parametrize("kind", KINDS)


def thin(kind: str = "mlp", **config: Any) -> VAE:
    torch.manual_seed(0)
    return VAE(**{"latent": 3, "hidden": (16, 12), **KINDS[kind], **config})


def labels(model: VAE, rows: int) -> Tensor | None:
    return classes(rows) if model.classes else None


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=draw(1))


def log_density(x: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    normal: Any = Normal(mean, deviation)
    found: Tensor = normal.log_prob(x).sum(-1)
    return found


def test_the_divergence_is_torchs_and_the_mean_of_draws() -> None:
    mu, log_variance = noise(5, 3), noise(5, 3) / 2
    q: Any = Independent(Normal(mu, (log_variance / 2).exp()), 1)
    prior: Any = Independent(Normal(torch.zeros(5, 3), 1.0), 1)
    torch.testing.assert_close(kl(mu, log_variance), kl_divergence(q, prior))
    torch.manual_seed(0)
    z = q.sample(torch.Size([50_000]))
    torch.testing.assert_close(kl(mu, log_variance), (q.log_prob(z) - prior.log_prob(z)).mean(0), rtol=0.02, atol=0.02)


@each
def test_the_bound_is_the_likelihood_of_a_draw_less_the_divergence(kind: str) -> None:
    model, x, eps = thin(kind), binary(4), noise(4, 3)
    y = labels(model, 4)
    mu, log_variance = model.encoder(x, y)
    z = mu + (log_variance / 2).exp() * eps
    mean = model.decode(z, y)
    p: Any = Normal(mean, model.log_deviation.exp()) if kind == "gaussian" else Bernoulli(mean)
    log_likelihood = p.log_prob(x).sum((1, 2, 3))
    q, prior = Normal(mu, (log_variance / 2).exp()), Normal(torch.zeros(4, 3), 1.0)
    wanted = log_likelihood - kl_divergence(q, prior).sum(1)
    torch.testing.assert_close(model(x, eps, y), wanted, rtol=1e-4, atol=1e-3)
    penalised = log_likelihood - 4 * kl_divergence(q, prior).sum(1)
    torch.testing.assert_close(model.elbo(x, eps, y, beta=4.0), penalised, rtol=1e-4, atol=1e-3)


@each
def test_each_draws_weight_is_the_ratio_of_the_densities(kind: str) -> None:
    model, x, eps = thin(kind), binary(4), noise(2, 4, 3)
    y = labels(model, 4)
    mu, log_variance = model.encoder(x, y)
    deviation = (log_variance / 2).exp()
    for found, one in zip(model.log_weights(x, eps, y), eps, strict=True):
        z = mu + deviation * one
        ratio = log_density(z, 0.0, 1.0) - log_density(z, mu, deviation)
        torch.testing.assert_close(found, model.log_likelihood(x, z, y) + ratio, rtol=1e-4, atol=1e-3)
    mean = model.log_weights(x, eps, y).double().logsumexp(0) - math.log(2)
    torch.testing.assert_close(model.importance_bound(x, eps, y).double(), mean, rtol=1e-5, atol=1e-3)


class Posterior(nn.Module):
    """The exact p(z | x) of a probabilistic PCA, whose M is diagonal."""

    def __init__(self, model: ProbabilisticPCA) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, label: None) -> tuple[Tensor, Tensor]:
        m = self.model.W.square().sum(0) + self.model.sigma2
        return self.model.encode(x), (self.model.sigma2 / m).log().expand(len(x), -1)


class Mean(nn.Module):
    """The mean of its p(x | z)."""

    def __init__(self, model: ProbabilisticPCA) -> None:
        super().__init__()
        self.model = model

    def forward(self, z: Tensor, label: None) -> Tensor:
        return self.model.decode(z)


def test_with_linear_maps_and_the_exact_posterior_it_is_probabilistic_pca() -> None:
    """The lecture's homework: then every weight is p(x) itself, and the bound is tight."""
    linear, x = ProbabilisticPCA(3, (1, 7, 7)), small(300)
    linear.fit(x)
    model: Any = VAE(3, (4,), shape=(1, 7, 7), likelihood="gaussian")
    model.encoder, model.decoder = Posterior(linear), Mean(linear)
    model.log_deviation = nn.Parameter(linear.sigma2.log() / 2)
    x = x[:20]
    torch.testing.assert_close(model.log_weights(x, noise(5, 20, 3)), linear(x).expand(5, -1), rtol=1e-4, atol=1e-3)
    many = model(x.repeat(2000, 1, 1, 1), noise(40_000, 3)).unflatten(0, (2000, 20))
    torch.testing.assert_close(many.mean(0), linear(x), rtol=0, atol=0.2)


def test_more_draws_tighten_the_bound() -> None:
    model, x = thin(), binary(20)
    with torch.no_grad():
        bounds = [model.importance_bound(x, noise(draws, 20, 3)).mean() for draws in (1, 10, 200)]
    assert bounds[0] < bounds[1] < bounds[2]


@each
@pytest.mark.fit
def test_steps_along_the_gradient_raise_the_bound_and_reach_every_parameter(kind: str) -> None:
    model = thin(kind)
    x, y, generator = (grey(20) if kind == "gaussian" else binary(20)), labels(model, 20), draw()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    bounds = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = -model(x, torch.randn(20, 3, generator=generator), y).mean()
        torch.autograd.backward(loss)
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        optimizer.step()
        bounds.append(-loss.item())
    assert bounds[-1] > bounds[0] + 50


def test_a_seed_gives_the_same_model_and_the_same_noise_the_same_images() -> None:
    one, again = thin("conv"), thin("conv")
    z = noise(2, 3)
    torch.testing.assert_close(one.decode(z), again.decode(z), rtol=0, atol=0)


@each
def test_images_have_their_shape_and_a_reconstruction_that_of_its_image(kind: str) -> None:
    model, x = thin(kind), binary(5)
    y = labels(model, 5)
    assert model.encode(x, y).shape == (5, 3)
    assert model.reconstruct(x, y).shape == (5, 1, 28, 28)
    if kind != "gaussian":
        assert 0 <= model.reconstruct(x, y).min() <= model.reconstruct(x, y).max() <= 1


def test_the_class_decides_what_a_latent_looks_like() -> None:
    model, z = thin("conditional"), noise(1, 3)
    zero, one = model.decode(z, torch.tensor([0])), model.decode(z, torch.tensor([1]))
    assert not torch.allclose(zero, one)


def test_the_rows_of_colour_have_three_channels() -> None:
    model: Any = build("vae-conv-32", {"hidden": (8,), "maps": (2, 2, 2)})
    assert model.decode(torch.zeros(2, 128)).shape == (2, 3, 32, 32)


def test_what_makes_no_vae_is_refused() -> None:
    with pytest.raises(KeyError, match="no likelihood 'poisson'; there are bernoulli, gaussian"):
        VAE(likelihood="poisson")
    with pytest.raises(KeyError, match="no activation 'gelu'; there are sigmoid, "):
        VAE(activation="gelu")
    with pytest.raises(ValueError, match="3 maps halve 28x28 and 1 hidden layers follow; sides must stay whole"):
        VAE(maps=(4, 4, 4), hidden=(8,))
    with pytest.raises(ValueError, match="labels are missing; the model has 10 classes"):
        thin("conditional").decode(noise(1, 3))
    with pytest.raises(ValueError, match="labels are given; the model has 0 classes"):
        thin().decode(noise(1, 3), classes(1))
