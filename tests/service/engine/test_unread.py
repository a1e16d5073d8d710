"""What is emitted for a caller waits for it, but not without bound."""

import asyncio

import numpy as np
import pytest

from service.engine.sequence_group import StepResult
from service.engine.step_request import MAX_UNREAD_BYTES, StepRequest
from service.errors import CallerBehind

# So many are taken, and one more is not.
ROOM = 7
SIZE = MAX_UNREAD_BYTES // (ROOM + 1)


def request() -> StepRequest:
    return StepRequest({}, {}, ("image",), 1, 1000, 7)


def emit(request: StepRequest, step: int, size: int = SIZE) -> None:
    request.emit(StepResult(request, step, {"image": np.zeros(size, "u1")}, False))


async def read(request: StepRequest) -> int:
    return (await asyncio.wait_for(request.next(), 1)).step


async def test_a_caller_too_far_behind_is_let_go_with_what_it_has() -> None:
    slow = request()
    for step in range(1, ROOM + 10):
        emit(slow, step)
        assert slow.gone == (step > ROOM)
    assert [await read(slow) for _ in range(ROOM)] == list(range(1, ROOM + 1))
    with pytest.raises(CallerBehind, match=f"left {ROOM} emissions .* unread"):
        await read(slow)


async def test_what_has_been_read_does_not_count() -> None:
    quick = request()
    emit(quick, 1)
    for step in range(1, 10 * ROOM):
        emit(quick, step + 1)
        assert await read(quick) == step


async def test_one_emission_larger_than_the_bound_is_emitted_all_the_same() -> None:
    large = request()
    for step in (1, 2):
        emit(large, step, 2 * MAX_UNREAD_BYTES)
        assert await read(large) == step


async def test_small_emissions_are_bounded_too() -> None:
    slow, step = request(), 0
    while not slow.gone:
        step += 1
        emit(slow, step, 1)
    assert step < 1 << 15
