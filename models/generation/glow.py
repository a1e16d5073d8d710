"""Glow (DL 28.3; Kingma and Dhariwal 2018, arXiv:1807.03039)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from models.generation.bijection import ActNorm, Bijection, Chain, Mapped, Squeeze
from models.generation.coupling import AffineCoupling, plain_conditioner
from models.generation.flow import Flow, Scale, build_pixels
from models.generation.realnvp import check_sides
from models.variant import Variant


class InvertibleConvolution(Bijection):
    """A 1x1 convolution, a learnt permutation of the channels: y = W x at each place, W = P L (U + diag(s)).

    P is a fixed permutation, L lower triangular with ones on its diagonal, U strictly upper triangular, and the signs
    of s stay, so log|det| = H W sum log|s| (section 3.2). W starts as a random rotation.
    """

    p: Tensor
    sign: Tensor
    inverted: Tensor | None

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation = torch.linalg.qr(torch.randn(channels, channels, device="cpu"))[0]
        p, lower, upper = (each.to(torch.get_default_device()) for each in torch.linalg.lu(rotation))
        s = upper.diagonal()
        self.lower, self.upper = nn.Parameter(lower.tril(-1)), nn.Parameter(upper.triu(1))
        self.log_s = nn.Parameter(s.abs().log())
        self.register_buffer("p", p)
        self.register_buffer("sign", s.sign())
        self.inverted = None

    @property
    def weight(self) -> Tensor:
        """W, (C, C)."""
        one = torch.eye(len(self.sign), dtype=self.p.dtype, device=self.p.device)
        return self.p @ (self.lower.tril(-1) + one) @ (self.upper.triu(1) + torch.diag(self.sign * self.log_s.exp()))

    def freeze(self) -> None:
        """Keep the inverse of W as it is now: ONNX has no operator for it. Later changes of W have no effect on it."""
        self.inverted = torch.linalg.inv(self.weight.detach().double()).to(self.p.dtype)

    def forward(self, x: Tensor) -> Mapped:
        """(B, C, H, W) -> (B, C, H, W); see `Bijection`."""
        volume = self.log_s.sum() * (x.shape[2] * x.shape[3])
        return conv2d(x, self.weight[:, :, None, None]), volume.expand(x.shape[0])

    def inverse(self, y: Tensor) -> Tensor:
        """See `Bijection`."""
        back = torch.linalg.inv(self.weight) if self.inverted is None else self.inverted
        return conv2d(y, back[:, :, None, None])


class Glow(Flow):
    """``levels`` times a squeeze and ``steps`` steps of flow; half of the channels goes on (figure 2).

    A step is an activation normalisation, an invertible 1x1 convolution and an affine coupling. ``width`` is that of
    the conditioners.

    Raises:
        KeyError: there is no such ``pixels``.
        ValueError: the sides cannot be halved so often.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 32, 32),
        *,
        levels: int = 3,
        steps: int = 8,
        width: int = 64,
        pixels: str = "logit",
    ) -> None:
        channels, height, side = shape
        check_sides(shape, levels)
        built = []
        for level in range(levels):
            channels, height, side = 4 * channels, height // 2, side // 2
            body: list[Bijection] = [Squeeze()]
            for _ in range(steps):
                coupling = AffineCoupling(channels, plain_conditioner(width))
                body += [ActNorm(channels), InvertibleConvolution(channels), coupling]
            goes_on = channels // 2 if level < levels - 1 else 0
            built.append(Scale(Chain(body), (channels, height, side), goes_on, prior=True))
            channels = goes_on
        super().__init__(shape, build_pixels(pixels), built)


VARIANTS = (
    Variant(
        name="glow",
        family=Glow,
        config={"shape": (1, 32, 32)},
        input_shape=(1, 32, 32),
        parameters=301_668,
        macs=23_606_272,
        title="Glow",
        lecture="DL 28.3, coupling layers with 1x1 convolutions; Kingma and Dhariwal 2018",
        description="A flow that learns how to mix its channels: an invertible 1x1 convolution before each coupling in "
        "place of a fixed order.",
    ),
)
