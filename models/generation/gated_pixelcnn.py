"""Gated PixelCNN: two stacks, no blind spot (DL 26.1; van den Oord et al. 2016, arXiv:1606.05328)."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from models.generation.autoregressive import Pixel, PixelModel, State
from models.generation.gated_layer import GatedLayer
from models.generation.levels import centre
from models.generation.raster import apply_point, columns, inside, places, push, upper_offsets
from models.variant import Variant


class GatedPixelCNN(PixelModel):
    """``layers`` gated layers, the first on the pixels, and logits = W_2 relu(W_1 relu(h_L)).

    In `step`, the horizontal stack is at position i, and the vertical stack of the last layer L at i - W, the place
    above. A window of the vertical stack reaches m columns to the right, so each layer is m places ahead of the next:
    layer k is at i - W + m (L - k). Even the first is then behind the pixel that was chosen last, and what layer k
    finds waits m (L - k) steps until the horizontal stack is below it.

    Raises:
        ValueError: ``levels`` or ``layers`` is out of range, or the images are too narrow for so many layers.
    """

    ahead: Tensor  # (L,), of the last layer's vertical stack
    taps: Tensor
    up: Tensor
    left: Tensor
    first_taps: Tensor
    first_up: Tensor
    first_left: Tensor

    def __init__(
        self,
        size: Sequence[int] = (28, 28),
        levels: int = 2,
        *,
        p: int = 32,
        layers: int = 8,
        kernel: int = 3,
        first_kernel: int = 7,
        hidden: int = 64,
        classes: int = 0,
    ) -> None:
        super().__init__((size[0], size[1]), levels, classes)
        if layers < 2:
            raise ValueError(f"layers is {layers}; there must be at least 2")
        self.p, self.m, self.first_m = p, kernel // 2, first_kernel // 2
        first = GatedLayer(1, p, first_kernel, classes, first=True)
        others = (GatedLayer(p, p, kernel, classes, first=False) for _ in range(layers - 1))
        self.layers = nn.ModuleList((first, *others))
        self.hidden, self.score = nn.Conv2d(p, hidden, 1), nn.Conv2d(hidden, self.outputs, 1)
        self._lay_out()

    def _lay_out(self) -> None:
        """How long the lines are, and where the windows are in them."""
        width, m, first_m = self.size[1], self.m, self.first_m
        self.most = m * (len(self.layers) - 1)
        if self.most + first_m >= width:
            raise ValueError(
                f"images are {width} pixels wide; {len(self.layers)} layers with kernels of {2 * first_m + 1} and "
                f"{2 * m + 1} need at least {self.most + first_m + 1}"
            )
        # The line of pixels ends at i - 1; another vertical one ends before what the layer below finds in this step.
        self.first_long, self.long = (first_m + 1) * width + first_m - self.most, m * width + 2 * m
        first_window, window = upper_offsets(2 * first_m + 1), upper_offsets(2 * m + 1)
        for name, values in (
            ("ahead", torch.arange(len(self.layers) - 1, -1, -1) * m),
            ("first_taps", places(first_window, width, self.first_long - width + self.most)),
            ("first_up", columns(first_window)),
            ("first_left", torch.arange(-first_m, 0)),
            ("taps", places(window[:-1], width, self.long - m)),
            ("up", columns(window)),
            ("left", torch.arange(-m, 0)),
        ):
            self.register_buffer(name, values, persistent=False)

    def forward(self, x: Tensor, label: Tensor | None = None) -> Tensor:
        """See `PixelModel`."""
        v = h = x
        for layer in self._each():
            v, h = layer(v, h, label)  # (B, p, H, W) each
        logits: Tensor = self.score(self.hidden(h.relu()).relu())  # (B, K, H, W)
        return logits

    @property
    def lines(self) -> Mapping[str, tuple[int, ...]]:
        """The pixels; what the layers after the first get, v and h; and a, of the layers before the last."""
        others = len(self.layers) - 1
        return {
            "pixels": (self.first_long, 1),
            "vertical": (self.long, others, self.p),
            "horizontal": (self.m, others, self.p),
            "waiting": (self.most, others, 2 * self.p),
        }

    def step(self, pixel: Tensor, position: Tensor, state: State, label: Tensor | None = None) -> Pixel:
        """See `PixelModel`."""
        x = centre(pixel, self.levels) * (position > 0)  # (B,); before the first pixel there is nothing
        pixels = push(state["pixels"], x.unsqueeze(1))  # (B, D, 1)
        above, vertical, waiting = self._up(pixels, position, state, label)
        h, horizontal = self._left(pixels, position, state["horizontal"], above, label)
        logits = apply_point(self.score, apply_point(self.hidden, h.relu()).relu())  # (B, p) -> (B, K)
        return Pixel(logits, {"pixels": pixels, "vertical": vertical, "horizontal": horizontal, "waiting": waiting})

    def _up(
        self, pixels: Tensor, position: Tensor, state: State, label: Tensor | None
    ) -> tuple[list[Tensor], Tensor, Tensor]:
        """The a of each layer above this position, (B, 2 p) each, and the next ``vertical`` and ``waiting``."""
        width = self.size[1]
        place = position.unsqueeze(1) - width + self.ahead  # (B, L)
        exists = (place >= 0).to(torch.float32)  # above the image everything is 0
        column = place % width
        window = pixels.index_select(1, self.first_taps) * inside(column[:, 0], self.first_up, width).unsqueeze(2)
        seen = inside(column[:, 1:], self.up, width).transpose(1, 2).unsqueeze(3)  # (B, T, L - 1, 1)
        covered = state["vertical"].index_select(1, self.taps) * seen[:, :-1]  # (B, T - 1, L - 1, p)
        above: list[Tensor] = []
        vs: list[Tensor] = []
        found: list[Tensor] = []
        for number, layer in enumerate(self._each()):
            if number:
                newest = (vs[-1] * seen[:, -1, number - 1]).unsqueeze(1)  # (B, 1, p)
                window = torch.cat((covered[:, :, number - 1], newest), 1)  # (B, T, p)
            a, v = (each * exists[:, number, None] for each in layer.up_step(window, label))
            vs.append(v)
            found.append(a)
            above.append(state["waiting"][:, self.m * number, number] if number < len(self.layers) - 1 else a)
        vertical = push(state["vertical"], torch.stack(vs[:-1], 1))
        return above, vertical, push(state["waiting"], torch.stack(found[:-1], 1))

    def _left(
        self, pixels: Tensor, position: Tensor, before: Tensor, above: Sequence[Tensor], label: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """The last layer's h (B, p) at this position, and the next ``horizontal``."""
        width = self.size[1]
        column = position % width  # (B,)
        window = pixels[:, -self.first_m :] * inside(column, self.first_left, width).unsqueeze(2)  # (B, first_m, 1)
        covered = before * inside(column, self.left, width)[:, :, None, None]  # (B, m, L - 1, p)
        hs: list[Tensor] = []
        for number, layer in enumerate(self._each()):
            if number:
                window = torch.cat((covered[:, :, number - 1], hs[-1].unsqueeze(1)), 1)  # (B, m + 1, p)
            hs.append(layer.left_step(window, above[number], label))
        return hs[-1], push(before, torch.stack(hs[:-1], 1))

    def _each(self) -> Iterator[GatedLayer]:
        for layer in self.layers:
            assert isinstance(layer, GatedLayer)
            yield layer


def _row(name: str, title: str, config: Mapping[str, object], parameters: int, macs: int) -> Variant:
    return Variant(
        name=name,
        family=GatedPixelCNN,
        config=config,
        input_shape=(1, 28, 28),
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="DL 26.1, PixelCNN, horizontal and vertical stack; van den Oord et al. 2016",
        description="Each pixel is drawn given those before it. One stack sees all rows above, the other the pixels to "
        "the left, so there is no blind spot; gates take the place of rectifiers.",
    )


VARIANTS = (
    _row("gated-pixelcnn", "Gated PixelCNN, black and white", {"levels": 2}, 161_089, 125_239_296),
    _row(
        "gated-pixelcnn-256",
        "Gated PixelCNN, 256 levels, by class",
        {"levels": 256, "classes": 10},
        187_904,
        138_034_176,
    ),
)
