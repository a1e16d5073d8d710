"""SIGTERM: no new request is taken, none of those inside is lost, and the process ends."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.needs import needs
from tests.packages import MAX_BATCH, example, expected
from tests.service.surfaces.callers import BEGIN, LONG, Upload, in_flight
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS, StartServer, ask
from tests.service.surfaces.image_transports import Http
from tests.service.surfaces.sockets import Reply, connect, read_reply
from tests.service.surfaces.transports import Answer, Grpc, Refused, Rest, infer_path, open_channel, tensor
from tests.serving import Server, eventually

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
WAYS = [*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS]


@dataclass
class Drain:
    """What was seen of a server that drained with an upload and a long call inside."""

    inside_when_it_fell: int = 0
    http_ready: int = 0
    rest_ready: httpx.Response | None = None
    model_ready: httpx.Response | None = None
    live: tuple[int, bool] = (0, False)
    grpc_ready: tuple[bool, bool] = (True, True)
    health: int = SERVING
    watched: list[int] = field(default_factory=list)
    refused: dict[str, Refused] = field(default_factory=dict)
    upload: Reply | None = None
    call: Answer | None = None
    exit_code: int = -1


@pytest.fixture(scope="module")
@needs("server")
def drain(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Drain:
    seen = Drain()
    with ExitStack() as stack:
        server = stack.enter_context(Server(zoo, tmp_path_factory.mktemp("draining") / "home"))
        rest, oip = stack.enter_context(closing(Rest(server))), stack.enter_context(closing(Grpc(server)))
        http = stack.enter_context(closing(Http(server)))
        upload = stack.enter_context(Upload(server))
        pool = stack.enter_context(ThreadPoolExecutor(2))
        watching = pool.submit(_watch_until_it_ends, oip.channel, seen.watched)
        call = pool.submit(oip.infer, "slow", [tensor(example(30 * MAX_BATCH))])
        assert eventually(lambda: in_flight(server, "oip_rest") == in_flight(server, "oip_grpc") == 1)
        assert eventually(lambda: seen.watched == [SERVING])

        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: rest.client.get("/v2/health/ready").status_code != 200)
        seen.inside_when_it_fell = in_flight(server, "oip_rest")
        seen.rest_ready, seen.model_ready = (rest.client.get(f"/v2/{what}/ready") for what in ("health", "models/tiny"))
        seen.http_ready = http.client.get("/readyz").status_code
        seen.live = (http.client.get("/livez").status_code, rest.live() and oip.live())
        seen.grpc_ready = (oip.ready(), oip.ready("tiny"))
        seen.health = health(oip.channel).Check(health_pb2.HealthCheckRequest()).status
        seen.refused = {way: _refused(server, way) for way in WAYS}

        seen.upload = upload.finish()
        seen.call = call.result()
        seen.exit_code = server.wait()
        watching.result()
    return seen


def health(channel: grpc.Channel) -> Any:
    return health_pb2_grpc.HealthStub(channel)


def _watch_until_it_ends(channel: grpc.Channel, watched: list[int]) -> None:
    with suppress(grpc.RpcError):
        for found in health(channel).Watch(health_pb2.HealthCheckRequest()):
            watched.append(found.status)


def _refused(server: Server, way: str) -> Refused:
    with pytest.raises(Refused) as caught:
        ask(server, way)
    return caught.value


def test_readiness_falls_before_the_requests_inside_have_ended(drain: Drain) -> None:
    assert drain.inside_when_it_fell == 1


def test_rest_is_not_ready_with_503_and_says_so(drain: Drain) -> None:
    assert drain.rest_ready is not None
    assert drain.model_ready is not None
    assert drain.rest_ready.status_code == 503
    assert drain.rest_ready.json() == {"ready": False, "reason": "the server is shutting down"}
    assert (drain.model_ready.status_code, drain.model_ready.json()["ready"]) == (503, False)


def test_port_3000_is_not_ready_with_503(drain: Drain) -> None:
    assert drain.http_ready == 503


def test_grpc_says_neither_server_nor_model_is_ready(drain: Drain) -> None:
    assert drain.grpc_ready == (False, False)


def test_grpc_health_is_not_serving_for_those_that_ask_and_those_that_watch(drain: Drain) -> None:
    assert drain.health == NOT_SERVING
    assert drain.watched == [SERVING, NOT_SERVING]


def test_the_process_stays_live_meanwhile(drain: Drain) -> None:
    assert drain.live == (200, True)


@pytest.mark.parametrize("way", WAYS)
def test_a_new_request_is_refused_as_unavailable(drain: Drain, way: str) -> None:
    assert drain.refused[way].code == "UNAVAILABLE"
    assert "shutting down" in drain.refused[way].message


def test_an_upload_begun_before_is_taken_and_answered(drain: Drain) -> None:
    assert drain.upload is not None
    assert drain.upload.status == 200
    probabilities = orjson.loads(drain.upload.body)["outputs"][0]["data"]
    np.testing.assert_allclose([probabilities], expected(np.zeros((1, 4, 4), "u1"), 2), atol=1e-6)


def test_a_call_begun_before_is_answered(drain: Drain) -> None:
    assert drain.call is not None
    np.testing.assert_allclose(drain.call.outputs["probabilities"], expected(example(30 * MAX_BATCH)), atol=1e-5)


def test_the_process_ends_well(drain: Drain) -> None:
    assert drain.exit_code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_with_nothing_inside_it_does_not_wait_for_the_grace_time_whoever_keeps_a_connection(
    start: StartServer, number: signal.Signals
) -> None:
    server = start(drain_s=3600)
    with closing(Rest(server)) as rest, closing(Http(server)) as http, open_channel(server) as channel:
        rest.live()
        http.client.get("/livez")
        watch = health(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == SERVING
        with connect(server.http_port) as silent, connect(server.rest_port) as half, connect(server.grpc_port):
            silent.sendall(b"GET /")
            half.sendall(b"POST /v2 HTTP/1.1\r\nHost: x\r\n")
            server.process.send_signal(number)
            assert server.wait() == 0
        watch.cancel()
    assert "draining" in server.log
    assert "ERROR" not in server.log


def test_what_outlasts_the_grace_time_does_not_keep_the_process(start: StartServer) -> None:
    server = start(drain_s=0.5, max_queue_rows=2 * LONG)
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:
        stalled = stack.enter_context(connect(server.rest_port))
        stalled.sendall(f"POST {infer_path('tiny')} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n".encode())
        call = pool.submit(stack.enter_context(closing(Grpc(server))).infer, "slow", [tensor(example(LONG))])
        assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") > 0)
        for begin in BEGIN.values():
            stack.callback(begin(server))
        inside = {"oip_grpc": 2, "vision_grpc": 1, "http": 1, "oip_rest": 2}
        assert eventually(lambda: all(in_flight(server, surface) == count for surface, count in inside.items()))
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
        reply = read_reply(stalled)
        with pytest.raises(Refused, match=r"UNAVAILABLE|CANCELLED"):
            call.result()
    assert (reply.status, orjson.loads(reply.body)) == (
        503,
        {"error": "the server stopped before this request was answered"},
    )
    assert "6 request(s) still in flight after 0.5 s" in server.log


def test_a_second_sigterm_changes_nothing(start: StartServer) -> None:
    server = start()
    with closing(Grpc(server)) as oip, ThreadPoolExecutor(1) as pool:
        call = pool.submit(oip.infer, "slow", [tensor(example(10 * MAX_BATCH))])
        assert eventually(lambda: in_flight(server, "oip_grpc") == 1)
        for _ in range(3):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.02)
        assert call.result().model == "slow"
    assert server.wait() == 0
