"""PixelCNN with masked convolutions (DL 26.1; van den Oord et al. 2016, arXiv:1601.06759)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from models.generation.autoregressive import Pixel, PixelModel, State, build_labels, over_maps, shift_of
from models.generation.levels import centre
from models.generation.raster import apply_point, apply_window, causal_offsets, columns, inside, places, push
from models.variant import Variant


class MaskedConvolution(nn.Conv2d):
    """A convolution that sees only pixels before its own (mask A), or also its own (mask B); the size is kept.

    The weights that the mask excludes are stored, and multiplied by 0 (section 3.4).
    """

    mask: Tensor

    def __init__(self, kind: str, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__(inputs, outputs, kernel, padding=kernel // 2)
        self.offsets = causal_offsets(kernel, centre=kind == "B")
        mask = (torch.arange(kernel * kernel) < len(self.offsets)).to(torch.float32)
        self.register_buffer("mask", mask.reshape(kernel, kernel), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, K, H, W)."""
        return conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class Block(nn.Module):
    """y + expand(relu(masked(relu(reduce(relu(y)))))): 2 h maps, with h inside (figure 5)."""

    def __init__(self, h: int, kernel: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(2 * h, h, 1)
        self.masked = MaskedConvolution("B", h, h, kernel)
        self.expand = nn.Conv2d(h, 2 * h, 1)

    def forward(self, y: Tensor) -> Tensor:
        """(B, 2 h, H, W) -> (B, 2 h, H, W)."""
        z = self.reduce(y.relu()).relu()  # (B, h, H, W)
        after: Tensor = y + self.expand(self.masked(z).relu())
        return after

    def step(self, y: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """One place: y (B, 2 h), and what the window covers before it (B, T - 1, h) -> y after, and this place's z."""
        z = apply_point(self.reduce, y.relu()).relu()  # (B, h)
        window = torch.cat((before, z.unsqueeze(1)), 1)  # (B, T, h)
        return y + apply_point(self.expand, apply_window(self.masked, window).relu()), z


class PixelCNN(PixelModel):
    """A convolution with mask A, residual blocks with mask B, and two 1x1 convolutions (table 1).

    y_1 = A(x) + l, y_(k+1) = y_k + block(y_k), logits = W_2 relu(W_1 relu(y_L)); l is a vector for each class.

    Stacked square masks never see some pixels above and to the right, however many there are: the blind spot, which
    `GatedPixelCNN` has not.

    Raises:
        ValueError: a pixel cannot have so many ``levels``.
    """

    taps: Tensor
    first_taps: Tensor
    across: Tensor
    first_across: Tensor

    def __init__(
        self,
        size: Sequence[int] = (28, 28),
        levels: int = 2,
        *,
        h: int = 32,
        blocks: int = 7,
        kernel: int = 3,
        first_kernel: int = 7,
        hidden: int = 64,
        classes: int = 0,
    ) -> None:
        super().__init__((size[0], size[1]), levels, classes)
        self.h = h
        self.first = MaskedConvolution("A", 1, 2 * h, first_kernel)
        self.labels = build_labels(classes, 2 * h)
        self.blocks = nn.ModuleList(Block(h, kernel) for _ in range(blocks))
        self.hidden, self.score = nn.Conv2d(2 * h, hidden, 1), nn.Conv2d(hidden, self.outputs, 1)
        self._lay_out(kernel, first_kernel)

    def _lay_out(self, kernel: int, first_kernel: int) -> None:
        """Where the windows are in the lines, which hold the places before the one that is computed."""
        width = self.size[1]
        self.long, self.first_long = ((side // 2) * (width + 1) for side in (kernel, first_kernel))
        before, first = causal_offsets(kernel, centre=False), self.first.offsets
        for name, values in (
            ("taps", places(before, width, self.long)),
            ("across", columns(before)),
            ("first_taps", places(first, width, self.first_long)),
            ("first_across", columns(first)),
        ):
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """See `PixelModel`."""
        y = self.first(x) + over_maps(shift_of(self.labels, label))  # (B, 2 h, H, W)
        for block in self.blocks:
            y = block(y)
        logits: Tensor = self.score(self.hidden(y.relu()).relu())  # (B, K, H, W)
        return logits

    @property
    def lines(self) -> Mapping[str, tuple[int, ...]]:
        """The pixels that the first window may still cover, and the z of all blocks likewise."""
        return {"pixels": (self.first_long, 1), "before": (self.long, len(self.blocks), self.h)}

    def step(self, pixel: Tensor, position: Tensor, state: State, label: Tensor | None = None) -> Pixel:
        """See `PixelModel`."""
        width = self.size[1]
        column = position % width  # (B,)
        x = centre(pixel, self.levels) * (position > 0)  # (B,); before the first pixel there is nothing
        pixels = push(state["pixels"], x.unsqueeze(1))  # (B, D, 1)
        window = pixels.index_select(1, self.first_taps) * inside(column, self.first_across, width).unsqueeze(2)
        y = apply_window(self.first, window) + shift_of(self.labels, label)  # (B, T, 1) -> (B, 2 h)
        seen = inside(column, self.across, width)[:, :, None, None]
        covered = state["before"].index_select(1, self.taps) * seen  # (B, T - 1, blocks, h)
        zs = []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, Block)
            y, z = block.step(y, covered[:, :, number])
            zs.append(z)
        logits = apply_point(self.score, apply_point(self.hidden, y.relu()).relu())  # (B, K)
        return Pixel(logits, {"pixels": pixels, "before": push(state["before"], torch.stack(zs, 1))})


def _row(name: str, title: str, config: Mapping[str, object], parameters: int, macs: int) -> Variant:
    return Variant(
        name=name,
        family=PixelCNN,
        config=config,
        input_shape=(1, 28, 28),
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="DL 26.1, PixelCNN; van den Oord et al. 2016",
        description="Each pixel is drawn given those before it: masks hide the others from every convolution. Stacked "
        "masks leave a blind spot above and to the right.",
    )


VARIANTS = (
    _row("pixelcnn", "PixelCNN, black and white", {"levels": 2}, 101_505, 78_776_320),
    _row("pixelcnn-256", "PixelCNN, 256 levels", {"levels": 256}, 118_080, 91_571_200),
)
