"""Random distortions of a batch of images in one resampling (I2DL VIII.1; elastic: Simard et al. 2003)."""

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from training.recipe import Augmentation

CONTROL_POINTS = 5


def augment(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Each image (B, 1, H, W) moved, turned, sheared, scaled and bent by its own draw; outside lies 0.

    All randomness comes from ``generator`` (on the CPU), so the same one gives the same images on any device.
    """
    if how == Augmentation():
        return images
    grid = affine_grid(_affine(images, how, generator), list(images.shape), align_corners=False)  # (B, H, W, 2)
    if how.elastic:
        grid = grid + _elastic(images, how.elastic, generator)
    return grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def _affine(images: Tensor, how: Augmentation, generator: torch.Generator) -> Tensor:
    """Matrices (B, 2, 3) from output to input coordinates, both -1..1 across the image."""
    batch, _, height, width = images.shape
    draws = torch.rand(5, batch, generator=generator) * 2 - 1  # (5, B)
    angle, shear = torch.deg2rad(draws[0] * how.rotation), torch.deg2rad(draws[1] * how.shear)
    scale = 1 + draws[2] * how.scale
    row_x = torch.stack([angle.cos(), -angle.sin() + shear.tan(), 2 * how.shift / width * draws[3]], 1)  # (B, 3)
    row_y = torch.stack([angle.sin(), angle.cos(), 2 * how.shift / height * draws[4]], 1)  # (B, 3)
    matrix = torch.stack([row_x, row_y], 1)  # (B, 2, 3)
    matrix[:, :, :2] *= scale[:, None, None]
    return matrix.to(images)


def _elastic(images: Tensor, pixels: float, generator: torch.Generator) -> Tensor:
    """A smooth displacement field (B, H, W, 2): normal draws at a few control points, cubic between them."""
    batch, _, height, width = images.shape
    points = torch.randn(batch, 2, CONTROL_POINTS, CONTROL_POINTS, generator=generator)
    field = interpolate(points.to(images), (height, width), mode="bicubic", align_corners=True)  # (B, 2, H, W)
    unit = torch.tensor([2 * pixels / width, 2 * pixels / height]).to(images)
    return field.permute(0, 2, 3, 1) * unit  # (B, 2, H, W) -> (B, H, W, 2)
