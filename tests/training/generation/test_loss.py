"""Adversarial and contrastive losses beside the same written out."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from training.generation.loss import Game, discriminator_loss, generator_loss, nt_xent


def logits(rows: int = 9) -> Tensor:
    return 3 * torch.randn(rows, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_discriminators_loss_is_two_cross_entropies(smoothing: float) -> None:
    real, fake = logits(), logits(7) - 1
    labels = torch.full((9,), 1 - smoothing)
    wanted = binary_cross_entropy_with_logits(real, labels) + binary_cross_entropy_with_logits(fake, torch.zeros(7))
    torch.testing.assert_close(discriminator_loss(real, fake, smoothing), wanted)


def test_a_discriminator_that_cannot_tell_loses_two_log_two() -> None:
    nothing = torch.zeros(5)
    assert discriminator_loss(nothing, nothing).item() == pytest.approx(2 * math.log(2))


def test_the_generators_losses_are_the_papers() -> None:
    d = logits().sigmoid()
    torch.testing.assert_close(generator_loss(logits()), -d.log().mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(generator_loss(logits(), "minimax"), (1 - d).log().mean(), rtol=1e-4, atol=1e-5)


def test_only_the_minimax_game_is_flat_where_the_discriminator_is_sure() -> None:
    slopes = {}
    games: tuple[Game, Game] = ("non_saturating", "minimax")
    for game in games:
        fake = torch.full((1,), -8.0, requires_grad=True)
        (slope,) = torch.autograd.grad(generator_loss(fake, game), fake)
        slopes[game] = slope.item()
    assert slopes["non_saturating"] < -0.99
    assert -0.001 < slopes["minimax"] < 0


def test_an_unknown_game_is_refused() -> None:
    with pytest.raises(KeyError, match="no game 'chess'; there are non_saturating, minimax"):
        generator_loss(logits(), "chess")  # type: ignore[arg-type]


@pytest.mark.parametrize("temperature", [0.1, 0.5])
def test_nt_xent_is_the_papers_double_loop(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(4, 6, generator=generator) for _ in range(2))
    z = [*first, *second]

    def similarity(i: int, j: int) -> float:
        return math.exp((z[i] @ z[j] / (z[i].norm() * z[j].norm())).item() / temperature)

    total = 0.0
    for i in range(8):
        among = sum(similarity(i, k) for k in range(8) if k != i)
        total -= math.log(similarity(i, (i + 4) % 8) / among)
    assert nt_xent(first, second, temperature).item() == pytest.approx(total / 8, rel=1e-5)


def test_the_length_of_a_view_does_not_matter_but_which_it_is_of_does() -> None:
    z = torch.eye(4)
    torch.testing.assert_close(nt_xent(z, z), nt_xent(3 * z, z / 5))
    assert nt_xent(z, z) < nt_xent(z, z.roll(1, 0))


def test_one_image_is_no_contrast() -> None:
    with pytest.raises(ValueError, match="there are two views of 1 image; a contrast needs at least 2 images"):
        nt_xent(torch.ones(1, 3), torch.ones(1, 3))
