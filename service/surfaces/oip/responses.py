"""A request's answers, one after another, for both transports: a loop's emissions, or the one answer of a graph."""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from service.engine import Answer, Engine, Model, Options
from service.engine.tensors import Tensors
from service.package import Loop
from service.surfaces.gate import Call


class Response(NamedTuple):
    """One answer; ``step`` is a loop's, from 1; ``final`` says that no other one comes."""

    answer: Answer
    step: int | None
    final: bool


async def responses(
    engine: Engine, model: Model, inputs: Tensors, outputs: Sequence[str], options: Options, call: Call
) -> AsyncGenerator[Response]:
    """What the engine answers, and ``call`` told of it; wrap it in `contextlib.aclosing`.

    A step of which the caller wants no output is not answered.

    Raises:
        LectoriumError: as `Engine.infer` and `Engine.steps`.
    """
    asked = (model, model.version, inputs, outputs, options)
    if not isinstance(model.program, Loop):
        answer = await engine.infer(*asked)
        call.record_stages(answer.queue_s, answer.compute_s)
        yield Response(answer, None, True)
        return
    began = time.perf_counter()
    async with aclosing(engine.steps(*asked)) as emissions:
        async for step, found, last, seed, queue_s in emissions:
            compute_s = time.perf_counter() - began - queue_s
            if last:
                call.record_stages(queue_s, compute_s)
            if found:
                call.record_emission()
                yield Response(Answer(found, queue_s, compute_s, seed), step, last)
