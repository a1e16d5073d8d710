"""The encoder-decoder network of captioning (I2DL XI.2, one to many)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from models.captioning.attention import AttentionDecoder
from models.captioning.decoder import Decoder, Sentence
from models.captioning.encoder import ImageEncoder
from models.captioning.recurrent import RecurrentDecoder
from models.captioning.transformer import TransformerDecoder
from models.layers.cell import CELLS

DECODERS: Mapping[str, Callable[..., Decoder]] = {
    **{name: partial(RecurrentDecoder, cell=name) for name in CELLS},
    "attention": AttentionDecoder,
    "transformer": TransformerDecoder,
}


class CaptionNetwork(nn.Module):
    """An encoder that runs once per image, and a decoder that gives one word after the other.

    ``decoder`` is one of ``rnn``, ``gru``, ``lstm``, ``attention`` and ``transformer``, built with
    ``decoder_config``; ``backbone``, ``shape``, ``grid`` and ``backbone_config`` are the encoder's, and ``features`` is
    the width of its features. ``vocabulary`` is the number of words and special tokens, ``length`` the largest number
    of words in a sentence, including the end token.

    Raises:
        KeyError: there is no such decoder or backbone, or one of them lacks a key of its config.
        TypeError, ValueError: as `ImageEncoder` and the decoder.
    """

    def __init__(
        self,
        backbone: str,
        decoder: str,
        *,
        shape: Sequence[int],
        vocabulary: int,
        length: int,
        features: int = 128,
        grid: Sequence[int] | None = None,
        backbone_config: Mapping[str, Any] | None = None,
        decoder_config: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if decoder not in DECODERS:
            raise KeyError(f"no decoder {decoder!r}; there are {', '.join(DECODERS)}")
        self.vocabulary, self.length = vocabulary, length
        self.encoder = ImageEncoder(backbone, shape, features, config=backbone_config, grid=grid)
        self.decoder = DECODERS[decoder](features, vocabulary, length, **(decoder_config or {}))

    def forward(self, images: Tensor, tokens: Tensor) -> Sentence:
        """The words that follow each of ``tokens`` (B, T) int64, for normalised ``images`` (B, C, H, W).

        ``tokens`` begin with the start token (teacher forcing).
        """
        sentence: Sentence = self.decoder(tokens, self.encoder(images))
        return sentence
