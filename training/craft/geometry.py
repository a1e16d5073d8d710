"""Random affine distortions of images, and of masks with them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

Outside = Literal["zeros", "border"]


@dataclass(frozen=True)
class Affine:
    """The most of each distortion: degrees of ``rotation`` and ``shear``, pixels of ``shift``, else fractions.

    ``zoom`` is the least and the most of a factor, ``stretch`` the most change of the ratio of width to height.
    """

    rotation: float
    shear: float
    shift: float
    scale: float
    zoom: tuple[float, float]
    stretch: float

    def grid(self, rows: int, height: int, width: int) -> Tensor:
        """Where each pixel of ``rows`` distorted images comes from, (rows, H, W, 2), drawn from torch's generator."""
        forward, moves = self._draw(rows, height, width)
        half = torch.tensor([width, height]) / 2
        # in = A^-1 (out - t), in units of half a side, as `grid_sample` counts.
        back = torch.linalg.inv(forward)
        there = -(back @ moves[..., None]) / half[:, None]  # (B, 2, 1)
        matrices = torch.cat([back * half / half[:, None], there], 2)  # (B, 2, 3)
        grid: Tensor = affine_grid(matrices, [rows, 1, height, width], align_corners=False)
        return grid

    def _draw(self, rows: int, height: int, width: int) -> tuple[Tensor, Tensor]:
        """The matrices (B, 2, 2) and moves (B, 2) that take a pixel, counted from the centre, to its new place."""

        def draw(least: float, most: float, shape: Sequence[int] = (rows,)) -> Tensor:
            return torch.empty(*shape).uniform_(least, most)

        angle, lean = (torch.deg2rad(draw(-most, most)) for most in (self.rotation, self.shear))
        zoom = torch.exp(draw(math.log(self.zoom[0]), math.log(self.zoom[1]))) * draw(1 - self.scale, 1 + self.scale)
        # Half of the change of the ratio on either axis.
        wider = torch.exp(draw(-1, 1) * math.log1p(self.stretch) / 2)
        factors = torch.stack([zoom * wider, zoom / wider], 1)  # (B, 2) along x and y
        cosine, sine, one, zero = angle.cos(), angle.sin(), torch.ones(rows), torch.zeros(rows)
        turned = torch.stack([cosine, -sine, sine, cosine], 1).view(-1, 2, 2)
        sheared = torch.stack([one, lean.tan(), zero, one], 1).view(-1, 2, 2)
        moves = draw(-self.shift, self.shift, (rows, 2))
        if self.zoom != (1.0, 1.0):
            moves = moves + draw(-1, 1, (rows, 2)) * (factors - 1).abs() / 2 * torch.tensor([width, height])
        return turned @ sheared @ torch.diag_embed(factors), moves


def move(images: Tensor, grid: Tensor, outside: Outside) -> Tensor:
    """The ``images`` (B, C, H, W), bilinearly, moved by a ``grid``; ``outside`` is 0 or continues the edge."""
    return grid_sample(images, grid, mode="bilinear", padding_mode=outside, align_corners=False)


def move_masks(masks: Tensor, grid: Tensor, outside: int) -> Tensor:
    """The ``masks`` (B, H, W) of whole numbers moved by a ``grid``, each pixel the nearest one's or ``outside``."""
    shifted = masks.unsqueeze(1).to(grid.dtype) - outside  # (B, 1, H, W): what comes from outside is 0
    moved = grid_sample(shifted, grid, mode="nearest", padding_mode="zeros", align_corners=False)
    return (moved.squeeze(1) + outside).to(masks.dtype)


def flip(images: Tensor, share: float, masks: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """A ``share`` of the ``images`` (B, C, H, W) mirrored from left to right, and their ``masks`` (B, H, W) alike."""
    chosen = torch.rand(len(images)) < share
    flipped = torch.where(chosen[:, None, None, None].to(images.device), images.flip(3), images)
    if masks is not None:
        masks = torch.where(chosen[:, None, None].to(masks.device), masks.flip(2), masks)
    return flipped, masks
