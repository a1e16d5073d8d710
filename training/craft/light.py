"""Random changes of colours and brightness."""

import torch
from torch import Tensor


def change_light(
    images: Tensor, *, brightness: float, contrast: float, saturation: float, tint: float, gamma: float
) -> Tensor:
    """The ``images`` (B, C, H, W), in 0..1, each with colours of its own draw from torch's generator, in 0..1.

    Values are multiplied by 1 up to ``contrast`` more or less, the values of each channel by 1 up to ``tint`` more or
    less; up to ``brightness`` is added; colours move to or from the grey of their pixel by up to ``saturation``; and
    every value is raised to a power whose logarithm is up to ``gamma``.
    """
    rows, channels = images.shape[:2]
    if contrast or tint or brightness:
        factors = (1 + _draw(images, rows, 1, contrast)) * (1 + _draw(images, rows, channels, tint))
        images = images * factors + _draw(images, rows, 1, brightness)
    if saturation:
        grey = sum(images.unbind(1), start=images.new_zeros(())).unsqueeze(1) / channels  # quicker than mean(1)
        images = torch.lerp(grey, images, 1 + _draw(images, rows, 1, saturation))
    if contrast or tint or brightness or saturation:
        images = images.clamp(0, 1)
    return images.pow(torch.exp(_draw(images, rows, 1, gamma))) if gamma else images


def _draw(like: Tensor, rows: int, channels: int, most: float) -> Tensor:
    """(rows, channels, 1, 1), evenly distributed in -most..most."""
    return torch.empty(rows, channels, 1, 1).uniform_(-most, most).to(like)
