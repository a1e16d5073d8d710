"""A stream of frames over a real connection: answered in order, and skipped where a newer one came."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from service.errors import LectoriumError
from service.surfaces.gate import Call
from service.surfaces.grpc import frame_stream
from service.surfaces.grpc.frame_stream import Frame, FrameStream, frames
from tests.service.surfaces.grpc.test_request_stream import open_gate, streaming


class Frames:
    """A server of frames whose work ends when the test says so, and its caller.

    Attributes:
        begun: the ids of the frames whose work has begun, in that order.
        read: how many frames the server has read.
        left: whether work was cancelled, which is how the server learns that the caller has gone.
    """

    def __init__(self, at_once: int) -> None:
        self.begun: list[str] = []
        self.read = 0
        self.left = False
        self._at_once = at_once
        self._done: dict[str, asyncio.Event] = {}
        self.call: Any = None

    async def stream(self, requests: AsyncIterator[bytes], context: Any) -> None:
        served: FrameStream[bytes] = FrameStream(
            "vision_grpc",
            open_gate(),
            context,
            answers=self._answers,
            refusal=self._refusal,
            at_once=frame_stream.MOST_UNANSWERED,
            patience_s=10.0,
        )
        await served.serve(frames(self._messages(requests), self._at_once))

    async def _messages(self, requests: AsyncIterator[bytes]) -> AsyncGenerator[Any]:
        async for request in requests:
            id, skippable = orjson.loads(request)
            self.read += 1
            yield SimpleNamespace(request=SimpleNamespace(id=id), skippable=skippable)

    async def _answers(self, frame: Frame, call: Call) -> AsyncGenerator[bytes]:
        await frame.begin()
        self.begun.append(frame.id)
        try:
            await self._ending(frame.id).wait()
        except asyncio.CancelledError:
            self.left = True
            raise
        yield f"{frame.id} done".encode()

    def _refusal(self, frame: Frame, error: LectoriumError) -> bytes:
        return f"{frame.id} {error.grpc_code} {error}".encode()

    def _ending(self, id: str) -> asyncio.Event:
        return self._done.setdefault(id, asyncio.Event())

    def finish(self, *ids: str) -> None:
        """Let the work of these frames end."""
        for id in ids:
            self._ending(id).set()

    async def send(self, *ids: str, skippable: bool = False) -> None:
        """Send frames, and wait until the server has read them."""
        wanted = self.read + len(ids)
        for id in ids:
            await self.call.write(orjson.dumps([id, skippable]))
        await until(lambda: self.read == wanted)

    async def answer(self) -> str:
        """The next answer."""
        answer: bytes = await self.call.read()
        return answer.decode()


async def until(happened: Any) -> None:
    while not happened():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


@asynccontextmanager
async def served(at_once: int = 64) -> AsyncIterator[Frames]:
    made = Frames(at_once)
    async with streaming(made.stream) as (_, method):
        made.call = method(timeout=20)
        yield made
        made.call.cancel()


async def test_frames_run_at_the_same_time_and_are_answered_in_the_order_they_were_sent_in() -> None:
    async with served() as caller:
        await caller.send("a", "b", "c")
        await until(lambda: sorted(caller.begun) == ["a", "b", "c"])
        caller.finish("c", "b")
        reading = asyncio.create_task(caller.answer())
        await caller.send("d")
        assert not reading.done()
        caller.finish("a", "d")
        assert await reading == "a done"
        assert [await caller.answer() for _ in range(3)] == ["b done", "c done", "d done"]


async def test_a_skippable_frame_is_skipped_if_a_newer_one_arrives_before_its_turn() -> None:
    async with served() as caller:
        await caller.send("a", "b", "c", "d", skippable=True)
        caller.finish("a", "d")
        answers = [await caller.answer() for _ in range(4)]
    assert answers[0] == "a done"
    assert answers[1] == "b ABORTED frame 'b' was skipped: 'c' arrived before its turn"
    assert answers[2].startswith("c ABORTED")
    assert answers[3] == "d done"
    assert caller.begun == ["a", "d"]


async def test_a_frame_that_has_begun_and_one_that_may_not_be_skipped_are_answered() -> None:
    async with served() as caller:
        await caller.send("a", skippable=True)
        await until(lambda: caller.begun == ["a"])
        await caller.send("key")
        await caller.send("b", "c", skippable=True)
        caller.finish("a", "key", "c")
        answers = [await caller.answer() for _ in range(4)]
    assert [answer.split()[:2] for answer in answers] == [
        ["a", "done"],
        ["key", "done"],
        ["b", "ABORTED"],
        ["c", "done"],
    ]


async def test_frames_that_nobody_answers_yet_are_read_up_to_a_limit() -> None:
    async with served(at_once=2) as caller:
        for id in "abcde":
            await caller.call.write(orjson.dumps([id, False]))
        await until(lambda: caller.read == 3)
        await asyncio.sleep(0.05)
        assert (caller.begun, caller.read) == (["a", "b"], 3)
        caller.finish(*"abcde")
        assert [await caller.answer() for _ in range(5)] == [f"{id} done" for id in "abcde"]


async def test_skipped_frames_that_wait_to_be_answered_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_stream, "MOST_UNANSWERED", 4)
    async with served() as caller:
        for id in "abcdefgh":
            await caller.call.write(orjson.dumps([id, True]))
        await until(lambda: caller.read == 5)
        await asyncio.sleep(0.05)
        assert caller.read == 5
        caller.finish(*"abcdefgh")
        assert [(await caller.answer())[0] for _ in range(8)] == list("abcdefgh")


async def test_the_frames_of_a_caller_that_leaves_end() -> None:
    async with served() as caller:
        await caller.send("a", "b", skippable=True)
        await until(lambda: caller.begun == ["a"])
        caller.call.cancel()
        await until(lambda: caller.left)
        caller.finish("a", "b")
        await asyncio.sleep(0.05)
        assert caller.begun == ["a"]
