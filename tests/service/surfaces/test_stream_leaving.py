"""Callers of streams that leave, that do not read, and the server's own end: on both transports."""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest

from protos import open_inference_pb2 as pb
from service.engine.step_request import MAX_UNREAD_BYTES
from tests.needs import needs
from tests.packages import example
from tests.service.surfaces.callers import Upload, in_flight
from tests.service.surfaces.conversation import Conversation
from tests.service.surfaces.sockets import connect
from tests.service.surfaces.ticks import FLOOD
from tests.service.surfaces.transports import Grpc, Refused, model_path
from tests.serving import Server, eventually

ENDLESS = 1_000_000
# What the server may grow by where its caller does not read; what is emitted for it meanwhile is many times that.
MAX_GROWTH = 200 << 20
# One more than a caller of `flood` may leave unread, of a MiB each.
STEPS_TO_BE_LET_GO = MAX_UNREAD_BYTES // (4 * FLOOD) + 1


class Begun(NamedTuple):
    """A caller with an endless request of which it has read the beginning."""

    surface: str
    leave: Callable[[], None]


@contextmanager
def grpc_caller(server: Server, model: str) -> Iterator[Begun]:
    with Conversation(server, timeout_s=120) as caller:
        caller.ask(model, steps=ENDLESS)
        caller.read()
        yield Begun("oip_grpc", caller.call.cancel)


@contextmanager
def rest_caller(server: Server, model: str) -> Iterator[Begun]:
    with connect(server.rest_port) as connection:
        connection.sendall(post(f"{model_path(model)}/generate_stream", steps=ENDLESS))
        assert b"data: " in connection.recv(1 << 10) + connection.recv(1 << 10)
        yield Begun("oip_rest", connection.close)


@contextmanager
def gathering_caller(server: Server, model: str) -> Iterator[Begun]:
    before = statistics(server, model).execution_count
    with connect(server.rest_port) as connection:
        connection.sendall(post(f"{model_path(model)}/generate", steps=ENDLESS))
        assert eventually(lambda: statistics(server, model).execution_count > before)
        yield Begun("oip_rest", connection.close)


def post(path: str, **parameters: int) -> bytes:
    body = orjson.dumps({"parameters": parameters})
    return f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def statistics(server: Server, model: str) -> pb.ModelStatistics:
    oip = Grpc(server)
    (found,) = oip.statistics(model)
    oip.close()
    return found


def stepping(server: Server, model: str) -> bool:
    """Whether steps are still taken, for whomever."""
    before = statistics(server, model).execution_count
    time.sleep(0.1)
    return statistics(server, model).execution_count != before


CALLERS = {"grpc": grpc_caller, "generate_stream": rest_caller, "generate": gathering_caller}


@pytest.mark.parametrize("way", CALLERS)
def test_a_caller_that_leaves_frees_its_slots_at_once(loops: Server, way: str) -> None:
    failed = statistics(loops, "ticks").inference_stats.fail.count
    with CALLERS[way](loops, "ticks") as begun:
        assert eventually(lambda: stepping(loops, "ticks"))
        assert in_flight(loops, begun.surface) == 1
        begun.leave()
        assert eventually(lambda: not stepping(loops, "ticks"))
    assert eventually(lambda: in_flight(loops, begun.surface) == 0)
    assert statistics(loops, "ticks").inference_stats.fail.count == failed + 1
    assert loops.metric("lectorium_rejections_total", model="ticks", surface=begun.surface, reason="cancelled") >= 1


def test_leaving_a_stream_ends_all_of_its_requests(loops: Server) -> None:
    with Conversation(loops) as caller:
        for model in ("ticks",) * 20 + ("slow",) * 20:  # more than there are slots: most of them wait
            caller.ask(model, steps=ENDLESS) if model == "ticks" else caller.ask(model, inputs={"image": example(64)})
        caller.read()
        assert eventually(lambda: in_flight(loops, "oip_grpc") == 40)
        caller.call.cancel()
        assert eventually(lambda: in_flight(loops, "oip_grpc") == 0)
    assert eventually(lambda: not stepping(loops, "ticks"))


