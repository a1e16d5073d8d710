"""A request that fails leaves nothing for the garbage collector, which a server lets run seldom."""

import gc
import logging
import weakref
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path

import numpy as np
import pytest

from service.deadline import Deadline
from service.engine import Engine, Options
from service.errors import LectoriumError
from service.tasks.together import together
from tests.packages import example
from tests.service.engine.asking import serving, settled
from tests.service.engine.gate import Gate
from tests.step_packages import POISON


class Body:
    """What a surface keeps of a request while it is answered."""


async def late(engine: Engine) -> None:
    await engine.infer("tiny", None, {"image": example(1)}, options=Options(deadline=Deadline.after(-1)))


async def too_slow(engine: Engine) -> None:
    with Gate(engine, "tiny").closed():
        await engine.infer("tiny", None, {"image": example(1)}, options=Options(deadline=Deadline.after(0.05)))


async def poisonous(engine: Engine) -> None:
    async with aclosing(engine.steps("chars", None, {"token": np.array([POISON])})) as emissions:
        async for _ in emissions:
            pass


async def one_of_several(engine: Engine) -> None:
    await together(late(engine), poisonous(engine))


async def unknown(engine: Engine) -> None:
    await engine.infer("nobody", None, {})


CASES = {case.__name__: case for case in (late, too_slow, poisonous, one_of_several, unknown)}


@pytest.mark.parametrize("fails", CASES.values(), ids=CASES)
async def test_what_a_failed_request_held_is_let_go_at_once(
    fails: Callable[[Engine], Awaitable[None]], loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # pytest keeps what is logged, errors with their frames included.
    monkeypatch.setattr(logging.getLogger("service"), "disabled", True)
    logging.disable()

    async def request() -> "weakref.ref[Body]":
        body = Body()
        failed = False
        try:
            await fails(engine)
        except LectoriumError:
            failed = True
        assert failed
        return weakref.ref(body)

    async with serving(loops) as engine:
        with suppress(LectoriumError):
            await fails(engine)
        gc.collect()
        gc.disable()
        try:
            found = await request()
            await settled(engine)  # a run that nobody waits for ends first
            assert found() is None
        finally:
            gc.enable()
            logging.disable(logging.NOTSET)
