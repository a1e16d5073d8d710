"""SegNet (MP 6; Badrinarayanan et al. 2015, arXiv:1511.00561)."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.layers.initialisation import initialise
from models.layers.sequence import sequence
from models.layers.upsampling import Upsampling
from models.segmentation.encoder import Encoder, convolutions
from models.segmentation.segmenter import Segmenter
from models.variant import Variant


class SegNet(Segmenter):
    """An encoder, and its mirror image that puts every value back where the encoder's pooling took the maximum from.

    y = convolutions(unpool(x, places)) at each stage, the smallest maps first. Only the places of the maxima cross from
    encoder to decoder, not the maps. ``upsampling`` may be another one; then nothing crosses.

    Raises:
        KeyError: there is no such upsampling.
        ValueError: as `Encoder`.
    """

    def __init__(
        self,
        widths: Sequence[Sequence[int]],
        classes: int = 11,
        *,
        channels: int = 3,
        upsampling: str = "max_unpooling",
        normalisation: str = "batch",
        spatial_dropout: float = 0.0,
        initialisation: str = "he",
    ) -> None:
        super().__init__()
        self.encoder = Encoder(widths, channels, normalisation, spatial_dropout)
        self.divisor = 1 << len(widths)
        self.upsampling, self.decoder = nn.ModuleList(), nn.ModuleList()
        for number, stage in reversed(list(enumerate(widths))):
            below = widths[number - 1][-1] if number else widths[0][0]  # the maps that this stage began with
            self.upsampling.append(Upsampling(upsampling, stage[-1], stage[-1]))
            self.decoder.append(sequence(convolutions(stage[-1], [*stage[:-1], below], normalisation)))
        self.score = nn.Conv2d(widths[0][0], classes, 1)
        initialise(self, initialisation)
        # Scores that all begin near 0 are alike, and then the maps learn only slowly what tells classes apart.
        self.score.reset_parameters()

    def scores(self, x: Tensor) -> Tensor:
        """See `Segmenter`."""
        encoded = self.encoder(x)
        y = encoded.halved[-1]  # (B, widths[-1], h, w)
        for up, decode, places in zip(self.upsampling, self.decoder, reversed(encoded.places), strict=True):
            y = decode(up(y, places))  # (B, widths[n], h, w) -> (B, widths[n - 1], 2 h, 2 w)
        logits: Tensor = self.score(y)  # (B, classes, H, W)
        return logits


VARIANTS = (
    Variant(
        name="segnet",
        family=SegNet,
        config={"widths": ((32, 32), (48, 48), (96, 96), (128, 128)), "classes": 11},
        input_shape=(3, 180, 240),
        parameters=866_283,
        macs=3_214_540_800,
        title="SegNet",
        lecture="MP 6, max-unpooling; Badrinarayanan et al. 2015",
        description="The pooling remembers where each maximum was, and the decoder puts the values back there: edges "
        "stay sharp, and only indices cross from encoder to decoder.",
    ),
)
