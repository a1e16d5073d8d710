"""A task's request as every surface answers it: with its visit told of the model, and of where the time went."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from pydantic import BaseModel

from service.surfaces.door import Visit
from service.tasks.task import Ask, Endpoint


async def answers(endpoint: Endpoint, ask: Ask, visit: Visit) -> AsyncGenerator[BaseModel]:
    """The events, where there are any, then the answer; wrap it in `contextlib.aclosing`.

    Raises:
        LectoriumError: whatever keeps the task from answering.
    """
    model = endpoint.select(ask.model, ask.version)
    visit.of(model)
    async with aclosing(endpoint.answers(model, ask, visit.asker)) as found:
        async for each in found:
            if isinstance(each, endpoint.answer):
                visit.spent(each.timing)  # type: ignore[attr-defined]  # every answer has one
            else:
                visit.emitted()
            yield each


async def answer(endpoint: Endpoint, ask: Ask, visit: Visit) -> BaseModel:
    """The answer alone. Raises as `answers` does."""
    async with aclosing(answers(endpoint, ask, visit)) as found:
        async for each in found:
            if isinstance(each, endpoint.answer):
                return each
    raise AssertionError("the last one is the answer")
