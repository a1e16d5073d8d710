"""One step of diffusion's way back, as a graph in which everything that requests differ in is a value of each row."""

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.generation.diffusion import IMAGE_ITSELF, Diffusion
from models.generation.images import to_image, to_maps

LATENT, TIMESTEP, PREVIOUS, LABEL, GUIDANCE = "latent", "timestep", "previous", "label", "guidance"
ETA, NOISE, KNOWN, MASK, IMAGE = "eta", "noise", "known", "mask", "image"


def denoise(
    diffusion: Diffusion, x: Tensor, t: Tensor, previous: Tensor, eps: Tensor, eta: Tensor, noise: Tensor
) -> tuple[Tensor, Tensor]:
    """From x_t to x at timestep ``previous``, given the predicted ``eps`` (DDIM, equations 12 and 16).

    | x_0   = (x_t - sqrt(1 - abar_t) eps) / sqrt(abar_t), clipped to -1..1, and eps is what then remains
    | sigma = eta sqrt((1 - abar_p) / (1 - abar_t)) sqrt(1 - abar_t / abar_p)
    | x_p   = sqrt(abar_p) x_0 + sqrt(1 - abar_p - sigma^2) eps + sigma noise

    eta 0 is deterministic, and eta 1 with p = t - 1 is DDPM's step with its posterior variance. Towards more noise,
    p > t, it finds the latent of an image (DDIM inversion); there eta has no effect and nothing is clipped.

    Args:
        diffusion: for its noise schedule.
        x: (B, C, H, W).
        t: (B,) int64, from 0 on.
        previous: (B,) int64, from -1 on, the image itself.
        eps: (B, C, H, W).
        eta: (B,), 0..1.
        noise: (B, C, H, W), standard normal.

    Returns:
        x_p and x_0, (B, C, H, W) each.
    """
    abar, abar_p = diffusion.abar_at(t), diffusion.abar_at(previous)  # (B, 1, 1, 1) each
    x_0 = (x - (1 - abar).sqrt() * eps) / abar.sqrt()
    x_0 = torch.where((previous < t)[:, None, None, None], x_0.clamp(-1, 1), x_0)
    eps = (x - abar.sqrt() * x_0) / (1 - abar).sqrt()
    share = (1 - abar_p) / (1 - abar) * (1 - abar / abar_p)
    sigma = eta[:, None, None, None] * share.clamp(min=0).sqrt()
    x_p = abar_p.sqrt() * x_0 + (1 - abar_p - sigma.square()).clamp(min=0).sqrt() * eps + sigma * noise
    return x_p, x_0


class DenoisingStep(nn.Module):
    """A step for all rows, each at a timestep of its own: x_t -> x at the timestep ``previous``.

    ``inputs`` are ``latent`` (B, C, H, W), x_t, at first standard normal; ``timestep`` and ``previous`` (B,) int64; if
    there are classes ``label`` (B,) int64 and ``guidance`` (B,); ``eta`` (B,); ``noise`` (B, C, H, W), new at each
    step; and ``known`` uint8 (B, h, w) or (B, h, w, 3) with ``mask`` uint8 (B, h, w): where the mask is not 0, the
    image is given, and its noisy form takes the place of the drawn one (Song et al. 2021, arXiv:2011.13456, section 5).

    ``outputs`` are ``next_latent`` and ``image`` uint8, what the image would be if this step were the last.
    ``margin`` is how many pixels on each side of the network's images are padding, which is cut off.
    """

    fed: ClassVar[Mapping[str, str]] = {f"next_{LATENT}": LATENT}
    outputs = (f"next_{LATENT}", IMAGE)

    def __init__(self, diffusion: Diffusion, margin: int = 0) -> None:
        super().__init__()
        self.diffusion, self.margin = diffusion, margin
        asked = (LABEL, GUIDANCE) if diffusion.classes else ()
        self.inputs = (LATENT, TIMESTEP, PREVIOUS, *asked, ETA, NOISE, KNOWN, MASK)

    def forward(self, *tensors: Tensor) -> tuple[Tensor, Tensor]:
        """The tensors of ``outputs`` for those of ``inputs``, in these orders."""
        given = dict(zip(self.inputs, tensors, strict=True))
        x, t, previous, noise = (given[name] for name in (LATENT, TIMESTEP, PREVIOUS, NOISE))
        if self.diffusion.classes:
            eps = self.diffusion.guided(x, t, given[LABEL], given[GUIDANCE])
        else:
            eps = self.diffusion(x, t)
        x_p, x_0 = denoise(self.diffusion, x, t, previous, eps, given[ETA], noise)
        fixed = to_maps(given[MASK], self.margin) > 0  # (B, 1, H, W)
        known = to_maps(given[KNOWN], self.margin) / 127.5 - 1  # (B, C, H, W)
        x_p = torch.where(fixed, self.diffusion.q_sample(known, previous, noise), x_p)
        shown = torch.where(fixed, known, x_0.clamp(-1, 1))
        return x_p, to_image(((shown + 1) * 127.5).round(), self.margin)

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` rows of every input, for the only step of a request of one step.

        No two are the same tensor: torch's export would take them for one input.
        """
        channels, height, width = self.diffusion.shape
        size = (rows, height - 2 * self.margin, width - 2 * self.margin)
        examples = {
            LATENT: torch.zeros(rows, channels, height, width),
            TIMESTEP: torch.full((rows,), self.diffusion.timesteps - 1),
            PREVIOUS: torch.full((rows,), IMAGE_ITSELF),
            LABEL: torch.zeros(rows, dtype=torch.int64),
            GUIDANCE: torch.ones(rows),
            ETA: torch.zeros(rows),
            NOISE: torch.zeros(rows, channels, height, width),
            KNOWN: torch.zeros(size if channels == 1 else (*size, channels), dtype=torch.uint8),
            MASK: torch.zeros(size, dtype=torch.uint8),
        }
        return {name: examples[name] for name in self.inputs}


def timesteps(total: int, steps: int) -> list[tuple[int, int]]:
    """The timesteps of ``steps`` steps and their ``previous`` ones, the loop's schedule from total - 1 to -1.

    Raises:
        ValueError: ``steps`` is not in 1..total.
    """
    if not 1 <= steps <= total:
        raise ValueError(f"steps is {steps}; the model allows 1 to {total}")
    at = [round(total - 1 - total * (k / steps)) for k in range(steps + 1)]
    return list(pairwise(at))


@torch.no_grad()
def sample(step: DenoisingStep, rows: int, steps: int, seed: int, **asked: Tensor) -> Tensor:
    """uint8 images of ``rows`` rows: ``steps`` steps from noise on, drawn from ``seed``.

    ``asked`` replaces what `DenoisingStep.examples` has for inputs that the request gives.
    """
    draw = torch.Generator().manual_seed(seed)
    given = step.examples(rows) | asked
    given[LATENT] = torch.randn(given[LATENT].shape, generator=draw)
    image = given[KNOWN]
    for t, previous in timesteps(step.diffusion.timesteps, steps):
        given[TIMESTEP], given[PREVIOUS] = torch.full((rows,), t), torch.full((rows,), previous)
        given[NOISE] = torch.randn(given[LATENT].shape, generator=draw)
        given[LATENT], image = step(*(given[name] for name in step.inputs))
    return image
