"""Fully convolutional network (I2DL X.8; Long et al. 2015, arXiv:1411.4038)."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.initialisation import initialise
from models.layers.upsampling import INTERPOLATIONS, Interpolation, bilinear_convolution
from models.segmentation.encoder import Encoder
from models.segmentation.segmenter import Segmenter
from models.variant import Variant

STRIDES = (8, 16, 32)


class FCN(Segmenter):
    """A classifier whose full connections are 1x1 convolutions, so that it scores every place of the last maps.

    logits = up(scores), scores = score(fc(pool5)) at a 32nd of the size. With ``stride`` 16 the scores are doubled and
    those of pool4 are added, with 8 this is done again with those of pool3: the shallow maps know where, the deep ones
    know what. ``upsampling`` is ``transposed``, a convolution for each class that starts as bilinear interpolation and
    learns, or an interpolation.

    Raises:
        KeyError: there is no such upsampling of scores.
        ValueError: ``stride`` is not 8, 16 or 32, or there are not five stages; or as `Encoder`.
    """

    divisor = 32

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        hidden: int,
        classes: int = 11,
        stride: int = 8,
        *,
        channels: int = 3,
        upsampling: str = "transposed",
        normalisation: str = "batch",
        dropout: float = 0.5,
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(widths, channels, normalisation, spatial_dropout)
        if stride not in STRIDES or len(widths) != 5:
            raise ValueError(f"stride is {stride} with {len(widths)} stages; it is 8, 16 or 32, with 5 stages")
        self.stride = stride
        *_, third, fourth, fifth = self.encoder.widths
        self.fc6 = nn.Sequential(nn.Conv2d(fifth, hidden, 1), nn.ReLU(), nn.Dropout2d(dropout))
        self.fc7 = nn.Sequential(nn.Conv2d(hidden, hidden, 1), nn.ReLU(), nn.Dropout2d(dropout))
        self.score = nn.Conv2d(hidden, classes, 1)
        self.score_pool4 = nn.Conv2d(fourth, classes, 1) if stride <= 16 else None
        self.score_pool3 = nn.Conv2d(third, classes, 1) if stride <= 8 else None
        initialise(self, initialisation)
        self.double4 = build_score_upsampling(upsampling, classes, 2) if stride <= 16 else None
        self.double3 = build_score_upsampling(upsampling, classes, 2) if stride <= 8 else None
        self.up = build_score_upsampling(upsampling, classes, stride)
        # The sum of scores starts at 0, as the paper's does.
        for layer in (self.score, self.score_pool4, self.score_pool3):
            if layer is not None:
                nn.init.zeros_(layer.weight)

    def scores(self, x: Tensor) -> Tensor:
        """See `Segmenter`."""
        pools = self.encoder(x).halved  # (B, widths[n], H / 2^n, W / 2^n), n = 1..5
        x = self.score(self.fc7(self.fc6(pools[4])))  # (B, classes, H / 32, W / 32)
        if self.score_pool4 is not None and self.double4 is not None:
            x = self.double4(x) + self.score_pool4(pools[3])  # (B, classes, H / 16, W / 16)
        if self.score_pool3 is not None and self.double3 is not None:
            x = self.double3(x) + self.score_pool3(pools[2])  # (B, classes, H / 8, W / 8)
        logits: Tensor = self.up(x)  # (B, classes, H, W)
        return logits


def build_score_upsampling(name: str, classes: int, factor: int) -> nn.Module:
    """Upsamples scores (B, classes, H, W) by ``factor``.

    Raises:
        KeyError: there is none of that name; bed of nails and max-unpooling would leave pixels without scores.
    """
    if name == "transposed":
        return bilinear_convolution(classes, factor)
    if name in INTERPOLATIONS:
        return Interpolation(name, factor)
    raise KeyError(f"no upsampling of scores {name!r}; there are {', '.join(INTERPOLATIONS)}, transposed")


def _row(stride: int, parameters: int, macs: int) -> Variant:
    return Variant(
        name=f"fcn{stride}s",
        family=FCN,
        config={
            "widths": ((24, 24), (48, 48), (96, 96), (128, 128), (160, 160)),
            "hidden": 256,
            "classes": 11,
            "stride": stride,
        },
        input_shape=(3, 180, 240),
        parameters=parameters,
        macs=macs,
        title=f"FCN-{stride}s",
        lecture="I2DL X.8, Fully Convolutional Network; Long et al. 2015",
        description="A classifier without its grid: 1x1 convolutions score every place, and the scores are upsampled "
        + ("to the image." if stride == 32 else "in steps, with the scores of finer maps added at each."),
    )


VARIANTS = (_row(32, 991_747, 1_336_283_136), _row(16, 959_550, 1_336_561_920), _row(8, 952_345, 1_337_406_720))
