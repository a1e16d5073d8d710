"""Captioning: an image file in, sentences about it out, word by word."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from types import MappingProxyType

from service.engine import Emission, Model
from service.package import CaptionCard
from service.package.choice import SCORE
from service.tasks.answer import Timing
from service.tasks.asker import Asker
from service.tasks.caption_choice import CaptionChoice
from service.tasks.captioning import CaptionAsk, Captioning, Word
from service.tasks.sentences import Sentences
from service.tasks.task import Task


class Caption(Task[CaptionAsk]):
    """Captions images with any served package whose task is ``caption``."""

    name = "caption"
    does = "caption"
    summary = "Sentences about one image, the best first, with each word's log-probability."
    card = CaptionCard
    ask = CaptionAsk
    answer = Captioning
    default = "default_captioner"
    events = MappingProxyType({"word": Word})

    async def answers(self, model: Model, ask: CaptionAsk, asker: Asker) -> AsyncGenerator[Word | Captioning]:
        """The words of the best caption of the image, then the whole answer; wrap it in `contextlib.aclosing`.

        Each word comes when it is chosen; those of beam search at its end, when they are known.

        Raises:
            InvalidArgument: an option is none the model has.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `Decoder`.
            QueueFull, DeadlineExceeded, CallerBehind, InternalError: as `Engine.steps`.
        """
        choice = CaptionChoice.of(model, ask, self.config.max_request_bytes)
        preprocessing = model.package.captioner.preprocessing
        began = time.perf_counter()
        pixels = await self.decode(ask.image, preprocessing, asker=asker)
        decoded = time.perf_counter()
        sentences = Sentences(model, pixels[0], choice.attention, self.decode, asker)
        wanted = choice.options._replace(deadline=asker.deadline)
        asked = (model, None, {preprocessing.tensor: pixels}, choice.outputs, wanted)
        async with aclosing(self.engine.steps(*asked)) as emissions:
            async for emission in emissions:
                ran_s = time.perf_counter() - decoded
                word = await sentences.add(emission.outputs)
                if word is not None:
                    yield word
                if emission.last:
                    yield _answer(model, sentences, choice.sampled, emission, decoded - began, ran_s)


def _answer(
    model: Model, sentences: Sentences, sampled: bool, last: Emission, decode_s: float, ran_s: float
) -> Captioning:
    return Captioning(
        model=model.name,
        version=model.version,
        captions=sentences.captions(last.outputs[SCORE.name]),
        seed=last.seed if sampled else None,
        timing=Timing(queue_ms=last.queue_s * 1e3, decode_ms=decode_s * 1e3, compute_ms=(ran_s - last.queue_s) * 1e3),
    )
