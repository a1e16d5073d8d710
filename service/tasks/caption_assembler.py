"""Builds the captions of one image from what the steps emit."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.engine import Model
from service.engine.tensors import Tensor, Tensors
from service.package.token_choice import LOG_PROBABILITY, TOKEN
from service.tasks.caller import Caller
from service.tasks.caption_options import Shown
from service.tasks.captioning import Attention, Caption, Word
from service.tasks.detokenizer import Detokenizer
from service.tasks.image_decoding import ImageDecoder
from service.tasks.picture import overlay


class CaptionAssembler:
    """Collects the words of each row's caption; ``image`` is (H, W) or (H, W, 3) uint8."""

    def __init__(
        self, model: Model, image: NDArray[np.uint8], attention: Shown, decode: ImageDecoder, caller: Caller
    ) -> None:
        card = model.package.captioner
        self._detokenizer = Detokenizer(model, card.loop)
        self._grid = card.attention
        self._image = image
        self._attention = attention
        self._decode = decode
        self._caller = caller
        self._rows: list[list[Word]] = []

    async def add(self, outputs: Tensors) -> Word | None:
        """Add what a step emitted, and return the new word of the first caption; None if that caption has ended.

        Raises:
            InternalError: a token is not in the vocabulary.
            QueueFull, DeadlineExceeded: as `ImageDecoder.each`, if attention is drawn.
        """
        pieces = self._detokenizer.pieces(outputs[TOKEN.name])
        self._rows = self._rows or [[] for _ in pieces]
        going = [row for row, piece in enumerate(pieces) if piece is not None]
        attentions = await self._attentions(outputs, going)
        log_probabilities = outputs[LOG_PROBABILITY.name].tolist()
        for row, attention in zip(going, attentions, strict=True):
            word = Word(word=pieces[row] or "", log_probability=log_probabilities[row], attention=attention)
            self._rows[row].append(word)
        return self._rows[0][-1] if 0 in going else None

    def captions(self, scores: Tensor) -> list[Caption]:
        """The captions of all rows; ``scores`` is (rows,)."""
        return [
            Caption(text=self._detokenizer.text([word.word for word in words]), score=score, words=words)
            for words, score in zip(self._rows, scores.tolist(), strict=True)
        ]

    async def _attentions(self, outputs: Tensors, rows: list[int]) -> list[Attention] | list[None]:
        if self._attention == "none" or self._grid is None:
            return [None] * len(rows)
        shape = [self._grid.height, self._grid.width]
        maps = [np.asarray(outputs[self._grid.tensor][row], "<f4").reshape(shape) for row in rows]
        if self._attention == "values":
            return [Attention(shape=shape, values=values.tobytes()) for values in maps]
        drawings = [partial(overlay, self._image, values) for values in maps]
        return [Attention(png=png) for png in await self._decode.each(drawings, caller=self._caller)]