@pytest.mark.parametrize("way", ["grpc", "generate_stream"])
def test_a_caller_that_leaves_while_an_answer_waits_for_it_is_no_fault_of_ours(loops: Server, way: str) -> None:
    with CALLERS[way](loops, "flood") as begun:
        assert eventually(lambda: not stepping(loops, "flood"))
        begun.leave()
        assert eventually(lambda: in_flight(loops, begun.surface) == 0)
    assert "Traceback" not in loops.log


KILLED = """
import sys
from types import SimpleNamespace
from tests.service.surfaces.conversation import Conversation
with Conversation(SimpleNamespace(grpc=sys.argv[1])) as caller:
    caller.ask("ticks", steps=1_000_000)
    for answer in caller:
        print(answer.parameters["step"], flush=True)
"""


def test_a_caller_that_dies_frees_its_slots(loops: Server) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", KILLED, loops.grpc], cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        assert in_flight(loops, "oip_grpc") == 1
        process.kill()
    assert eventually(lambda: in_flight(loops, "oip_grpc") == 0)
    assert eventually(lambda: not stepping(loops, "ticks"))


def behind(server: Server, surface: str) -> float:
    """How many requests for `flood` have ended because their caller did not read."""
    labels = {"model": "flood", "surface": surface, "reason": "caller_behind"}
    return server.metric("lectorium_rejections_total", **labels)


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) << 10


def test_a_caller_that_does_not_read_is_let_go_before_it_fills_the_memory(loops: Server) -> None:
    before, ran = resident_bytes(loops), statistics(loops, "flood").execution_count
    with Conversation(loops, timeout_s=120) as caller:
        for i in range(8):
            caller.ask("flood", str(i), steps=1000)
        # They step four at a time.
        assert eventually(lambda: statistics(loops, "flood").execution_count >= ran + 2 * STEPS_TO_BE_LET_GO)
        assert eventually(lambda: not stepping(loops, "flood"))
        assert resident_bytes(loops) - before < MAX_GROWTH
        answers = caller.read_all()
    last = {answer.id: answer for answer in answers}
    assert len(last) == 8
    assert all("unread; at most" in answer.error and answer.final for answer in last.values())
    for i in range(8):  # what was emitted before is not lost
        counts = [answer.outputs["count"][0, 0] for answer in answers if answer.id == str(i) and not answer.error]
        assert counts == list(range(1, len(counts) + 1))


def test_an_events_caller_that_does_not_read_is_let_go_and_told(loops: Server) -> None:
    before, ran = resident_bytes(loops), statistics(loops, "flood").execution_count
    with connect(loops.rest_port) as connection:
        connection.sendall(post(f"{model_path('flood')}/generate_stream", steps=1000))
        connection.recv(1 << 10)
        assert eventually(lambda: statistics(loops, "flood").execution_count >= ran + STEPS_TO_BE_LET_GO)
        assert eventually(lambda: not stepping(loops, "flood"))
        assert resident_bytes(loops) - before < MAX_GROWTH
        end = b""
        while not end.endswith(b"0\r\n\r\n"):
            end = end[-1000:] + connection.recv(1 << 20)
    assert b'data: {"error":"' in end
    assert b"unread; at most" in end


