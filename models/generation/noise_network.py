"""The U-Net that predicts the noise in an image (DL 25 and 29.2; Ho et al. 2020, arXiv:2006.11239, appendix B)."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, silu

from models.layers.initialisation import start_at_zero
from models.layers.normalisation import build_normalisation

LONGEST = 10_000  # the longest wavelength of a timestep's sinusoids is 2 pi times this


def sinusoids(t: Tensor, width: int) -> Tensor:
    """Sines and cosines (B, width) of timesteps (B,), an even ``width``, of wavelengths from 2 pi up."""
    rates = torch.exp(torch.arange(width // 2, device=t.device) * (-math.log(LONGEST) / (width // 2)))
    angles = t.to(torch.float32).unsqueeze(1) * rates  # (B, width / 2)
    return torch.cat((angles.sin(), angles.cos()), 1)


class Residual(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x))) + W e))), e the embedding of timestep and class."""

    def __init__(self, inputs: int, outputs: int, embedding: int, dropout: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = build_normalisation("group", inputs), build_normalisation("group", outputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.time = nn.Linear(embedding, outputs)
        self.dropout = nn.Dropout(dropout)
        self.shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        start_at_zero(self.conv2)

    def forward(self, x: Tensor, e: Tensor) -> Tensor:
        """(B, inputs, H, W) and (B, embedding) -> (B, outputs, H, W)."""
        y = self.conv1(silu(self.norm1(x))) + self.time(e)[:, :, None, None]
        y = self.conv2(self.dropout(silu(self.norm2(y))))
        after: Tensor = self.shortcut(x) + y
        return after


class Attention(nn.Module):
    """x + W softmax(q k' / sqrt(C)) v over all places, with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = build_normalisation("group", channels)
        self.qkv, self.output = nn.Conv2d(channels, 3 * channels, 1), nn.Conv2d(channels, channels, 1)
        start_at_zero(self.output)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        q, k, v = self.qkv(self.norm(x)).flatten(2).chunk(3, 1)  # (B, C, H W) each
        weights = torch.softmax(q.transpose(1, 2) @ k / math.sqrt(x.shape[1]), 2)  # (B, H W, H W)
        seen = (v @ weights.transpose(1, 2)).unflatten(2, x.shape[2:])  # (B, C, H, W)
        after: Tensor = x + self.output(seen)
        return after


class NoiseNetwork(nn.Module):
    """eps_theta(x_t, t, c): residual blocks on a way down and a way up, with attention at the smallest maps.

    ``widths`` are the maps of each level, the image's size first; each level has ``blocks`` residual blocks on either
    way. ``classes`` are followed by one more label, "no class", for classifier-free guidance.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], *, blocks: int = 1, classes: int = 0, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.divisor = 1 << (len(widths) - 1)
        embedding = 4 * widths[0]
        self.wave = widths[0]
        self.time = nn.Sequential(nn.Linear(self.wave, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.labels = nn.Embedding(classes + 1, embedding) if classes else None
        self.first = nn.Conv2d(channels, widths[0], 3, padding=1)

        def residuals(inputs: int, outputs: int) -> nn.ModuleList:
            sizes = [inputs, *[outputs] * blocks]
            return nn.ModuleList(Residual(*pair, embedding, dropout) for pair in pairwise(sizes))

        below = [widths[0], *widths]
        self.down = nn.ModuleList(residuals(below[n], widths[n]) for n in range(len(widths)))
        self.halve = nn.ModuleList(nn.Conv2d(width, width, 3, stride=2, padding=1) for width in widths[:-1])
        self.middle = residuals(widths[-1], widths[-1])
        self.attention = Attention(widths[-1])
        above = [*widths, widths[-1]]
        self.up = nn.ModuleList(residuals(widths[n] + above[n + 1], widths[n]) for n in range(len(widths)))
        self.norm = build_normalisation("group", widths[0])
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)
        start_at_zero(self.last)

    def forward(self, x: Tensor, t: Tensor, label: Tensor | None = None) -> Tensor:
        """Images (B, C, H, W), timesteps (B,) int64, and labels (B,) int64 if there are classes -> (B, C, H, W)."""
        e = self.time(sinusoids(t, self.wave))  # (B, embedding)
        if self.labels is not None:
            if label is None:
                raise ValueError(f"label is missing; the network has {self.labels.num_embeddings - 1} classes")
            e = e + self.labels(label)
        e = silu(e)
        y, kept = self.first(x), []
        for level, blocks in enumerate(self.down):
            y = _through(blocks, y, e)  # (B, widths[n], H / 2^n, W / 2^n)
            kept.append(y)
            if level < len(self.halve):
                y = self.halve[level](y)
        y = self.attention(_through(self.middle, y, e))
        for level in reversed(range(len(kept))):
            y = _through(self.up[level], torch.cat((kept[level], y), 1), e)  # (B, widths[n], H / 2^n, W / 2^n)
            if level:
                y = interpolate(y, scale_factor=2.0, mode="nearest")
        noise: Tensor = self.last(silu(self.norm(y)))
        return noise


def _through(blocks: nn.Module, y: Tensor, e: Tensor) -> Tensor:
    for block in blocks.children():
        y = block(y, e)
    return y
