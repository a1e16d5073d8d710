"""The encoder of a loop runs only for requests whose steps have room, and places are given back whatever happens."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import Emission, Engine
from service.errors import DeadlineExceeded, Draining, QueueFull
from tests.service.engine.asking import serving, settled, stream
from tests.service.engine.captioning import describe, up_to_end
from tests.service.engine.captioning import rows as token_rows
from tests.service.engine.gate import Gate
from tests.step_packages import write_words
from tests.step_packages.words import SLOTS

ROOM = 4


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`words` alone, which has an encoder. Read it only."""
    folder = tmp_path_factory.mktemp("encoders")
    write_words(folder)
    return folder


def images(rows: int) -> Any:
    return np.zeros((rows, 2, 2), "u1")


def caption(engine: Engine, rows: int, **options: Any) -> asyncio.Task[list[Emission]]:
    return stream(engine, "words", {"image": images(rows)}, steps=8, **options)


class Encoder:
    """Notes the rows of the encoder's runs, and may be held."""

    def __init__(self, engine: Engine) -> None:
        once = engine._queues.of(engine.repository.get("words")).once
        assert once is not None
        self.queue = once
        self.gate = Gate(engine)
        self.held = once.session
        once.session = once.session._real  # type: ignore[attr-defined]
        once.session.inline_rows = 0

    @property
    def rows(self) -> list[int]:
        """Of the runs that were held, or may have been."""
        return [len(run.input) for run in self.gate.runs if run.input.ndim == 3]

    @contextmanager
    def gated(self) -> Iterator[None]:
        free, self.queue.session = self.queue.session, self.held
        yield
        self.queue.session = free


def encoded(engine: Engine) -> int:
    """The rows the encoder has run."""
    return engine.repository.get("words").statistics.inference_count


async def until(holds: Any) -> None:
    for _ in range(2000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it does not come to that")


async def test_a_request_whose_steps_find_no_room_is_refused_before_its_encoder_runs(words: Path) -> None:
    async with serving(words, lanes=2, max_queue_rows=ROOM) as engine:
        encoder = Encoder(engine)
        steps = engine._queues.of(engine.repository.get("words")).steps
        assert steps is not None
        with encoder.gate.closed():
            running = caption(engine, SLOTS)
            await encoder.gate.reached(1)
            waiting = caption(engine, ROOM)
            await until(lambda: steps.requests.rows == ROOM)
            assert encoded(engine) == SLOTS + ROOM
            for rows, options in ((1, {}), (ROOM, {"timeout_s": 5})):
                with pytest.raises(
                    QueueFull,
                    match=f"'words': the queue holds {ROOM} of at most {ROOM} rows; .* {rows} more",
                ):
                    await caption(engine, rows, **options)
            with pytest.raises(
                QueueFull, match=f"holds {ROOM} of at most {ROOM} rows; this request has 3 more"
            ):  # the rows of its beams
                await describe(engine, strategy="beam", beam_width=3)
            assert encoded(engine) == SLOTS + ROOM
            assert engine.repository.get("words").statistics.failures == {"REJECTED": 3}
        await asyncio.gather(running, waiting)
        assert up_to_end(token_rows(await describe(engine))[0])
        await settled(engine)


async def test_places_are_held_while_the_encoder_runs_and_nobody_is_refused_after_it(words: Path) -> None:
    async with serving(words, lanes=2, max_queue_rows=ROOM) as engine:
        encoder = Encoder(engine)
        steps = engine._queues.of(engine.repository.get("words")).steps
        assert steps is not None
        with encoder.gated(), encoder.gate.closed():
            first = caption(engine, ROOM - 1)
            await encoder.gate.reached(1)
            assert (steps.requests.rows, steps.requests.reserved) == (0, ROOM - 1)
            with pytest.raises(QueueFull):
                await caption(engine, 2)
            second = caption(engine, 1)
            await until(lambda: steps.requests.reserved == ROOM)
        await asyncio.gather(first, second)
        await settled(engine)


@pytest.mark.parametrize("end", ["leaves", "late", "impatient", "fails", "stops"])
async def test_places_are_given_back_however_the_encoders_stage_ends(end: str, words: Path) -> None:
    async with serving(words, max_queue_rows=ROOM) as engine:
        encoder = Encoder(engine)
        with encoder.gated(), encoder.gate.closed():
            options = {"late": {"timeout_s": 0.02}, "impatient": {"queue_timeout_s": 0.02}}.get(end, {})
            running = caption(engine, 1)
            await encoder.gate.reached(1)
            asked = caption(engine, 2, **options)
            await asyncio.sleep(0)
            if end == "leaves":
                asked.cancel()
            elif end == "fails":
                encoder.queue.close(ValueError("closed"))
            elif end == "stops":
                encoder.queue.close(Draining("stopped"))
            errors = {"leaves": asyncio.CancelledError, "fails": ValueError, "stops": Draining}
            with pytest.raises(errors.get(end, DeadlineExceeded)):
                await asked
        await running
        await settled(engine)


async def test_in_any_order_of_coming_and_leaving_no_place_is_lost(words: Path) -> None:
    random = np.random.default_rng(1)
    ends: Counter[str] = Counter()
    async with serving(words, lanes=2, max_queue_rows=3 * SLOTS) as engine:
        for _ in range(40):
            callers = []
            for _ in range(12):
                late = {"timeout_s": 0.003} if random.random() < 0.2 else {}
                if random.random() < 0.3:
                    callers.append(describe(engine, strategy="beam", beam_width=int(random.integers(2, SLOTS))))
                else:
                    callers.append(caption(engine, int(random.integers(1, SLOTS + 1)), **late))
                for _ in range(int(random.integers(0, 3))):
                    await asyncio.sleep(0)
            for caller in callers:
                if random.random() < 0.3:
                    await asyncio.sleep(0.001 * random.random())
                    caller.cancel()
            for end in await asyncio.gather(*callers, return_exceptions=True):
                ends[type(end).__name__] += 1
            await settled(engine)
    assert ends.keys() == {"list", "CancelledError", "QueueFull", "DeadlineExceeded"}
