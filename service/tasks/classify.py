"""Classification: image files in, their most probable labels out, and what the network looked at."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.engine import Answer, Engine, Model, Options
from service.imaging import VIEW_COUNTS
from service.package import ClassifyCard
from service.tasks.answer import Timing
from service.tasks.asker import ANYBODY, Asker
from service.tasks.choice import Choice
from service.tasks.classification import Classification, ClassificationBatch, Classified, ClassifyOptions
from service.tasks.decoding import Decoder
from service.tasks.explanation import Explainer
from service.tasks.labels import most_probable
from service.tasks.selection import Selection
from service.tasks.together import together

DEFAULTS = ClassifyOptions()


class Classifier:
    """Classifies images with any served package whose task is ``classify``; ``model`` finds the one to use."""

    def __init__(self, engine: Engine, config: Config, decode: Decoder) -> None:
        self._engine = engine
        self._config = config
        self._decode = decode
        self.model = Selection(engine, ClassifyCard, "classify", config.default_classifier)

    async def __call__(
        self,
        image: bytes,
        model: str = "",
        version: str = "",
        options: ClassifyOptions = DEFAULTS,
        asker: Asker = ANYBODY,
    ) -> Classification:
        """The most probable labels of ``image``.

        Args:
            image: an image file of one of `service.image_bounds.FORMATS`, any size and colour mode.
            model: the model's name; "" for the configured default.
            version: its version; "" for the highest.
            options: how many labels, over which views, explained how.
            asker: for whom, and by when.

        Raises:
            UnknownModel: no such model or version, or it does not classify.
            InvalidArgument: an option is none the model has.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `Decoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        served = self.model(model, version)
        card, choice = served.package.classifier, Choice.of(served, options)
        began = time.perf_counter()
        plain = bool(choice.explain)
        rows = await self._decode(image, card.preprocessing, choice.views, plain=plain, asker=asker)
        decode_s = time.perf_counter() - began
        (result,), timing = await self._answer(served, choice, [rows], decode_s, asker)
        return Classification(
            model=served.name,
            version=served.version,
            labels=result.labels,
            explanation=result.explanation,
            timing=timing,
        )

    async def batch(
        self,
        images: Sequence[bytes],
        model: str = "",
        version: str = "",
        options: ClassifyOptions = DEFAULTS,
        asker: Asker = ANYBODY,
    ) -> ClassificationBatch:
        """The same of several images, all of them or none.

        Raises:
            InvalidArgument: there are none, or too many, for what is to be explained of them too.
            InvalidImage, TooLarge: of one of them, whose index it says; or together they are too long.
            UnknownModel, QueueFull, DeadlineExceeded, InternalError: as above.
        """
        served = self.model(model, version)
        card, choice = served.package.classifier, Choice.of(served, options)
        if choice.explain:
            Explainer(self._engine, served, choice).check_size(len(images), self._config.max_request_bytes)
        began = time.perf_counter()
        plain = bool(choice.explain)
        rows = await self._decode.many(images, card.preprocessing, choice.views, plain=plain, asker=asker)
        decode_s = time.perf_counter() - began
        results, timing = await self._answer(served, choice, rows, decode_s, asker)
        return ClassificationBatch(model=served.name, version=served.version, results=results, timing=timing)

    async def _answer(
        self, model: Model, choice: Choice, rows: list[NDArray[np.uint8]], decode_s: float, asker: Asker
    ) -> tuple[list[Classified], Timing]:
        """What is said of each image, given its rows, and where the time went."""
        asked = Options(deadline=asker.deadline)
        explainer = Explainer(self._engine, model, choice, asked) if choice.explain else None
        answers = await self._ask(model, choice, rows, explainer, asked)
        probabilities: NDArray[Any] = answers[0].outputs[model.package.classifier.classes.tensor]
        views = VIEW_COUNTS[choice.views]
        if views > 1:
            probabilities = probabilities.reshape(len(rows), views, -1).mean(1)  # (N * views, C) -> (N, C)
        results = [Classified(labels=most_probable(model, each, choice.top_k)) for each in probabilities]
        if explainer is not None:
            await self._explain(explainer, answers[-1], rows, results, asker)
        timing = Timing(
            queue_ms=max([answer.queue_s for answer in answers]) * 1e3,
            decode_ms=decode_s * 1e3,
            compute_ms=sum([answer.compute_s for answer in answers]) * 1e3,
        )
        return results, timing

    async def _ask(
        self,
        model: Model,
        choice: Choice,
        rows: list[NDArray[np.uint8]],
        explainer: Explainer | None,
        asked: Options,
    ) -> list[Answer]:
        """The probabilities of every view; where a run of its own explains them, its answer is the last."""
        card, views = model.package.classifier, VIEW_COUNTS[choice.views]
        seen = _joined([each[-views:] for each in rows])
        infer = partial(self._engine.infer, model, None, {card.preprocessing.tensor: seen}, options=asked)
        if explainer is None:
            return [await infer([card.classes.tensor])]
        if views == 1 and explainer.output:
            return [await infer([card.classes.tensor, explainer.output])]
        plain = _joined([each[:1] for each in rows])
        return await together(infer([card.classes.tensor]), explainer.ask(plain))

    async def _explain(
        self,
        explainer: Explainer,
        answer: Answer,
        rows: list[NDArray[np.uint8]],
        results: list[Classified],
        asker: Asker,
    ) -> None:
        """Add the explanation of each image to what is said of it."""
        drawings = [
            partial(explainer.explain, each[0], answer.outputs, i, result.labels[0].index)
            for i, (each, result) in enumerate(zip(rows, results, strict=True))
        ]
        for result, explanation in zip(results, await self._decode.each(drawings, asker=asker), strict=True):
            result.explanation = explanation


def _joined(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
