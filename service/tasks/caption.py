"""Captioning: describes an image in sentences, word by word."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import MappingProxyType

from service.engine import Emission, Model
from service.package import CaptionCard
from service.package.token_choice import SCORE
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.caption_assembler import CaptionAssembler
from service.tasks.caption_options import CaptionOptions
from service.tasks.captioning import CaptionAsk, Captioning, Word
from service.tasks.task import Task


class Caption(Task[CaptionAsk]):
    """Captions images with any served model whose card's task is ``caption``."""

    name = "caption"
    does = "caption"
    summary = "Sentences about one image, the best first, with each word's log-probability."
    card = CaptionCard
    ask = CaptionAsk
    answer = Captioning
    events = MappingProxyType({"word": Word})

    async def answers(self, model: Model, ask: CaptionAsk, caller: Caller) -> AsyncGenerator[Word | Captioning]:
        """The words of the best caption of the image, then the whole answer; wrap it in `contextlib.aclosing`.

        A word is given as soon as it is chosen; beam search only knows its words at the end and gives them then.

        Raises:
            InvalidArgument: the model does not allow an option.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, CallerBehind, InternalError: as `Engine.steps`.
        """
        options = CaptionOptions.of(model, ask, self.config.max_request_bytes)
        preprocessing = model.package.captioner.preprocessing
        began = time.perf_counter()
        pixels = await self.decode(ask.image, preprocessing, caller=caller)
        decoded = time.perf_counter()
        captions = CaptionAssembler(model, pixels[0], options.attention, self.decode, caller)
        engine_options = options.engine._replace(deadline=caller.deadline)
        inputs = {preprocessing.tensor: pixels}
        async with aclosing(self.engine.steps(model, None, inputs, options.outputs, engine_options)) as emissions:
            async for emission in emissions:
                ran_s = time.perf_counter() - decoded
                word = await captions.add(emission.outputs)
                if word is not None:
                    yield word
                if emission.last:
                    yield _answer(model, captions, options.sampled, emission, decoded - began, ran_s)


def _answer(
    model: Model, captions: CaptionAssembler, sampled: bool, last: Emission, decode_s: float, ran_s: float
) -> Captioning:
    return Captioning(
        model=model.name,
        version=model.version,
        captions=captions.captions(last.outputs[SCORE.name]),
        seed=last.seed if sampled else None,
        timing=Timing(queue_ms=last.queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=(ran_s - last.queue_s) * 1e3),
    )
