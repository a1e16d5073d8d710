"""One engine, three packages, and callers that come, leave, run late and fail in any order."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvloop
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from service.engine import Emission, Engine, Options
from service.errors import DeadlineExceeded, InternalError, QueueFull
from tests.packages import assert_close, example, write_package
from tests.service.engine.asking import check_answer, check_tokens, label, run_on, serving, settled
from tests.step_packages import LABELS, POISON, SLOTS, chars, diffusion, write_chars, write_diffusion

FATAL = 5
LATE_S = (None, None, None, 0.0005, 0.002, 0.01)

options = st.builds(
    Options,
    timeout_s=st.sampled_from(LATE_S),
    queue_timeout_s=st.sampled_from(LATE_S),
    priority=st.integers(0, 2),
    steps=st.none(),
    seed=st.none(),
    decoding=st.none(),
    emit_every=st.none(),
    rows=st.none(),
    deadline=st.none(),
)


class Caller:
    """One request, what it may end with, and the task that asks and looks whether the answer is its own."""

    def __init__(self, ask: Coroutine[Any, Any, None], options: Options, *, fails: bool) -> None:
        self.may: set[type[BaseException] | None] = {QueueFull, InternalError if fails else None}
        # In time or late is for the clock to say; `continue` serves who waited too long.
        if options.timeout_s or options.queue_timeout_s:
            self.may.add(DeadlineExceeded)
        self.task = asyncio.get_running_loop().create_task(ask)

    def cancel(self) -> None:
        if self.task.cancel():
            self.may.add(asyncio.CancelledError)

    def check(self) -> type[BaseException] | None:
        """How it has ended, which is as it may; a wrong answer is an AssertionError, which none may."""
        error: BaseException | None = asyncio.CancelledError() if self.task.cancelled() else self.task.exception()
        kind = type(error) if error else None
        if kind not in self.may:
            raise AssertionError(f"the answer is {error!r}; allowed are {self.may}") from error
        return kind


class AnyInterleaving(RuleBasedStateMachine):
    """In the end everyone has an answer or an error of their own, or has left, and nothing is left inside."""

    runner: asyncio.Runner
    engine: Engine
    ends: Counter[type[BaseException] | None]

    def __init__(self) -> None:
        super().__init__()
        self.callers: list[Caller] = []

    def call(self, ask: Callable[[], Coroutine[Any, Any, None]], options: Options, *, fails: bool) -> None:
        async def begin() -> None:
            self.callers.append(Caller(ask(), options, fails=fails))

        self.runner.run(begin())

    @rule(rows=st.integers(1, 20), options=options, white=st.sampled_from([False, False, False, True]))
    def run_once(self, rows: int, options: Options, white: bool) -> None:
        images = example(rows, seed=len(self.callers))
        if white:
            images[rows // 2] = 255

        async def ask() -> None:
            check_answer(await self.engine.infer("fragile", None, {"image": images}, options=options), images)

        self.call(ask, options, fails=white)

    @rule(
        rows=st.integers(1, SLOTS),
        options=options,
        steps=st.integers(1, 40),
        seed=st.integers(0, 50),
        poison=st.sampled_from([False, False, False, True]),
        reads=st.sampled_from([1000, 1000, 1000, 3]),
    )
    def take_steps(self, rows: int, options: Options, steps: int, seed: int, poison: bool, reads: int) -> None:
        options = options._replace(steps=steps, seed=seed)
        begins = np.ones(rows, "i8")
        begins[rows // 2] = POISON if poison else 1

        async def ask() -> None:
            read: list[Emission] = []
            async with aclosing(self.engine.steps("chars", None, {"token": begins}, options=options)) as emissions:
                async for emission in emissions:
                    read.append(emission)
                    if len(read) == reads:
                        return
            check_tokens(read, seed, steps, rows)

        fails = poison or any(FATAL in chars(seed, steps, row)[:-1] for row in range(rows))
        self.call(ask, options, fails=fails)
        if reads < 1000:
            self.callers[-1].may.add(None)

    @rule(
        rows=st.integers(1, SLOTS),
        options=options,
        steps=st.integers(1, 20),
        seed=st.integers(0, 50),
        unknown=st.sampled_from([False, False, False, True]),
    )
    def diffuse(self, rows: int, options: Options, steps: int, seed: int, unknown: bool) -> None:
        labels = np.arange(rows) % LABELS
        wanted = np.stack([diffusion(seed, row % LABELS, steps, row) for row in range(rows)])
        if unknown:
            labels[rows // 2] = LABELS
        options = options._replace(steps=steps, seed=seed)

        async def ask() -> None:
            answer = await self.engine.infer("diffusion", None, label(*labels), options=options)
            assert_close(answer.outputs["image"], wanted)

        self.call(ask, options, fails=unknown)

    @rule(recent=st.integers(0, 5))
    def leave(self, recent: int) -> None:
        for caller in self.callers[::-1][recent : recent + 1]:
            caller.cancel()

    @rule(seconds=st.sampled_from([0, 0, 0, 0.001, 0.003]))
    def let_time_pass(self, seconds: float) -> None:
        self.runner.run(asyncio.sleep(seconds))

    def teardown(self) -> None:
        self.runner.run(self.end())

    async def end(self) -> None:
        tasks = [caller.task for caller in self.callers]
        if tasks:
            _, pending = await asyncio.wait(tasks, timeout=10)
            assert not pending, f"{len(pending)} of {len(tasks)} callers were never answered"
        for caller in self.callers:
            self.ends[caller.check()] += 1
        await settled(self.engine)
        assert len(asyncio.all_tasks()) == 1


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("interleaving")
    levels = {"priority_levels": 2, "default_priority_level": 2}
    continuing = {**levels, "default_queue_policy": {"timeout_action": "continue"}}
    write_package(folder, "fragile", work=64, fails_at=255, serving={"dynamic_batching": levels})
    write_chars(folder, fatal=FATAL, serving={"dynamic_batching": continuing})
    write_diffusion(folder, serving={"dynamic_batching": levels, "priority": 2})
    return folder


@pytest.mark.parametrize(("lanes", "quick"), [(1, True), (1, False), (2, False)])
def test_in_any_interleaving_every_other_caller_is_answered_with_its_own_rows(
    lanes: int, quick: bool, packages: Path
) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        engine = serving(packages, lanes=lanes, max_queue_rows=60)
        runner.run(engine.__aenter__())
        run_on(engine, lanes=not quick)
        ends = Counter[type[BaseException] | None]()
        here = {"runner": runner, "engine": engine, "ends": ends}
        machine = type("AnyInterleavingOfAnEngine", (AnyInterleaving,), here)
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(stateful_step_count=40, suppress_health_check=list(HealthCheck)),
            )
        finally:
            runner.run(engine.__aexit__(None, None, None))
    assert set(ends) >= {None, asyncio.CancelledError, DeadlineExceeded, InternalError}, ends
