"""Diffusion: DDPM, sampled also as DDIM (DL 29; Ho et al. 2020, arXiv:2006.11239; Song et al. 2021, arXiv:2010.02502).

Timesteps are t = 0..T - 1, and -1 is the image itself; images are in -1..1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.generation.noise_network import NoiseNetwork
from models.generation.noise_schedule import betas
from models.variant import Variant

IMAGE_ITSELF = -1


class Diffusion(nn.Module):
    """x_t = sqrt(abar_t) x_0 + sqrt(1 - abar_t) eps; eps_theta(x_t, t, c) predicts eps.

    abar_t is the product of 1 - beta_s for s up to t, of a noise ``schedule`` of ``timesteps``. The other arguments
    are the `NoiseNetwork`'s. The label ``classes`` means "no class".

    Raises:
        KeyError: there is no such schedule.
        ValueError: ``timesteps`` is below 2, or the sides of ``shape`` cannot be halved as often as ``widths`` want.
    """

    abar: Tensor  # (T + 1,), its first value that of timestep -1

    def __init__(
        self,
        shape: Sequence[int] = (1, 32, 32),
        *,
        widths: Sequence[int] = (32, 64, 64),
        blocks: int = 1,
        classes: int = 10,
        timesteps: int = 1000,
        schedule: str = "cosine",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.classes, self.timesteps = classes, timesteps
        self.network = NoiseNetwork(shape[0], widths, blocks=blocks, classes=classes, dropout=dropout)
        if any(side % self.network.divisor for side in shape[1:]):
            raise ValueError(
                f"shape is {self.shape}; height and width must be multiples of {self.network.divisor} for "
                f"{len(widths)} widths"
            )
        abar = torch.cat(
            (torch.ones(1, dtype=torch.float64, device="cpu"), (1 - betas(schedule, timesteps)).cumprod(0))
        )
        self.register_buffer("abar", abar.to(torch.get_default_device(), torch.float32), persistent=False)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """eps_theta (B, C, H, W) of x_t (B, C, H, W), timesteps (B,) int64, and labels (B,) int64 if it has classes."""
        eps: Tensor = self.network(x, t, label)
        return eps

    def examples(self, rows: int = 2) -> dict[str, Tensor]:
        """``rows`` grey images at timestep 0, and labels of 0 if there are classes."""
        numbers = {name: torch.zeros(rows, dtype=torch.int64) for name in ("t", *(["label"] if self.classes else []))}
        return {"x": torch.zeros(rows, *self.shape), **numbers}

    def guided(self, x: Tensor, t: Tensor, label: Tensor, guidance: Tensor) -> Tensor:
        """eps = eps(x, none) + w (eps(x, c) - eps(x, none)), w the ``guidance`` (B,) (Ho and Salimans, 2207.12598).

        0 ignores the class, 1 is the plain conditional model, more than 1 exaggerates the class. (The paper's w is
        one less.)
        """
        none = torch.full_like(label, self.classes)
        both = self(torch.cat((x, x)), torch.cat((t, t)), torch.cat((none, label)))  # (2 B, C, H, W)
        without, given = torch.unflatten(both, 0, (2, -1)).unbind(0)  # (2 B, ...) -> twice (B, ...)
        return without + guidance[:, None, None, None] * (given - without)

    def abar_at(self, t: Tensor) -> Tensor:
        """abar of timesteps (B,) from -1 on, (B, 1, 1, 1)."""
        share: Tensor = self.abar[t + 1][:, None, None, None]
        return share

    def q_sample(self, x_0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t from the image and noise, (B, C, H, W) each (equation 4)."""
        abar = self.abar_at(t)
        return abar.sqrt() * x_0 + (1 - abar).sqrt() * eps

    def q_posterior(self, x_0: Tensor, x_t: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (B, C, H, W) and variance (B, 1, 1, 1) of q(x_(t-1) | x_t, x_0) (equations 6 and 7)."""
        abar, before = self.abar_at(t), self.abar_at(t - 1)
        beta = 1 - abar / before
        mean = before.sqrt() * beta / (1 - abar) * x_0 + (1 - beta).sqrt() * (1 - before) / (1 - abar) * x_t
        return mean, beta * (1 - before) / (1 - abar)

    def loss(self, x_0: Tensor, t: Tensor, eps: Tensor, label: Tensor | None = None) -> Tensor:
        """L_simple = |eps - eps_theta(x_t, t, c)|^2, a mean over values, for each row (B,) (equation 14).

        For guidance, training replaces some labels by ``classes``, see `drop_labels`.
        """
        wrong: Tensor = eps - self(self.q_sample(x_0, t, eps), t, label)
        return wrong.square().flatten(1).mean(1)

    def drop_labels(self, label: Tensor, u: Tensor, share: float) -> Tensor:
        """Labels (B,), "no class" where ``u`` (B,), uniform in [0, 1), is below ``share``."""
        return torch.where(u < share, self.classes, label)


def _row(
    name: str, title: str, config: dict[str, object], shape: tuple[int, int, int], counts: tuple[int, int]
) -> Variant:
    parameters, macs = counts
    return Variant(
        name=name,
        family=Diffusion,
        config={"shape": shape, **config},
        input_shape=shape,
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="DL 29, Diffusion Models; Ho et al. 2020; Song et al. 2021",
        description="Noise is taken off an image little by little by a U-Net that has learnt to see it; classes are "
        "followed by classifier-free guidance.",
    )


# Multiply-accumulates are of one run of the network; with guidance a step has two.
VARIANTS = (
    _row("diffusion", "Diffusion, grey", {"widths": (32, 64, 64)}, (1, 32, 32), (638_881, 128_847_872)),
    _row("diffusion-colour", "Diffusion, colour", {"widths": (64, 96, 128)}, (3, 32, 32), (2_157_155, 421_724_160)),
)
