"""ClassifyStream: what is answered, whose it is, and what becomes of the others when one fails or a caller leaves."""

import signal
import time

import numpy as np
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from service.surfaces.grpc.tasks import MAX_AT_ONCE
from tests.packages import CLASSES, example, expected
from tests.pictures import png
from tests.service.surfaces.callers import LONG, Upload, in_flight, occupy_slow_model, slow_model_occupied
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.transports import Refused
from tests.service.surfaces.vision_conversation import VisionConversation
from tests.serving import Server, eventually


def by_id(answers: list[pb.ClassifyStreamResponse]) -> dict[str, pb.ClassifyStreamResponse]:
    """The answers, each with an id of its own."""
    found = {answer.id: answer for answer in answers}
    assert len(found) == len(answers)
    return found


def test_a_stream_of_frames_is_answered_each_with_its_own_labels(server: Server) -> None:
    frames = example(500, seed=3)
    with VisionConversation(server) as caller:
        for i, frame in enumerate(frames):
            caller.ask(png(frame), id=f"frame-{i}", version="1", top_k=CLASSES)
        answers = by_id(caller.read_all())
    wanted = expected(frames)
    for i in range(len(frames)):
        response = answers[f"frame-{i}"].response
        assert (response.id, response.model, response.version) == (f"frame-{i}", "tiny", "1")
        probabilities = {label.index: label.probability for label in response.labels}
        np.testing.assert_allclose([probabilities[c] for c in range(CLASSES)], wanted[i], atol=1e-6)
        assert response.timing.decode_ms > 0


def test_requests_without_an_id_are_numbered_as_they_come(server: Server) -> None:
    frames = example(5, seed=4)
    with VisionConversation(server) as caller:
        for frame in frames:
            caller.ask(png(frame), top_k=1)
        answers = by_id(caller.read_all())
    assert answers.keys() == {"1", "2", "3", "4", "5"}
    for i, wanted in enumerate(expected(frames, 2).argmax(1), start=1):
        assert answers[str(i)].response.labels[0].index == wanted


def test_an_answer_comes_when_it_is_done_and_may_overtake_others(server: Server) -> None:
    with VisionConversation(server) as caller:
        with slow_model_occupied(server):
            caller.ask(png(), id="slow", model="slow")
            caller.ask(png(), id="quick", model="tiny")
            assert caller.read().id == "quick"
        (last,) = caller.read_all()
    assert (last.id, last.response.model) == ("slow", "slow")


def test_an_error_is_its_own_requests_answer_and_the_stream_goes_on(server: Server) -> None:
    with VisionConversation(server) as caller:
        caller.ask(b"a cat", id="image")
        caller.ask(png(), id="model", model="nope")
        caller.ask(png(), id="top_k", top_k=9)
        caller.send(b"\xff" * 100)
        caller.send(b"")
        caller.ask(png(), id="good")
        answers = by_id(caller.read_all())
    found = {id: (answer.error.code, answer.error.message) for id, answer in answers.items() if answer.error.code}
    assert answers.keys() - found.keys() == {"good"}
    words = {
        "image": ("INVALID_ARGUMENT", "the 5 bytes are not an image"),
        "model": ("NOT_FOUND", "no model 'nope'"),
        "top_k": ("INVALID_ARGUMENT", "top_k is 9; model 'tiny' allows 1 to 3"),
        "4": ("INVALID_ARGUMENT", "the request's 100 bytes cannot be read"),
        "5": ("INVALID_ARGUMENT", "the image has 0 bytes"),
    }
    assert found.keys() == words.keys()
    for id, (code, beginning) in words.items():
        assert found[id][0] == code
        assert found[id][1].startswith(beginning)


def test_half_closing_lets_what_runs_finish(server: Server) -> None:
    with VisionConversation(server) as caller:
        for _ in range(20):
            caller.ask(png(), model="slow")
        caller.hang_up_sending()
        assert by_id(list(caller)).keys() == {str(i) for i in range(1, 21)}


