"""Callers that leave in the midst of a sentence, or must, and the server's own end: on every way to ask for one."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from protos.lectorium.v1.vision_pb2_grpc import VisionStub
from tests.needs import needs
from tests.service.surfaces.callers import Leave, begin_caption, in_flight
from tests.service.surfaces.captioning import STREAM, TRANSPORTS, ask, form, lines_of
from tests.service.surfaces.test_stream_leaving import stepping
from tests.service.surfaces.transports import Refused, open_channel
from tests.service.tasks.captioning import BLACK, ENDLESS
from tests.serving import Server, eventually

LONG: dict[str, Any] = {"model": "endless", "max_words": ENDLESS}
Begun = Iterator[Leave]


@contextmanager
def whole(server: Server) -> Begun:
    """Waits for the answer."""
    leave = begin_caption(server, BLACK, **LONG)
    try:
        assert eventually(lambda: stepping(server, "endless"))
        yield leave
    finally:
        leave()


@contextmanager
def stream(server: Server) -> Begun:
    """Has read the first word's event."""
    with httpx.stream("POST", server.http + STREAM, files=form(BLACK, LONG), timeout=30) as response:
        events = iter(lines_of(response))  # kept: without it the response would be closed
        assert next(events)[0] == "word"
        yield response.close


@contextmanager
def vision(server: Server) -> Begun:
    """Has read the first word."""
    with open_channel(server) as channel:
        call: Any = VisionStub(channel).Caption(pb.CaptionRequest(image=BLACK, **LONG))
        assert next(call).HasField("word")
        yield call.cancel


CALLERS: dict[str, tuple[str, Callable[[Server], Any]]] = {
    "http": ("http", whole),
    "http_stream": ("http", stream),
    "vision_grpc": ("vision_grpc", vision),
}


@pytest.mark.parametrize("way", CALLERS)
def test_leaving_in_the_midst_of_a_sentence_frees_its_rows_at_once(loops: Server, way: str) -> None:
    surface, begin = CALLERS[way]
    cancelled = {"model": "endless", "surface": surface, "reason": "cancelled"}
    before = loops.metric("lectorium_rejections_total", **cancelled)
    with begin(loops) as leave:
        assert in_flight(loops, surface) == 1
        assert eventually(lambda: stepping(loops, "endless"))
        leave()
        assert eventually(lambda: not stepping(loops, "endless"))
        assert eventually(lambda: in_flight(loops, surface) == 0)
    assert loops.metric("lectorium_queue_rows", model="endless") == 0
    assert loops.metric("lectorium_rejections_total", **cancelled) == before + 1


@pytest.fixture(scope="module")
@needs("server")
def impatient(loop_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits half a second for anything."""
    with Server(loop_zoo, tmp_path_factory.mktemp("impatient") / "home", timeout_s=0.5) as server:
        yield server


@pytest.mark.parametrize("way", TRANSPORTS)
def test_the_deadline_ends_a_sentence_in_its_midst(impatient: Server, way: str) -> None:
    if way == "http_stream":
        with httpx.stream("POST", impatient.http + STREAM, files=form(BLACK, LONG)) as response:
            assert response.status_code == 200
            *words, last = lines_of(response)
        assert {name for name, _ in words} == {"word"}
        assert last == ("error", {"error": "model 'endless': no answer in 0.5 s"})
    else:
        with pytest.raises(Refused, match=r"model 'endless': no answer in 0\.5 s") as ended:
            ask(impatient, way, BLACK, **LONG)
        assert ended.value.code == "DEADLINE_EXCEEDED"
    surface = CALLERS[way][0]
    assert eventually(lambda: in_flight(impatient, surface) == 0)
    labels = {"model": "endless", "surface": surface, "reason": "deadline"}
    assert impatient.metric("lectorium_rejections_total", **labels) >= 1


def test_a_grpc_callers_own_deadline_frees_the_rows_after_the_words_that_came(loops: Server) -> None:
    with open_channel(loops) as channel:
        request = pb.CaptionRequest(image=BLACK, model="endless", max_words=ENDLESS)
        grpc.channel_ready_future(channel).result(10)
        words: list[pb.CaptionResponse] = []
        for timeout_s in (0.5, 5, 20):  # a busy machine has no word in half a second
            call: Any = VisionStub(channel).Caption(request, timeout=timeout_s)
            with pytest.raises(grpc.RpcError, match="DEADLINE_EXCEEDED"):
                words.extend(call)
            if words:
                break
    assert words
    assert eventually(lambda: in_flight(loops, "vision_grpc") == 0)
    assert eventually(lambda: not stepping(loops, "endless"))


@pytest.fixture(scope="module")
@needs("server")
def crowded(loop_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where few rows may wait."""
    with Server(loop_zoo, tmp_path_factory.mktemp("crowded") / "home", max_queue_rows=4) as server:
        yield server


@pytest.mark.parametrize("way", TRANSPORTS)
def test_where_too_many_rows_wait_a_caption_is_refused(crowded: Server, way: str) -> None:
    # Eight slots are taken by the beams of one request, and four rows of another may wait: a third is one too many.
    leaving = [begin_caption(crowded, BLACK, **LONG, strategy="beam", beam_width=8)]
    assert eventually(lambda: stepping(crowded, "endless"))
    leaving.append(begin_caption(crowded, BLACK, **LONG, strategy="beam", beam_width=4))
    assert eventually(lambda: crowded.metric("lectorium_queue_rows", model="endless") == 4)
    with pytest.raises(Refused, match="of at most 4 rows; this request has 1 more") as refused:
        ask(crowded, way, BLACK, model="endless")
    assert refused.value.code == "RESOURCE_EXHAUSTED"
    for leave in leaving:
        leave()
    assert eventually(lambda: in_flight(crowded, "http") == 0)


@pytest.mark.server
def test_draining_finishes_the_sentences_that_were_begun(loop_zoo: Path, tmp_path: Path) -> None:
    with (
        Server(loop_zoo, tmp_path / "home") as server,
        httpx.stream("POST", server.http + STREAM, files=form(BLACK, {**LONG, "max_words": 2000})) as response,
        open_channel(server) as channel,
    ):
        events = iter(lines_of(response))
        assert next(events)[0] == "word"
        request = pb.CaptionRequest(image=BLACK, model="endless", max_words=2000)
        call: Any = VisionStub(channel).Caption(request)
        assert next(call).HasField("word")
        ended: list[Any] = []
        reading = threading.Thread(target=lambda: ended.extend(call))
        server.process.send_signal(signal.SIGTERM)
        reading.start()
        *_, (name, answer) = events
        reading.join()
        assert name == "answer"
        assert len(answer["captions"][0]["words"]) == len(ended[-1].answer.captions[0].words) == 2000
        assert server.wait() == 0
