"""The captions of one image, as their words come."""

from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.engine import Model
from service.engine.tensors import Tensor, Tensors
from service.package.choice import LOG_PROBABILITY, TOKEN
from service.tasks.asker import Asker
from service.tasks.caption_choice import Shown
from service.tasks.captioning import Attention, Caption, Word
from service.tasks.decoding import Decoder
from service.tasks.picture import overlay
from service.tasks.text import Spoken


class Sentences:
    """Written down step by step, one a row; ``image`` is (H, W) or (H, W, 3)."""

    def __init__(self, model: Model, image: NDArray[np.uint8], attention: Shown, decode: Decoder, asker: Asker) -> None:
        card = model.package.captioner
        self._spoken = Spoken(model, card.loop)
        self._grid = card.attention
        self._image = image
        self._attention = attention
        self._decode = decode
        self._asker = asker
        self._rows: list[list[Word]] = []

    async def add(self, outputs: Tensors) -> Word | None:
        """Write down what a step emitted; the word it gave the first sentence, None where that has ended.

        Raises:
            InternalError: as `Spoken`.
            QueueFull, DeadlineExceeded: as `Decoder.each`, where attention is drawn.
        """
        pieces = self._spoken.pieces(outputs[TOKEN.name])
        self._rows = self._rows or [[] for _ in pieces]
        going = [row for row, piece in enumerate(pieces) if piece is not None]
        seen = await self._seen(outputs, going)
        said = outputs[LOG_PROBABILITY.name].tolist()
        for row, attention in zip(going, seen, strict=True):
            word = Word(word=pieces[row] or "", log_probability=said[row], attention=attention)
            self._rows[row].append(word)
        return self._rows[0][-1] if 0 in going else None

    def captions(self, scores: Tensor) -> list[Caption]:
        """All of them, given the score of each row, (rows,)."""
        return [
            Caption(text=self._spoken.text([word.word for word in words]), score=score, words=words)
            for words, score in zip(self._rows, scores.tolist(), strict=True)
        ]

    async def _seen(self, outputs: Tensors, rows: list[int]) -> list[Attention] | list[None]:
        if self._attention == "none" or self._grid is None:
            return [None] * len(rows)
        shape = [self._grid.height, self._grid.width]
        maps = [np.asarray(outputs[self._grid.tensor][row], "<f4").reshape(shape) for row in rows]
        if self._attention == "values":
            return [Attention(shape=shape, values=values.tobytes()) for values in maps]
        drawings = [partial(overlay, self._image, values) for values in maps]
        return [Attention(png=png) for png in await self._decode.each(drawings, asker=self._asker)]