def test_no_more_requests_of_a_stream_run_at_once_than_are_allowed(server: Server) -> None:
    with VisionConversation(server) as caller:
        with slow_model_occupied(server):
            for _ in range(MAX_AT_ONCE + 20):
                caller.ask(png(), model="slow")
            assert eventually(lambda: in_flight(server, "vision_grpc") == MAX_AT_ONCE)
            time.sleep(0.3)
            assert in_flight(server, "vision_grpc") == MAX_AT_ONCE
        assert len(by_id(caller.read_all())) == MAX_AT_ONCE + 20


def test_leaving_a_stream_ends_all_of_its_requests(server: Server) -> None:
    cancelled = {"surface": "vision_grpc", "model": "slow", "reason": "cancelled"}
    before = server.metric("lectorium_rejections_total", **cancelled)
    with slow_model_occupied(server):
        rows = server.metric("lectorium_queue_rows", model="slow")
        with VisionConversation(server) as caller:
            for _ in range(30):
                caller.ask(png(), model="slow")
            assert eventually(lambda: in_flight(server, "vision_grpc") == 30)
            caller.call.cancel()
            assert eventually(lambda: in_flight(server, "vision_grpc") == 0)
        assert server.metric("lectorium_queue_rows", model="slow") <= rows
    assert server.metric("lectorium_rejections_total", **cancelled) == before + 30


def test_each_request_of_a_stream_is_counted_and_timed(server: Server) -> None:
    def measured() -> list[float]:
        of_tiny = {"model": "tiny", "version": "2", "surface": "vision_grpc"}
        return [
            server.metric("lectorium_request_duration_seconds_count", **of_tiny, code="OK"),
            server.metric("lectorium_request_duration_seconds_count", **of_tiny, code="INVALID_ARGUMENT"),
            server.metric("lectorium_decode_duration_seconds_count", **of_tiny),
            server.metric("lectorium_queue_duration_seconds_count", **of_tiny),
        ]

    before = measured()
    with VisionConversation(server) as caller:
        for image in (png(), png(), png(), b"a cat"):
            caller.ask(image)
        caller.read_all()
    assert [now - then for now, then in zip(measured(), before, strict=True)] == [3, 1, 3, 3]


def begun(server: Server) -> float:
    """The requests that have come, those that are answered included."""
    answered = server.metric("lectorium_request_duration_seconds_count", surface="vision_grpc")
    return answered + in_flight(server, "vision_grpc")


def test_draining_finishes_what_runs_and_refuses_new_requests_of_open_streams(start: StartServer) -> None:
    server = start()
    # Held inside, it keeps the server draining until all else has been seen.
    with Upload(server) as upload, VisionConversation(server) as caller:
        for _ in range(40):
            caller.ask(png(), model="slow")
        caller.read()
        assert eventually(lambda: begun(server) == 40)
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not server.answers("/readyz"))
        caller.ask(png(), id="after")
        answers = by_id([caller.read() for _ in range(40)])
        refused = answers.pop("after").error
        assert (refused.code, "shutting down" in refused.message) == ("UNAVAILABLE", True)
        assert len(answers) == 39
        assert all(answer.response.model == "slow" for answer in answers.values())
        assert upload.finish().status == 200
        assert server.wait() == 0


def test_what_outlasts_the_grace_time_is_ended_with_a_status(start: StartServer) -> None:
    server = start(drain_s=0.3, max_queue_rows=2 * LONG)
    leave = occupy_slow_model(server)
    with VisionConversation(server) as caller:
        caller.ask(png(), model="slow")
        assert eventually(lambda: in_flight(server, "vision_grpc") == 1)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(Refused, match=r"UNAVAILABLE|CANCELLED"):
            caller.read_on()
        assert server.wait() == 0
    leave()


def test_a_caller_that_reads_nothing_for_long_is_given_up_and_told_why(start: StartServer) -> None:
    server = start(timeout_s=1)
    with VisionConversation(server) as caller:
        for i in range(200):
            caller.ask(png(), id=f"{i} {'x' * 20_000}")
        assert eventually(
            lambda: server.metric("lectorium_rejections_total", surface="vision_grpc", reason="caller_behind") > 0
        )
        assert eventually(lambda: in_flight(server, "vision_grpc") == 0)
        with pytest.raises(Refused, match="the caller has read nothing for 1 s") as ended:
            caller.read_on()
    assert ended.value.code == "RESOURCE_EXHAUSTED"
