"""An endpoint asked as surfaces ask it."""

from contextlib import aclosing
from typing import Any

from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.task import Endpoint


async def everything(endpoint: Endpoint, caller: Caller = ANY_CALLER, **fields: Any) -> list[Any]:
    """Its events, and at last its answer."""
    ask = endpoint.ask.model_construct(**fields)
    model = endpoint.select(ask.model, ask.version)
    async with aclosing(endpoint.answers(model, ask, caller)) as found:
        return [each async for each in found]


async def answer(endpoint: Endpoint, caller: Caller = ANY_CALLER, **fields: Any) -> Any:
    """Its answer."""
    *_, last = await everything(endpoint, caller, **fields)
    assert isinstance(last, endpoint.answer)
    return last
