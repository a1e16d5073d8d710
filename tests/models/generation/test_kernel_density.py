"""Kernel density estimation beside torch's mixture of Gaussians."""

from typing import Any

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from models.generation.kernel_density import KernelDensity
from tests.models.generation.pictures import draw, grey


def remembering(rows: int, h: float = 0.2) -> KernelDensity:
    model = KernelDensity(rows, h)
    model.remember(grey(rows))
    return model


@pytest.mark.parametrize("h", [0.1, 0.5])
def test_the_density_is_a_mixture_of_gaussians_with_equal_weights(h: float) -> None:
    model, x = remembering(50, h), grey(60)
    kernels = Independent(Normal(grey(50).flatten(1).double(), h), 1)
    mixture: Any = MixtureSameFamily(Categorical(torch.ones(50)), kernels)
    wanted = mixture.log_prob(x.flatten(1).double())
    torch.testing.assert_close(model(x).double(), wanted, rtol=1e-5, atol=5e-3)


def test_stored_images_are_far_likelier_than_others() -> None:
    """The bad idea: what lies between the images has next to no density."""
    scores = remembering(200)(grey(300))
    assert scores[:200].min() > scores[200:].max()


def test_a_sample_is_a_stored_image_with_noise() -> None:
    model, index = remembering(20, 0.3), torch.tensor([3, 3, 19])
    eps = torch.randn(3, 1, 28, 28, generator=draw())
    torch.testing.assert_close(model.sample(index, eps), grey(20)[index] + 0.3 * eps)


def test_a_bandwidth_can_be_given_with_the_images_and_is_in_the_state() -> None:
    model, again = KernelDensity(5), KernelDensity(5)
    model.remember(grey(5), 0.4)
    again.load_state_dict(model.state_dict())
    assert again.h == pytest.approx(0.4)
    torch.testing.assert_close(again(grey(6)), model(grey(6)), rtol=0, atol=0)


def test_what_makes_no_density_is_refused() -> None:
    with pytest.raises(ValueError, match=r"rows is 0 and h 0\.2; a density needs at least 1 image and a positive h"):
        KernelDensity(0)
    with pytest.raises(ValueError, match="there are 4 images; the model needs 5"):
        KernelDensity(5).remember(grey(4))
    with pytest.raises(ValueError, match=r"h is -1\.0; a bandwidth is positive"):
        KernelDensity(5).remember(grey(5), -1.0)
