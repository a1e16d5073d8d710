"""Answers a task's request for any surface, and records in its call the model and the times."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel

from service.surfaces.gate import Call, Kind
from service.tasks.task import Ask, Endpoint


async def answers(endpoint: Endpoint, ask: Ask, call: Call) -> AsyncGenerator[BaseModel]:
    """The events, if the task has any, then the answer; wrap it in `contextlib.aclosing`.

    Raises:
        LectoriumError: the task cannot answer.
    """
    if endpoint.resolve is not None:
        ask = await endpoint.resolve(ask, call.caller)
    model = endpoint.select(ask.model, ask.version)
    call.for_model(model)
    async with aclosing(endpoint.answers(model, ask, call.caller)) as found:
        async for each in found:
            if isinstance(each, endpoint.answer):
                call.record_timing(each.timing)  # type: ignore[attr-defined]  # every answer has one
            else:
                call.record_emission()
            yield each


async def answer(endpoint: Endpoint, ask: Ask, call: Call) -> BaseModel:
    """The answer alone. Raises as `answers` does."""
    if endpoint.once is not None:
        if endpoint.resolve is not None:
            ask = await endpoint.resolve(ask, call.caller)
        model = endpoint.select(ask.model, ask.version)
        call.for_model(model)
        answer = await endpoint.once(model, ask, call.caller)
        call.record_timing(answer.timing)  # type: ignore[attr-defined]  # every answer has one
        return answer
    async with aclosing(answers(endpoint, ask, call)) as found:
        async for each in found:
            if isinstance(each, endpoint.answer):
                return each
    raise AssertionError("the last one is the answer")


def kind_of(endpoint: Endpoint) -> Kind:
    """What the gate checks in the endpoint's requests."""
    return Kind.CONTROL if endpoint.changes else Kind.INFERENCE
