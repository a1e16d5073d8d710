"""Classification of texts: finds the most probable labels of a text, such as its language (I2DL XI.2)."""

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer, Model, Options
from service.errors import InvalidArgument, LectoriumError, TooLarge
from service.package import TextClassifyCard
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.classification import Label
from service.tasks.labels import checked_top_k, most_probable
from service.tasks.made_types import answer_of, batch_answer_of, batch_ask_of
from service.tasks.task import BatchTask
from service.tasks.text_classification import ClassifyTextAsk, TextLabels
from service.tasks.together import together

Row = NDArray[np.uint8]


class ClassifyText(BatchTask[ClassifyTextAsk, TextLabels]):
    """Classifies texts with any served model whose card's task is ``classify-text``."""

    name = "classify-text"
    does = "classify texts"
    summary = "The most probable labels of one text, such as its language, with the model that gave them."
    card = TextClassifyCard
    ask = ClassifyTextAsk
    answer = answer_of("TextClassification", TextLabels)
    many = "text"
    result = TextLabels
    batch_summary = "The most probable labels of each of several texts; if one is refused, all are."
    batch_ask = batch_ask_of(ClassifyTextAsk, many)
    batch_answer = batch_answer_of("TextClassificationBatch", TextLabels)

    async def results(
        self, model: Model, ask: ClassifyTextAsk, items: Sequence[str], caller: Caller, *, batch: bool
    ) -> tuple[list[TextLabels], Timing]:
        """The labels of each text, and how long the stages took. A text may have 1 to the card's ``max_bytes`` bytes.

        Raises:
            InvalidArgument: a text is empty or has a NUL character; or the model does not allow this number of labels;
                or a batch has no text or too many.
            TooLarge: a text is too long. It is not cut, because what matters may be at its end.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        card = model.package.text_classifier
        count, most = checked_top_k(card, ask.top_k), self.config.max_images
        if not 1 <= len(items) <= most:
            raise InvalidArgument(f"{len(items)} texts were sent; 1 to {most} are allowed")
        began = time.perf_counter()
        rows = [_numbered_row(card, i, text) if batch else text_row(card, text) for i, text in enumerate(items)]
        decode_s = time.perf_counter() - began
        found, timing = await self._answer(model, rows, count, decode_s, Options(deadline=caller.deadline))
        return [TextLabels(labels=labels) for labels in found], timing

    async def _answer(
        self, model: Model, rows: list[Row], count: int, decode_s: float, options: Options
    ) -> tuple[list[list[Label]], Timing]:
        """The ``count`` most probable labels of each row, and how long the stages took."""
        places: dict[int, list[int]] = defaultdict(list)  # by length, because rows of equal length share runs
        for place, row in enumerate(rows):
            places[row.shape[1]].append(place)
        answers = await together(*(self._ask(model, [rows[i] for i in alike], options) for alike in places.values()))
        found: dict[int, list[Label]] = {}
        for alike, answer in zip(places.values(), answers, strict=True):
            probabilities = answer.outputs[model.package.text_classifier.classes.tensor]
            found |= {i: most_probable(model, each, count) for i, each in zip(alike, probabilities, strict=True)}
        timing = Timing(
            queue_ms=max([answer.queue_s for answer in answers]) * 1e3,
            decode_ms=decode_s * 1e3,
            compute_ms=sum([answer.compute_s for answer in answers]) * 1e3,
        )
        return [found[i] for i in range(len(rows))], timing

    async def _ask(self, model: Model, rows: list[Row], options: Options) -> Answer:
        card = model.package.text_classifier
        inputs = {card.text.tensor: rows[0] if len(rows) == 1 else np.concatenate(rows)}
        return await self.engine.infer(model, None, inputs, [card.classes.tensor], options)


def text_row(card: TextClassifyCard, text: str) -> Row:
    """The text as the graph takes it: in UTF-8, padded with zeros to a multiple of the card's ``multiple``, (1, bytes).

    Raises:
        InvalidArgument: the text is empty, or has a NUL character, which would look like padding.
        TooLarge: it has more bytes than the card allows.
    """
    data, most = text.encode(), card.text.max_bytes
    if not data:
        raise InvalidArgument(f"the text is empty; model {card.name!r} allows 1 to {most} bytes of UTF-8")
    if len(data) > most:
        raise TooLarge(f"the text has {len(data)} bytes in UTF-8; model {card.name!r} allows at most {most}")
    if (nul := data.find(0)) >= 0:
        raise InvalidArgument(f"byte {nul} of the text is a NUL character, which is not allowed")
    multiple = card.text.multiple
    row = np.zeros((1, min(most, -(-len(data) // multiple) * multiple)), np.uint8)
    row[0, : len(data)] = np.frombuffer(data, np.uint8)
    return row


def _numbered_row(card: TextClassifyCard, index: int, text: str) -> Row:
    try:
        return text_row(card, text)
    except LectoriumError as error:
        raise type(error)(f"texts[{index}]: {error}") from error
