"""Captioning: an image file in, sentences about it out, word by word."""

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing

from service.config import Config
from service.engine import Emission, Engine, Model
from service.package import CaptionCard
from service.package.choice import SCORE
from service.tasks.answer import Timing
from service.tasks.asker import ANYBODY, Asker
from service.tasks.caption_choice import CaptionChoice
from service.tasks.captioning import Captioning, CaptionOptions, Word
from service.tasks.decoding import Decoder
from service.tasks.selection import Selection
from service.tasks.sentences import Sentences

DEFAULTS = CaptionOptions()


class Captioner:
    """Captions images with any served package whose task is ``caption``; ``model`` finds the one to use."""

    def __init__(self, engine: Engine, config: Config, decode: Decoder) -> None:
        self._engine = engine
        self._most_bytes = config.max_request_bytes
        self._decode = decode
        self.model = Selection(engine, CaptionCard, "caption", config.default_captioner)

    async def words(
        self,
        model: Model,
        image: bytes,
        options: CaptionOptions = DEFAULTS,
        asker: Asker = ANYBODY,
    ) -> AsyncGenerator[Word | Captioning]:
        """The words of the best caption of ``image``, then the whole answer; wrap it in `contextlib.aclosing`.

        Each word comes when it is chosen; those of beam search at its end, when they are known.

        Args:
            model: a captioner that is served.
            image: an image file of one of `service.image_bounds.FORMATS`, any size and colour mode.
            options: how words are chosen, how many, and what is said of them.
            asker: for whom, and by when.

        Raises:
            InvalidArgument: an option is none the model has.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `Decoder`.
            QueueFull, DeadlineExceeded, CallerBehind, InternalError: as `Engine.steps`.
        """
        choice = CaptionChoice.of(model, options, self._most_bytes)
        preprocessing = model.package.captioner.preprocessing
        began = time.perf_counter()
        pixels = await self._decode(image, preprocessing, asker=asker)
        decoded = time.perf_counter()
        sentences = Sentences(model, pixels[0], choice.attention, self._decode, asker)
        wanted = choice.options._replace(deadline=asker.deadline)
        asked = (model, None, {preprocessing.tensor: pixels}, choice.outputs, wanted)
        async with aclosing(self._engine.steps(*asked)) as emissions:
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
