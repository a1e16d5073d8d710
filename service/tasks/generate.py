"""Generation: makes images from random numbers, step by step (I2DL X; MP)."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import cached_property, partial
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel

from service.engine import Emission, Model
from service.package import GenerateCard
from service.tasks import samples
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.generate_options import PICTURE, GenerateOptions
from service.tasks.generation import GenerateAsk, GenerateStepsAsk, Generation, Preview
from service.tasks.task import Endpoint, Task

EVENTS = MappingProxyType({"preview": Preview})
PREVIEWS = 10  # of a stream whose caller does not say how many


class Generate(Task[GenerateAsk]):
    """Generates images with any served model whose card's task is ``generate``."""

    name = "generate"
    does = "generate images"
    summary = "New images, drawn from what the model has learnt; the same seed gives the same ones."
    card = GenerateCard
    ask = GenerateAsk
    answer = Generation
    picture = PICTURE
    large = True

    async def answers(self, model: Model, ask: GenerateAsk, caller: Caller) -> AsyncGenerator[BaseModel]:
        """The answer."""
        yield await self.once(model, ask, caller)

    async def once(self, model: Model, ask: GenerateAsk, caller: Caller) -> Generation:
        """The answer.

        Raises:
            InvalidArgument: the model does not allow an option.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.steps`.
        """
        options = GenerateOptions.of(model, ask)
        outputs = [model.package.generator.sample.tensor]
        began = time.perf_counter()
        async with aclosing(self._emissions(model, options, outputs, options.steps, caller)) as emissions:
            async for emission in emissions:
                if emission.last:
                    return await self._answer(model, options, emission, time.perf_counter() - began, caller)
        raise AssertionError("the last emission ends the loop")

    async def step_answers(self, model: Model, ask: GenerateStepsAsk, caller: Caller) -> AsyncGenerator[BaseModel]:
        """What the samples look like after every so many steps, then the whole answer. Raises as `once`."""
        options = GenerateOptions.of(model, ask)
        sample = model.package.generator.sample
        outputs = list(dict.fromkeys([sample.preview or sample.tensor, sample.tensor]))
        every = min(ask.every or -(-options.steps // PREVIEWS), options.steps)
        began = time.perf_counter()
        async with aclosing(self._emissions(model, options, outputs, every, caller)) as emissions:
            async for emission in emissions:
                if emission.last:
                    yield await self._answer(model, options, emission, time.perf_counter() - began, caller)
                else:
                    yield await self._preview(options, emission, sample.preview, caller)

    @cached_property
    def endpoints(self) -> Sequence[Endpoint]:
        """The ways to request the task; one tells of each step."""
        (one,) = super().endpoints
        steps = one._replace(
            path=f"{one.path}/stream",
            name=f"{one.name}_steps",
            summary="The same, with what the samples look like on the way as server-sent events.",
            ask=GenerateStepsAsk,
            events=EVENTS,
            answers=self.step_answers,
            picture=None,
        )
        return [one._replace(once=self.once), steps]

    def _emissions(
        self, model: Model, options: GenerateOptions, outputs: list[str], every: int, caller: Caller
    ) -> AsyncGenerator[Emission]:
        engine = options.engine._replace(deadline=caller.deadline, emit_every=every)
        return self.engine.steps(model, None, options.inputs, outputs, engine)

    async def _preview(
        self, options: GenerateOptions, emission: Emission, tensor: str | None, caller: Caller
    ) -> Preview:
        preview = Preview(step=emission.step, steps=options.steps)
        if tensor is not None:
            [preview.grid] = await self.decode.each([partial(samples.grid, emission.outputs[tensor])], caller=caller)
        return preview

    async def _answer(
        self, model: Model, options: GenerateOptions, last: Emission, ran_s: float, caller: Caller
    ) -> Generation:
        found = last.outputs[model.package.generator.sample.tensor]
        pictures: dict[str, Any] = {}
        if options.grid:
            [pictures["grid"]] = await self.decode.each([partial(samples.grid, found)], caller=caller)
        else:
            [pictures["images"]] = await self.decode.each([partial(samples.images, found)], caller=caller)
        return Generation(
            model=model.name,
            version=model.version,
            **pictures,
            height=found.shape[1],
            width=found.shape[2],
            labels=options.labels,
            seed=last.seed,
            steps=last.step,
            timing=Timing(queue_ms=last.queue_s * 1e3, decode_ms=0, compute_ms=(ran_s - last.queue_s) * 1e3),
        )
