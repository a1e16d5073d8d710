"""RealNVP (DL 28; Dinh et al. 2017, arXiv:1605.08803)."""

from collections.abc import Sequence

from models.generation.bijection import ActNorm, Bijection, Chain, Squeeze
from models.generation.coupling import AffineCoupling, CheckerboardCoupling, Conditioner, residual_conditioner
from models.generation.flow import Flow, Scale, build_pixels
from models.variant import Variant


class RealNVP(Flow):
    """``scales`` scales: three checkerboard couplings, a squeeze, three couplings of channels; half of them goes on.

    The last scale has four checkerboard couplings (section 3.6). Each coupling is followed by an `ActNorm` where the
    paper has a batch normalisation: it keeps the same variance, and a row's likelihood does not depend on its batch.
    ``width`` and ``blocks`` are those of the conditioners' residual networks.

    Raises:
        KeyError: there is no such ``pixels``.
        ValueError: the sides cannot be halved so often.
    """

    def __init__(
        self,
        shape: Sequence[int] = (1, 32, 32),
        *,
        scales: int = 3,
        width: int = 32,
        blocks: int = 2,
        pixels: str = "logit",
    ) -> None:
        channels, height, side = shape
        check_sides(shape, scales - 1)
        conditioner = residual_conditioner(width, blocks)
        built = []
        for _ in range(scales - 1):
            body = _checkerboards(3, channels, height, side, conditioner)
            channels, height, side = 4 * channels, height // 2, side // 2
            body.append(Squeeze())
            for number in range(3):
                body += [AffineCoupling(channels, conditioner, second=number % 2 == 1), ActNorm(channels)]
            built.append(Scale(Chain(body), (channels, height, side), channels // 2))
            channels //= 2
        body = _checkerboards(4, channels, height, side, conditioner)
        built.append(Scale(Chain(body), (channels, height, side), 0))
        super().__init__(shape, build_pixels(pixels), built)


def _checkerboards(count: int, channels: int, height: int, width: int, conditioner: Conditioner) -> list[Bijection]:
    layers: list[Bijection] = []
    for number in range(count):
        coupling = CheckerboardCoupling(channels, height, width, conditioner, odd=number % 2 == 1)
        layers += [coupling, ActNorm(channels)]
    return layers


def check_sides(shape: Sequence[int], halvings: int) -> None:
    """Raise ValueError unless height and width of ``shape`` (C, H, W) can be halved so often."""
    if any(side % (1 << halvings) for side in shape[1:]):
        raise ValueError(
            f"shape is {tuple(shape)}; height and width must be multiples of {1 << halvings} to be halved {halvings} "
            "times"
        )


VARIANTS = (
    Variant(
        name="realnvp",
        family=RealNVP,
        config={"shape": (1, 32, 32)},
        input_shape=(1, 32, 32),
        parameters=629_787,
        macs=193_241_088,
        title="RealNVP",
        lecture="DL 28, Normalizing Flows; Dinh et al. 2017",
        description="Couplings by checkerboards and by channels, on maps that are halved from scale to scale; half of "
        "the values leaves at each scale as noise.",
    ),
)
