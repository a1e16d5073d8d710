"""PCA and probabilistic PCA beside numpy, torch's Gaussian, and the closed form written out."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from models.generation.pca import PCA, ProbabilisticPCA
from tests.models.generation.pictures import draw, small

SMALL = (1, 7, 7)


def fitted(components: int = 6, rows: int = 300) -> ProbabilisticPCA:
    model = ProbabilisticPCA(components, SMALL)
    model.fit(small(rows))
    return model


def covariance(model: ProbabilisticPCA) -> torch.Tensor:
    w = model.W.double()
    return w @ w.T + model.sigma2.double() * torch.eye(len(w), dtype=torch.float64)


def test_components_are_numpys_eigenvectors_of_the_covariance() -> None:
    model, x = PCA(5, SMALL), small(300)
    model.fit(x)
    values, vectors = np.linalg.eigh(np.cov(x.flatten(1).double().numpy(), rowvar=False, bias=True))
    np.testing.assert_allclose(model.eigenvalues, values[::-1][:5], rtol=1e-5)
    along = (vectors[:, ::-1][:, :5] * model.U.double().numpy()).sum(0)
    np.testing.assert_allclose(np.abs(along), 1, atol=1e-5)


def test_the_squared_error_is_the_variance_that_is_left_out() -> None:
    model, whole, x = PCA(5, SMALL), PCA(49, SMALL), small(300)
    model.fit(x)
    whole.fit(x)
    error = (model(x) - x).square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(error, whole.eigenvalues[5:].sum(), rtol=1e-4, atol=0)
    torch.testing.assert_close(whole(x), x, rtol=0, atol=1e-5)


def test_fitting_in_any_order_of_images_gives_the_same_signs() -> None:
    model, again, x = PCA(5, SMALL), PCA(5, SMALL), small(300)
    model.fit(x)
    again.fit(x.flip(0))
    torch.testing.assert_close(model.U, again.U, rtol=0, atol=1e-4)


def test_probabilistic_pca_is_the_closed_form() -> None:
    """Tipping and Bishop's equations 7 and 8, by numpy."""
    model, x = fitted(), small(300).flatten(1).double().numpy()
    values, vectors = np.linalg.eigh(np.cov(x, rowvar=False, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    sigma2 = values[6:].mean()
    w = vectors[:, :6] * np.sqrt(values[:6] - sigma2)
    np.testing.assert_allclose(model.sigma2, sigma2, rtol=1e-4)
    np.testing.assert_allclose(model.mu, x.mean(0), atol=1e-6)
    # W is known up to a rotation only, W W^T exactly.
    np.testing.assert_allclose((model.W @ model.W.T).numpy(), w @ w.T, atol=1e-6)
    average = -(49 * np.log(2 * np.pi) + np.log(values[:6]).sum() + 43 * np.log(sigma2) + 49) / 2  # their eq. 5
    np.testing.assert_allclose(model(small(300)).mean(), average, rtol=1e-4)


@pytest.mark.parametrize("fit", [True, False])
def test_the_density_is_that_of_torchs_gaussian(fit: bool) -> None:
    model = fitted()
    if not fit:  # a W whose columns are not orthogonal
        model.assign(model.mu, torch.randn(49, 6, generator=draw()), torch.tensor(0.3))
    x = small(40)
    gaussian: Any = MultivariateNormal(model.mu.double(), covariance(model))
    wanted = gaussian.log_prob(x.flatten(1).double())
    torch.testing.assert_close(model(x).double(), wanted, rtol=1e-4, atol=1e-4)


def test_no_other_noise_or_scale_is_likelier() -> None:
    model, x = fitted(), small(300)
    best = model(x).mean()
    mu, w, sigma2 = model.mu.clone(), model.W.clone(), model.sigma2.clone()
    for scale, noise in ((1.05, 1.0), (0.95, 1.0), (1.0, 1.05), (1.0, 0.95)):
        model.assign(mu, w * scale, sigma2 * noise)
        assert model(x).mean() < best


def test_the_posterior_mean_is_the_regression_of_latents_on_images() -> None:
    """E[z | x] = cov(z, x) cov(x)^-1 (x - mu), as of any Gaussian, and cov(z, x) = W^T."""
    model, x = fitted(), small(20)
    wanted = (x.flatten(1) - model.mu).double() @ torch.linalg.inv(covariance(model)) @ model.W.double()
    torch.testing.assert_close(model.encode(x).double(), wanted, rtol=1e-3, atol=1e-4)


def test_samples_have_the_models_mean_and_covariance() -> None:
    model, generator = fitted(), draw()
    rows = 40_000
    x = model.sample(torch.randn(rows, 6, generator=generator), torch.randn(rows, *SMALL, generator=generator))
    assert x.shape == (rows, *SMALL)
    x = x.flatten(1).double()
    torch.testing.assert_close(x.mean(0), model.mu.double(), rtol=0, atol=0.01)
    torch.testing.assert_close(x.T.cov(), covariance(model), rtol=0, atol=0.003)


def test_a_state_is_a_whole_model() -> None:
    model, again = fitted(), ProbabilisticPCA(6, SMALL)
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(small(5)), model(small(5)), rtol=0, atol=0)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="components is 50; images of 49 values allow 1 to 49"):
        PCA(50, SMALL)
    with pytest.raises(ValueError, match="components is 49; images of 49 values allow 1 to 48"):
        ProbabilisticPCA(49, SMALL)
    with pytest.raises(ValueError, match="the 5 images leave no variance beside 6 components; fit more images"):
        fitted(rows=5)
    with pytest.raises(ValueError, match="there are 1 images; a covariance needs at least 2"):
        PCA(3, SMALL).fit(small(1))