@pytest.fixture(scope="module")
@needs("server")
def impatient(loop_zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits a second for anything."""
    with Server(loop_zoo, tmp_path_factory.mktemp("impatient") / "home", timeout_s=1) as server:
        yield server


@pytest.mark.parametrize("way", ["grpc", "generate_stream"])
def test_a_caller_that_reads_nothing_for_long_is_given_up(impatient: Server, way: str) -> None:
    with CALLERS[way](impatient, "flood") as begun:
        assert eventually(lambda: behind(impatient, begun.surface) == 1)
        assert eventually(lambda: in_flight(impatient, begun.surface) == 0)
    assert behind(impatient, begun.surface) == 1


def test_streams_sent_ahead_hold_nothing_while_the_first_is_not_read(impatient: Server) -> None:
    ask = post(f"{model_path('flood')}/generate_stream", steps=ENDLESS)
    before = behind(impatient, "oip_rest")
    with connect(impatient.rest_port) as connection:
        connection.sendall(ask * 12)
        inside: list[int] = []
        while behind(impatient, "oip_rest") == before:
            inside.append(in_flight(impatient, "oip_rest"))
        assert max(inside, default=1) == 1
        connection.settimeout(10)
        with suppress(ConnectionError):
            while connection.recv(1 << 20):
                pass  # what was written before; then the end


def test_streams_sent_ahead_and_read_come_in_their_order(loops: Server) -> None:
    with connect(loops.rest_port) as connection:
        for steps in (3, 1, 2):
            connection.sendall(post(f"{model_path('ticks')}/generate_stream", steps=steps))
        received = b""
        while received.count(b"0\r\n\r\n") < 3:
            received += connection.recv(1 << 20)
    assert re.findall(rb'"step":(\d+)', received) == [b"1", b"2", b"3", b"1", b"1", b"2"]


def test_a_stream_given_up_ends_with_a_status_that_says_why(impatient: Server) -> None:
    with Conversation(impatient) as caller:
        before = behind(impatient, "oip_grpc")
        for _ in range(3):
            caller.ask("flood", steps=ENDLESS)
        assert eventually(lambda: behind(impatient, "oip_grpc") > before)
        assert eventually(lambda: in_flight(impatient, "oip_grpc") == 0)
        with pytest.raises(Refused, match="the caller has read nothing for 1 s") as ended:
            caller.read_on()
    assert ended.value.code == "RESOURCE_EXHAUSTED"


def test_the_deadline_ends_a_stream_in_its_midst(impatient: Server) -> None:
    with Conversation(impatient) as caller:
        caller.ask("ticks", steps=ENDLESS)
        *answers, last = caller.read_all()
    assert answers
    assert last.error == "model 'ticks': no answer in 1 s"


@pytest.mark.server
def test_draining_finishes_what_runs_and_refuses_new_requests_of_open_streams(loop_zoo: Path, tmp_path: Path) -> None:
    with Server(loop_zoo, tmp_path / "home") as server:
        events = connect(server.rest_port)
        events.sendall(post(f"{model_path('ticks')}/generate_stream", steps=4000))
        # Held inside, it keeps the server draining until all else has been seen.
        with Conversation(server) as caller, events, Upload(server) as upload:
            caller.ask("ticks", "before", steps=4000)
            caller.read()
            events.recv(1 << 10)
            server.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: not server.answers("/readyz"))
            caller.ask("tiny", "after", inputs={"image": example(1)})
            ended: dict[str, Any] = {}
            while ended.keys() != {"before", "after"}:
                answer = caller.read()
                if answer.final:
                    ended[answer.id] = answer
            assert "shutting down" in ended["after"].error
            assert ended["before"].parameters["step"] == 4000
            assert upload.finish().status == 200
            received = b""
            while chunk := events.recv(1 << 20):
                received = received[-2000:] + chunk
            assert b'"step":4000' in received
            assert received.endswith(b"0\r\n\r\n")
            assert server.wait() == 0


@pytest.mark.server
def test_what_outlasts_the_grace_time_is_ended_with_a_status(loop_zoo: Path, tmp_path: Path) -> None:
    with Server(loop_zoo, tmp_path / "home", drain_s=0.3) as server, Conversation(server) as caller:
        caller.ask("ticks", steps=ENDLESS)
        caller.read()
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(Refused, match=r"UNAVAILABLE|CANCELLED"):
            caller.read_on()
        assert server.wait() == 0
