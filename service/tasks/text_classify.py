"""Classification of texts: a text in, its most probable labels out, such as the language it is in (I2DL XI.2)."""

import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.deadline import Deadline
from service.engine import Answer, Engine, Model, Options
from service.errors import InvalidArgument, LectoriumError, TooLarge
from service.package import TextClassifyCard
from service.tasks.answer import Timing
from service.tasks.classification import Label
from service.tasks.labels import checked_top_k, most_probable
from service.tasks.selection import Selection
from service.tasks.text_classification import TextClassification, TextClassificationBatch, TextLabels
from service.tasks.together import together

Row = NDArray[np.uint8]


class TextClassifier:
    """Classifies texts with any served package whose task is ``classify-text``; ``model`` finds the one to use."""

    def __init__(self, engine: Engine, config: Config) -> None:
        self._engine = engine
        self._most = config.max_images
        self.model = Selection(engine, TextClassifyCard, "classify texts", config.default_text_classifier)

    async def __call__(
        self, model: Model, text: str, top_k: int | None = None, deadline: Deadline | None = None
    ) -> TextClassification:
        """The most probable labels of ``text``.

        Args:
            model: a classifier of texts that is served.
            text: of 1 to the card's ``max_bytes`` bytes in UTF-8, without NUL characters.
            top_k: how many labels; None for the card's default.
            deadline: when the answer must be there; None for the engine's limit alone.

        Raises:
            InvalidArgument: it is no such text, or there are no such labels.
            TooLarge: the text is too long; it is not cut, as what it says may be at its end.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        card = model.package.text_classifier
        count = checked_top_k(card, top_k)
        began = time.perf_counter()
        row = text_row(card, text)
        decode_s = time.perf_counter() - began
        (labels,), timing = await self._answer(model, [row], count, decode_s, Options(deadline=deadline))
        return TextClassification(model=model.name, version=model.version, labels=labels, timing=timing)

    async def batch(
        self, model: Model, texts: Sequence[str], top_k: int | None = None, deadline: Deadline | None = None
    ) -> TextClassificationBatch:
        """The same of several texts, all of them or none.

        Raises:
            InvalidArgument: there are none, or too many; or as above, of one of them, whose index it says.
            TooLarge: of one of them, whose index it says.
            QueueFull, DeadlineExceeded, InternalError: as above.
        """
        card = model.package.text_classifier
        count = checked_top_k(card, top_k)
        if not 1 <= len(texts) <= self._most:
            raise InvalidArgument(f"{len(texts)} texts came; 1 to {self._most} are wanted")
        began = time.perf_counter()
        rows = [_numbered_row(card, i, text) for i, text in enumerate(texts)]
        decode_s = time.perf_counter() - began
        found, timing = await self._answer(model, rows, count, decode_s, Options(deadline=deadline))
        results = [TextLabels(labels=labels) for labels in found]
        return TextClassificationBatch(model=model.name, version=model.version, results=results, timing=timing)

    async def _answer(
        self, model: Model, rows: list[Row], count: int, decode_s: float, asked: Options
    ) -> tuple[list[list[Label]], Timing]:
        """So many labels of each row, and where the time went."""
        places: dict[int, list[int]] = defaultdict(list)  # of the rows of each length, which share runs
        for place, row in enumerate(rows):
            places[row.shape[1]].append(place)
        answers = await together(*(self._ask(model, [rows[i] for i in alike], asked) for alike in places.values()))
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

    async def _ask(self, model: Model, rows: list[Row], asked: Options) -> Answer:
        card = model.package.text_classifier
        inputs = {card.text.tensor: rows[0] if len(rows) == 1 else np.concatenate(rows)}
        return await self._engine.infer(model, None, inputs, [card.classes.tensor], asked)


def text_row(card: TextClassifyCard, text: str) -> Row:
    """The text as the graph takes it: UTF-8, then zeros up to the next multiple of the card's, (1, bytes).

    Raises:
        InvalidArgument: the text is empty, or holds a NUL character, which would end it.
        TooLarge: it has more bytes than the card allows.
    """
    data, most = text.encode(), card.text.max_bytes
    if not data:
        raise InvalidArgument(f"the text is empty; model {card.name!r} takes 1 to {most} bytes of UTF-8")
    if len(data) > most:
        raise TooLarge(f"the text has {len(data)} bytes in UTF-8; model {card.name!r} takes at most {most}")
    if (nul := data.find(0)) >= 0:
        raise InvalidArgument(f"byte {nul} of the text is a NUL character, which no text has")
    multiple = card.text.multiple
    row = np.zeros((1, min(most, -(-len(data) // multiple) * multiple)), np.uint8)
    row[0, : len(data)] = np.frombuffer(data, np.uint8)
    return row


def _numbered_row(card: TextClassifyCard, index: int, text: str) -> Row:
    try:
        return text_row(card, text)
    except LectoriumError as error:
        raise type(error)(f"texts[{index}]: {error}") from error
