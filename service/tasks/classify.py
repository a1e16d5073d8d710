"""Classification: finds the most probable labels of images, and shows what the network looked at."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer, Model, Options
from service.imaging import VIEW_COUNTS
from service.package import ClassifyCard
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.classification import Classified, ClassifyAsk
from service.tasks.classify_options import ClassifyOptions
from service.tasks.explanation import Explainer
from service.tasks.labels import most_probable
from service.tasks.made_types import answer_of, batch_answer_of, batch_ask_of
from service.tasks.task import BatchTask
from service.tasks.together import together


class Classify(BatchTask[ClassifyAsk, Classified]):
    """Classifies images with any served model whose card's task is ``classify``."""

    name = "classify"
    does = "classify"
    summary = "The most probable labels of one image, with the model that gave them and how long it took."
    card = ClassifyCard
    ask = ClassifyAsk
    answer = answer_of("Classification", Classified)
    many = "image"
    result = Classified
    batch_summary = "The most probable labels of each of several images; if one is refused, all are."
    batch_ask = batch_ask_of(ClassifyAsk, many)
    batch_answer = batch_answer_of("ClassificationBatch", Classified)

    async def results(
        self, model: Model, ask: ClassifyAsk, items: Sequence[bytes], caller: Caller, *, batch: bool
    ) -> tuple[list[Classified], Timing]:
        """The result for each image, and how long the stages took.

        Raises:
            InvalidArgument: the model does not allow an option; or a batch has no image, too many images, or too many
                for the requested explanation.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        card, options = model.package.classifier, ClassifyOptions.of(model, ask)
        plain = bool(options.explain)
        if batch and plain:
            Explainer(self.engine, model, options).check_size(len(items), self.config.max_request_bytes)
        began = time.perf_counter()
        if batch:
            rows = await self.decode.many(items, card.preprocessing, options.views, plain=plain, caller=caller)
        else:
            rows = [await self.decode(items[0], card.preprocessing, options.views, plain=plain, caller=caller)]
        return await self._answer(model, options, rows, time.perf_counter() - began, caller)

    async def _answer(
        self, model: Model, options: ClassifyOptions, rows: list[NDArray[np.uint8]], decode_s: float, caller: Caller
    ) -> tuple[list[Classified], Timing]:
        """The result for each image, given its rows, and how long the stages took."""
        engine_options = Options(deadline=caller.deadline)
        explainer = Explainer(self.engine, model, options, engine_options) if options.explain else None
        answers = await self._ask(model, options, rows, explainer, engine_options)
        probabilities: NDArray[Any] = answers[0].outputs[model.package.classifier.classes.tensor]
        views = VIEW_COUNTS[options.views]
        if views > 1:
            probabilities = probabilities.reshape(len(rows), views, -1).mean(1)  # (N * views, C) -> (N, C)
        results = [Classified(labels=most_probable(model, each, options.top_k)) for each in probabilities]
        if explainer is not None:
            await self._explain(explainer, answers[-1], rows, results, caller)
        timing = Timing(
            queue_ms=max([answer.queue_s for answer in answers]) * 1e3,
            decode_ms=decode_s * 1e3,
            compute_ms=sum([answer.compute_s for answer in answers]) * 1e3,
        )
        return results, timing

    async def _ask(
        self,
        model: Model,
        options: ClassifyOptions,
        rows: list[NDArray[np.uint8]],
        explainer: Explainer | None,
        engine_options: Options,
    ) -> list[Answer]:
        """The probabilities of every view; if the explanation needs a run of its own, its answer is the last one."""
        card, views = model.package.classifier, VIEW_COUNTS[options.views]
        seen = _joined([each[-views:] for each in rows])
        infer = partial(self.engine.infer, model, None, {card.preprocessing.tensor: seen}, options=engine_options)
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
        caller: Caller,
    ) -> None:
        """Add the explanation of each image to its result."""
        drawings = [
            partial(explainer.explain, each[0], answer.outputs, i, result.labels[0].index)
            for i, (each, result) in enumerate(zip(rows, results, strict=True))
        ]
        for result, explanation in zip(results, await self.decode.each(drawings, caller=caller), strict=True):
            result.explanation = explanation


def _joined(rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    return rows[0] if len(rows) == 1 else np.concatenate(rows)
