"""Pixels as whole numbers: black and white (2 levels) or bytes (256), and how probable they are."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

BINARY = 2


def outputs_for(levels: int) -> int:
    """How many logits a pixel needs: one for a Bernoulli variable, else one for each level.

    Raises:
        ValueError: ``levels`` is not in 2..256.
    """
    if not BINARY <= levels <= 256:
        raise ValueError(f"levels is {levels}; a pixel has 2 to 256")
    return 1 if levels == BINARY else levels


def centre(values: Tensor, levels: int) -> Tensor:
    """Levels 0..levels - 1 -> float32 in -1..1, so that no pixel looks like the zeros around an image."""
    return values.to(torch.float32) * (2 / (levels - 1)) - 1


def quantise(image: Tensor, levels: int) -> Tensor:
    """uint8 -> int64 levels of equal width: with two, 128 and above are white."""
    return image.to(torch.int64) * levels // 256


def brightness(values: Tensor, levels: int) -> Tensor:
    """Levels -> uint8, the lowest 0 and the highest 255."""
    return (values * 255 // (levels - 1)).to(torch.uint8)


def log_probabilities(logits: Tensor) -> Tensor:
    """Logits (B, K, ...) -> log-probabilities (B, levels, ...); a single logit is that of level 1 of two."""
    if logits.shape[1] == 1:
        return torch.cat((logsigmoid(-logits), logsigmoid(logits)), 1)
    return torch.log_softmax(logits, 1)


def log_likelihood(logits: Tensor, values: Tensor) -> Tensor:
    """log p(x) = sum_i log p(x_i | x_<i) in nats (B,), of ``values`` (B, H, W) under ``logits`` (B, K, H, W)."""
    each = log_probabilities(logits).gather(1, values.unsqueeze(1))  # (B, 1, H, W)
    return each.flatten(1).sum(1)


def bits_per_dim(nats: Tensor, dimensions: int) -> Tensor:
    """Log-likelihoods (B,) in nats -> the bits that a code needs for each of the image's ``dimensions``."""
    return nats / (-math.log(2) * dimensions)
