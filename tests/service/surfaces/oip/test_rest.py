"""What only HTTP has: header lengths, paths, verbs, body limits and callers that hang up."""

import json
from types import SimpleNamespace
from typing import cast

import pytest

from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Gate
from service.surfaces.http.disconnect import Message
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.rest import OipRest
from tests.service.surfaces.asgi import Receive
from tests.service.surfaces.rest_requests import BINARY, IMAGE, PATH, PIXELS, body, refusal
from tests.service.surfaces.sockets import exchange
from tests.service.surfaces.transports import JSON_LENGTH, Refused, Rest, infer_path
from tests.serving import MAX_REQUEST_BYTES, eventually


@pytest.mark.parametrize(
    ("length", "words"),
    [
        ("-1", "'-1'; it must be a number of bytes"),
        ("+5", "'+5'; it must be a number of bytes"),
        ("1e3", "'1e3'; it must be a number of bytes"),
        ("five", "'five'; it must be a number of bytes"),
        ("9" * 5000, "'9999"),
        ("100000", "is 100000; the body has"),
        ("1", "is not JSON"),
    ],
)
def test_a_wrong_json_length_is_refused(rest: Rest, length: str, words: str) -> None:
    content, _ = body(PIXELS.tobytes(), inputs=[BINARY])
    assert words in refusal(rest, content, {JSON_LENGTH: length})


def test_bytes_after_the_last_binary_input_are_refused(rest: Rest) -> None:
    assert "3 bytes follow the last binary input" in refusal(rest, *body(PIXELS.tobytes() + b"abc", inputs=[BINARY]))


def test_a_binary_size_that_is_not_the_shapes_is_refused(rest: Rest) -> None:
    short = {**IMAGE, "parameters": {"binary_data_size": 15}}
    assert "'image' has 15 bytes; shape [1, 4, 4] of UINT8 needs 16" in refusal(rest, *body(bytes(15), inputs=[short]))


def test_a_raw_body_of_another_size_is_refused(rest: Rest) -> None:
    assert "15 bytes; shape [1, 4, 4] of UINT8 needs 16" in refusal(rest, bytes(15), {JSON_LENGTH: "0"})


def test_a_raw_body_for_a_model_of_several_inputs_is_refused(rest: Rest) -> None:
    with pytest.raises(Refused, match="INVALID_ARGUMENT: model 'echo' has the inputs"):
        rest.post(infer_path("echo"), bytes(16), {JSON_LENGTH: "0"})


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v1",
        "/V2",
        "/v2/models",
        "/v2/models/",
        "/v2/models/tiny/nope",
        "/v2/models/tiny/infer/x",
        "/v2/models/tiny/versions/",
        "/v2/models/ti%2Fny/ready",
        "/v2/health",
        "/v2//health/live",
        "/" + "x" * 20_000,
    ],
)
def test_an_unknown_path_is_not_found(rest: Rest, path: str) -> None:
    response = rest.client.get(path)
    assert response.status_code == 404
    assert response.json()["error"].startswith("no path '/")
    assert len(response.json()["error"]) < 300


@pytest.mark.parametrize(
    ("verb", "path", "right"),
    [
        ("GET", PATH, "POST"),
        ("PUT", PATH, "POST"),
        ("POST", "/v2", "GET"),
        ("POST", "/v2/health/ready", "GET"),
        ("DELETE", "/v2/models/tiny", "GET"),
        ("OPTIONS", "/v2/models/tiny/versions/1/ready", "GET"),
    ],
)
def test_a_wrong_verb_is_refused_with_the_right_one(rest: Rest, verb: str, path: str, right: str) -> None:
    response = rest.client.request(verb, path)
    assert response.status_code == 405
    assert response.json() == {"error": f"{verb} {path}: this path takes {right}"}


@pytest.mark.parametrize("announced", [True, False], ids=["content-length", "chunked"])
def test_a_body_over_the_limit_is_refused(rest: Rest, announced: bool) -> None:
    size = MAX_REQUEST_BYTES + 1
    content = bytes(size) if announced else (bytes(size // 8 + 1) for _ in range(8))
    response = rest.client.post(PATH, content=content)
    assert response.status_code == 413
    assert f"at most {MAX_REQUEST_BYTES} are allowed" in response.json()["error"]


def test_a_body_announced_over_the_limit_is_refused_before_it_comes(rest: Rest) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n"
    reply = exchange(rest.server.rest_port, head.encode())
    assert reply.status == 413
    assert json.loads(reply.body) == {
        "error": f"the request has {1 << 40} bytes; at most {MAX_REQUEST_BYTES} are allowed"
    }


def test_a_caller_that_hangs_up_inside_its_body_is_counted_as_cancelled(rest: Rest) -> None:
    labels = {"surface": "oip_rest", "code": "CANCELLED", "model": "tiny"}
    before = rest.server.metric("lectorium_request_duration_seconds_count", **labels)
    exchange(
        rest.server.rest_port,
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\nab".encode(),
        half_close=True,
    )
    assert eventually(lambda: rest.server.metric("lectorium_request_duration_seconds_count", **labels) == before + 1)


@pytest.mark.parametrize("path", ["/v2", "/v2/", "/v2?a=b"])
def test_the_servers_own_path_forgives_a_slash_and_a_query(rest: Rest, path: str) -> None:
    assert rest.client.get(path).json()["name"] == "lectorium"


def test_health_answers_are_json(rest: Rest) -> None:
    assert rest.client.get("/v2/health/live").json() == {"live": True}
    assert rest.client.get("/v2/health/ready").json() == {"ready": True}
    assert rest.client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "version": "2", "ready": True}


async def test_before_every_port_listens_it_is_not_ready_with_400() -> None:
    engine, config = cast(Engine, SimpleNamespace(alive=True, why_not_ready="")), Config()
    rest = OipRest(DataPlane(engine, gate := Gate(engine), config), gate, config)
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    request = {"type": "http", "method": "GET", "path": "/v2/health/ready", "headers": []}
    await rest(request, Receive([]), send)
    gate.open()
    await rest(request, Receive([]), send)
    assert [(start["status"], body["body"]) for start, body in (sent[:2], sent[2:])] == [
        (400, b'{"reason":"the server is starting","ready":false}'),
        (200, b'{"ready":true}'),
    ]
