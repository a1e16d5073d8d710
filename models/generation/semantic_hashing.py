"""Semantic hashing: images as short binary codes (DL 20.2; Salakhutdinov and Hinton 2009, Int. J. Approx. Reason.)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.generation.dense import dense, log_bernoulli
from models.layers.initialisation import initialise
from models.variant import Variant

BINARISATIONS = ("noise", "straight_through")


class SemanticHashing(nn.Module):
    """An autoencoder whose code is of ``bits``, so that near images differ in few of them: their Hamming distance.

    a = f(x), b = [a > 0], and r = g(code). How the code is made binary, though a step has no gradient, is
    ``binarisation``: with ``noise``, the code is sigmoid(a + deviation eps), and only values far from 0 get through the
    noise (the paper's section 3); with ``straight_through`` it is b, and the gradient that of sigmoid(a) (Bengio et
    al. 2013, arXiv:1308.3432). Pixels are in 0..1.

    Raises:
        KeyError: there is no such binarisation.
        ValueError: the bits do not fill bytes.
    """

    powers: Tensor

    def __init__(
        self,
        bits: int = 32,
        hidden: Sequence[int] = (512, 256),
        shape: Sequence[int] = (1, 28, 28),
        *,
        binarisation: str = "noise",
        deviation: float = 4.0,
        activation: str = "relu",
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        if binarisation not in BINARISATIONS:
            raise KeyError(f"no binarisation {binarisation!r}; there are {', '.join(BINARISATIONS)}")
        if bits < 8 or bits % 8:
            raise ValueError(f"bits is {bits}; codes are stored in whole bytes, so it is a multiple of 8")
        self.bits, self.shape, self.binarisation, self.deviation = bits, tuple(shape), binarisation, deviation
        down, up = (math.prod(shape), *hidden), (bits, *reversed(hidden))
        self.encoder = nn.Sequential(*dense(down, activation), nn.Linear(down[-1], bits))
        self.decoder = nn.Sequential(*dense(up, activation), nn.Linear(up[-1], down[0]))
        initialise(self, initialisation)
        self.register_buffer("powers", 2 ** torch.arange(7, -1, -1), persistent=False)  # the first bit is the highest

    def forward(self, x: Tensor, eps: Tensor) -> Tensor:
        """How well codes tell their images (B, C, H, W): log p(x | code) (B,) in nats, less is the loss.

        ``eps`` (B, bits), standard normal, is the noise before the sigmoid; ``straight_through`` has none.
        """
        return log_bernoulli(x, self.logits(self.soft_code(self.encoder(x.flatten(1)), eps)))

    def soft_code(self, a: Tensor, eps: Tensor) -> Tensor:
        """The code (B, bits) that gradients pass, of the values ``a`` (B, bits) before it."""
        if self.binarisation == "noise":
            return (a + self.deviation * eps).sigmoid()
        p = a.sigmoid()
        return p + ((a > 0).to(p.dtype) - p).detach()

    def logits(self, code: Tensor) -> Tensor:
        """Logits (B, C, H, W) of the pixels for codes (B, bits) of 0..1."""
        pixels: Tensor = self.decoder(code)
        return pixels.reshape(-1, *self.shape)

    def encode(self, x: Tensor) -> Tensor:
        """The code (B, bits) of 0 and 1, float32, of images (B, C, H, W)."""
        a: Tensor = self.encoder(x.flatten(1))
        return (a > 0).to(x.dtype)

    def decode(self, code: Tensor) -> Tensor:
        """Images (B, C, H, W) in 0..1 of codes (B, bits)."""
        return self.logits(code).sigmoid()

    def pack(self, x: Tensor) -> Tensor:
        """The code of images (B, C, H, W) in bytes, uint8 (B, bits / 8), as numpy.packbits packs it."""
        octets = self.encode(x).reshape(-1, self.bits // 8, 8).to(torch.int64)  # (B, bits / 8, 8)
        return (octets * self.powers).sum(2).to(torch.uint8)

    def examples(self, rows: int) -> dict[str, Tensor]:
        """The arguments of `forward` for ``rows`` images of 0."""
        return {"x": torch.zeros(rows, *self.shape), "eps": torch.zeros(rows, self.bits)}


VARIANTS = tuple(
    Variant(
        name=name,
        family=SemanticHashing,
        config={"bits": 32, "hidden": (512, 256), "shape": (1, 28, 28), "binarisation": binarisation},
        input_shape=(1, 28, 28),
        parameters=1_083_696,
        macs=1_081_344,
        title=f"Semantic hashing, 32 bits{of}",
        lecture="DL 20.2, Information Retrieval; Salakhutdinov and Hinton 2009",
        description="An autoencoder with a code of bits: similar images have codes that differ in few of them, and a "
        "search compares four bytes instead of an image.",
    )
    for name, binarisation, of in (
        ("semantic-hashing", "noise", ""),
        ("semantic-hashing-ste", "straight_through", ", straight-through"),
    )
)
