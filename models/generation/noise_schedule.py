"""How fast diffusion turns images to noise: the share of the image that is left at each timestep (DL 29.1)."""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

LARGEST_BETA = 0.999


def linear(steps: int) -> Tensor:
    """beta from 1e-4 to 0.02 for 1,000 steps (Ho et al. 2020, arXiv:2006.11239, section 4); for fewer, larger."""
    return torch.linspace(1e-4 * 1000 / steps, 0.02 * 1000 / steps, steps, dtype=torch.float64, device="cpu").clamp(
        max=LARGEST_BETA
    )


def cosine(steps: int, s: float = 0.008) -> Tensor:
    """alpha_bar_t = f(t) / f(0), f(t) = cos^2((t / T + s) / (1 + s) pi / 2) (Nichol and Dhariwal 2021, equation 17)."""
    t = torch.arange(steps + 1, dtype=torch.float64, device="cpu") / steps
    f = ((t + s) / (1 + s) * math.pi / 2).cos().square()
    return (1 - f[1:] / f[:-1]).clamp(max=LARGEST_BETA)


SCHEDULES: Mapping[str, Callable[[int], Tensor]] = {"linear": linear, "cosine": cosine}


def betas(name: str, steps: int) -> Tensor:
    """beta_t of timesteps t = 0..steps - 1, float64.

    Raises:
        KeyError: there is no such schedule; the message lists the names.
        ValueError: there are fewer than 2 steps.
    """
    if name not in SCHEDULES:
        raise KeyError(f"no schedule {name!r}; there are {', '.join(SCHEDULES)}")
    if steps < 2:
        raise ValueError(f"steps is {steps}; a schedule has at least 2")
    return SCHEDULES[name](steps)
