"""Losses between two networks or two views: adversarial (DL 27.1; I2DL XII.5) and contrastive (CV V)."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, normalize, softplus

Game = Literal["non_saturating", "minimax"]


def discriminator_loss(real: Tensor, fake: Tensor, smoothing: float = 0.0) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), in nats, of the logits of D for real and generated images, (B,) each.

    ``smoothing`` takes that share from the real images' label of 1, so that D does not become too certain (one-sided
    label smoothing: Salimans et al. 2016, arXiv:1606.03498). Two log 2 is the loss of a D that cannot tell.
    """
    # -log sigmoid(a) = softplus(-a) and -log(1 - sigmoid(a)) = softplus(a).
    of_real = (1 - smoothing) * softplus(-real) + smoothing * softplus(real)
    return of_real.mean() + softplus(fake).mean()


def generator_loss(fake: Tensor, game: Game = "non_saturating") -> Tensor:
    """The generator's loss, in nats, of the logits of D for generated images, (B,).

    ``non_saturating`` is -E log D(G(z)), ``minimax`` E log(1 - D(G(z))), what D's loss has with its sign turned: below
    0, and nearly flat as long as D is right (Goodfellow et al. 2014, arXiv:1406.2661, section 3).

    Raises:
        KeyError: there is no such game.
    """
    match game:
        case "non_saturating":
            return softplus(-fake).mean()
        case "minimax":
            return -softplus(fake).mean()
    raise KeyError(f"no game {game!r}; there are non_saturating, minimax")


def nt_xent(first: Tensor, second: Tensor, temperature: float = 0.5) -> Tensor:
    """The normalised temperature-scaled cross-entropy, in nats, of two views z (B, d) of the same images.

    Each view is to find its other one among all 2 B - 1 by the cosine, sim: -log of exp(sim(i, j) / temperature) over
    the sum of exp(sim(i, k) / temperature) for k other than i; the mean over both views of all images (Chen et al.
    2020, arXiv:2002.05709, eq. 1).

    Raises:
        ValueError: there is one image only, so nothing to tell it from.
    """
    rows = len(first)
    if rows < 2:
        raise ValueError(f"there are two views of {rows} image; a contrast needs at least 2 images")
    z = normalize(torch.cat((first, second)).float())  # (2 B, d); half precision has too few digits for sums
    similarities = z @ z.T / temperature  # (2 B, 2 B)
    itself = torch.eye(2 * rows, dtype=torch.bool, device=z.device)
    other = torch.arange(2 * rows, device=z.device).roll(rows)  # row i's other view is i + B
    return cross_entropy(similarities.masked_fill(itself, -torch.inf), other)
