"""U-Net (I2DL X.8; DL 25; MP 6; Ronneberger et al. 2015, arXiv:1505.04597)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.layers.initialisation import initialise
from models.layers.sequence import sequence
from models.layers.upsampling import Upsampling
from models.segmentation.encoder import Encoder, convolutions
from models.segmentation.segmenter import Segmenter
from models.variant import Variant


class UNet(Segmenter):
    """A contracting and an expanding path; each level of the second also sees the maps of the first at its size.

    y_n = convolutions([maps_n, up(y_{n+1})]), from the smallest maps up. ``widths`` gives the maps of each level's
    convolutions, the image's size first; ``bottom`` those below the last pooling. Unlike the paper's, convolutions keep
    the size, so the mask is as large as the image.

    Raises:
        KeyError: there is no such upsampling.
        ValueError: as `Encoder`.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        bottom: Sequence[int],
        classes: int = 11,
        *,
        channels: int = 3,
        upsampling: str = "transposed",
        normalisation: str = "batch",
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(widths, channels, normalisation, spatial_dropout)
        self.divisor = 1 << len(widths)
        self.bottom = sequence(convolutions(widths[-1][-1], bottom, normalisation))
        self.upsampling, self.decoder = nn.ModuleList(), nn.ModuleList()
        below = bottom[-1]
        for level in reversed(widths):
            self.upsampling.append(Upsampling(upsampling, below, level[-1]))
            self.decoder.append(sequence(convolutions(2 * level[-1], level, normalisation)))
            below = level[-1]
        self.score = nn.Conv2d(below, classes, 1)
        initialise(self, initialisation)
        # Scores that all begin near 0 are alike, and then the maps learn only slowly what tells classes apart.
        self.score.reset_parameters()

    def scores(self, x: Tensor) -> Tensor:
        """See `Segmenter`."""
        encoded = self.encoder(x)
        y = self.bottom(encoded.halved[-1])  # (B, bottom, h, w)
        levels = zip(self.upsampling, self.decoder, reversed(encoded.maps), reversed(encoded.places), strict=True)
        for up, decode, maps, places in levels:
            y = up(y, places)  # (B, K, 2 h, 2 w), as many maps as the encoder has at this level
            y = decode(torch.cat((maps, y), 1))  # (B, 2 K, 2 h, 2 w) -> (B, K, 2 h, 2 w)
        logits: Tensor = self.score(y)  # (B, classes, H, W)
        return logits


def _row(
    name: str,
    title: str,
    config: dict[str, object],
    shape: tuple[int, int, int],
    parameters: int,
    macs: int,
) -> Variant:
    return Variant(
        name=name,
        family=UNet,
        config=config,
        input_shape=shape,
        parameters=parameters,
        macs=macs,
        title=title,
        lecture="I2DL X.8, DL 25, MP 6, U-Net; Ronneberger et al. 2015",
        description="The way down learns what there is, the way up where it is: each level of the decoder sees the "
        "encoder's maps of its own size beside those that were upsampled.",
    )


VARIANTS = (
    _row(
        "unet",
        "U-Net",
        {"widths": ((16, 16), (32, 32), (64, 64), (128, 128)), "bottom": (192, 192), "classes": 11},
        (3, 180, 240),
        1_579_291,
        2_073_968_640,
    ),
    # Few classes of objects that differ little: less width is enough.
    _row(
        "unet-small",
        "U-Net, small",
        {"widths": ((16, 16), (32, 32), (64, 64)), "bottom": (96, 96), "classes": 2},
        (3, 256, 256),
        392_130,
        2_227_175_424,
    ),
    _row(
        "unet-64",
        "U-Net, grey",
        {"widths": ((16, 16), (32, 32), (64, 64)), "bottom": (96, 96), "classes": 11, "channels": 1},
        (1, 64, 64),
        391_995,
        138_608_640,
    ),
)
