"""Who may load and unload: a page of another site may not, and where there is a token, only who sends it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from protos import open_inference_pb2 as pb
from protos.open_inference_pb2_grpc import GRPCInferenceServiceStub
from tests.needs import needs
from tests.packages import write_package
from tests.service.surfaces.sockets import connect, read_reply
from tests.service.surfaces.transports import Rest, open_channel
from tests.serving import Server

TOKEN = "s3cret-token"
LOAD, UNLOAD = (f"/v2/repository/models/tiny/{change}" for change in ("load", "unload"))
JSON = {"content-type": "application/json"}


def serve(folder: Path, **settings: Any) -> Server:
    write_package(folder / "zoo")
    return Server(folder / "zoo", folder / "home", model_control="explicit", **settings)


@pytest.fixture(scope="module")
@needs("server")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Requests control its models, and no token is set."""
    with serve(tmp_path_factory.mktemp("open")) as server:
        yield server


@pytest.fixture(scope="module")
@needs("server")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It has a token, and goes by a name of its own."""
    settings = {"control_token": TOKEN, "allowed_hosts": "models.example, Other.Example", "log_level": "debug"}
    with serve(tmp_path_factory.mktemp("guarded"), **settings) as server:
        yield server
    assert TOKEN not in server.log


def ask(server: Server, path: str, content: bytes = b"", /, **headers: str) -> httpx.Response:
    """A POST with those headers, ``_`` standing for ``-``; httpx itself says no content type of bytes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(server.rest + path, content=content, headers=named, timeout=30)


def refused(response: httpx.Response, status: int, words: str) -> None:
    assert response.status_code == status, response.text
    assert response.json().keys() == {"error"}
    assert words in response.json()["error"]
    assert len(response.text) < 500


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
@pytest.mark.parametrize("content", [b"", b'{"parameters": {}}'])
@pytest.mark.parametrize(
    "origin",
    [
        *["http://evil.example", "https://evil.example:8000", "null", "http://203.0.113.5", "file://", "localhost"],
        *["http://localhost.evil.example", "http://evil.example/localhost", "http://localhost@evil.example"],
        *["chrome-extension://localhost", "http://127.0.0.1.evil.example", "", "x" * 5000],
    ],
)
def test_a_page_of_another_site_changes_nothing(open_server: Server, path: str, content: bytes, origin: str) -> None:
    refused(ask(open_server, path, content, origin=origin), 403, origin[:60])
    assert ready(open_server)


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
@pytest.mark.parametrize(
    "host",
    [
        *["evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "2130706433"],
        *["0x7f.1", "localhost@evil.example", "[::1", "models.example"],
    ],
)
def test_a_page_whose_domain_was_made_to_lead_here_changes_nothing(open_server: Server, path: str, host: str) -> None:
    refused(ask(open_server, path, host=host, origin=f"http://{host}"), 403, host)
    refused(ask(open_server, path, host=host), 403, "an IP address, localhost or a name in allowed_hosts")
    assert ready(open_server)


def test_two_host_headers_are_refused(open_server: Server) -> None:
    head = f"POST {UNLOAD} HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n"
    with connect(open_server.rest_port) as connection:
        connection.sendall(head.encode())
        assert read_reply(connection).status in (400, 403)
    assert ready(open_server)


@pytest.mark.parametrize(
    "kind",
    ["text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"],
)
def test_a_body_that_a_page_may_send_unasked_is_refused(open_server: Server, kind: str) -> None:
    for path in (LOAD, UNLOAD):
        refused(
            ask(open_server, path, b"{}", content_type=kind),
            400,
            f"content-type is {kind!r}; it must be application/json",
        )
    assert ready(open_server)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:8000"},
        {"host": "LocalHost"},
        {"host": "127.0.0.1"},
        {"host": "10.1.2.3:8000"},
        {"host": "[::1]:8000"},
        {"host": "[fe80::1]"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8000"},
        {"origin": "http://[::1]"},
        {"host": "10.1.2.3:8000", "origin": "http://10.1.2.3:3000"},
    ],
)
@pytest.mark.parametrize("kind", [None, "application/json", "Application/JSON; charset=utf-8"])
def test_who_may_change_models_does(open_server: Server, headers: dict[str, str], kind: str | None) -> None:
    named = headers | ({"content_type": kind} if kind else {})
    assert ask(open_server, UNLOAD, b'{"parameters": {}}', **named).status_code == 200
    assert not ready(open_server)
    assert ask(open_server, LOAD, **headers).status_code == 200
    assert ready(open_server)


def test_what_changes_nothing_is_answered_under_any_name_and_to_anybody(guarded: Server) -> None:
    headers = {"host": "evil.example", "origin": "http://evil.example"}
    assert httpx.get(guarded.rest + "/v2/models/tiny", headers=headers).status_code == 200
    assert ask(guarded, "/v2/repository/index", b'{"ready": true}', **headers).json()[0]["name"] == "tiny"


@pytest.mark.parametrize(
    ("authorization", "words"),
    [
        (None, "was given 0 times"),
        (TOKEN, "has another form"),
        ("", "has another form"),
        (f"Basic {TOKEN}", "has another form"),
        (f"Bearer {TOKEN} x", "has another form"),
        ("Bearer", "has another form"),
        (f"Bearer {TOKEN}x", "is not this server's"),
        (f"Bearer {TOKEN[:-1]}", "is not this server's"),
        (f"Bearer {TOKEN.upper()}", "is not this server's"),
        ("Bearer " + "x" * 4000, "is not this server's"),
    ],
)
def test_without_the_token_nothing_changes(guarded: Server, authorization: str | None, words: str) -> None:
    headers = {} if authorization is None else {"authorization": authorization}
    for path in (LOAD, UNLOAD):
        response = ask(guarded, path, **headers)
        refused(response, 401, words)
        assert response.headers["www-authenticate"] == "Bearer"
        assert TOKEN.lower() not in response.text.lower()
    for method in ("RepositoryModelLoad", "RepositoryModelUnload"):
        with pytest.raises(grpc.RpcError) as error:
            call(guarded, method, headers)
        failed: Any = error.value
        assert failed.code() is grpc.StatusCode.UNAUTHENTICATED
        assert words in failed.details()
    assert ready(guarded)


def test_two_tokens_are_refused_though_one_be_right(guarded: Server) -> None:
    twice = [("authorization", f"Bearer {TOKEN}"), ("authorization", "Bearer x")]
    refused(httpx.post(guarded.rest + UNLOAD, headers=twice, timeout=30), 401, "was given 2 times")
    assert ready(guarded)


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_token_models_are_changed_over_rest_and_grpc(guarded: Server, scheme: str) -> None:
    token = {"authorization": f"{scheme} {TOKEN}"}
    assert ask(guarded, UNLOAD, **token).status_code == 200
    assert not ready(guarded)
    call(guarded, "RepositoryModelLoad", token)
    assert ready(guarded)
    call(guarded, "RepositoryModelUnload", token)
    assert not ready(guarded)
    assert ask(guarded, LOAD, b"{}", **JSON, **token).status_code == 200
    assert ready(guarded)


def test_the_token_does_not_admit_a_page_of_another_site(guarded: Server) -> None:
    token = {"authorization": f"Bearer {TOKEN}"}
    refused(ask(guarded, UNLOAD, origin="http://evil.example", **token), 403, "evil.example")
    assert ready(guarded)


@pytest.mark.parametrize("name", ["models.example", "MODELS.example:8000", "other.example"])
def test_a_name_that_is_set_is_a_host_of_this_server(guarded: Server, name: str) -> None:
    headers = {"host": name, "origin": f"https://{name}", "authorization": f"Bearer {TOKEN}"}
    assert ask(guarded, LOAD, **headers).status_code == 200
    refused(ask(guarded, LOAD, **headers | {"host": "not." + name}), 403, "a name in allowed_hosts may")


def test_a_refusal_is_counted_by_its_reason(guarded: Server) -> None:
    before = {reason: rejected(guarded, reason) for reason in ("forbidden", "unauthenticated")}
    ask(guarded, LOAD)
    ask(guarded, LOAD, origin="null")
    assert {reason: rejected(guarded, reason) - count for reason, count in before.items()} == dict.fromkeys(before, 1)


def rejected(server: Server, reason: str) -> float:
    return server.metric("lectorium_rejections_total", surface="oip_rest", reason=reason)


def ready(server: Server) -> bool:
    with closing(Rest(server)) as rest:
        return rest.client.get("/v2/models/tiny/ready").status_code == 200


def call(server: Server, method: str, metadata: dict[str, str]) -> None:
    """The repository's method over gRPC."""
    with open_channel(server) as channel:
        request = getattr(pb, f"{method}Request")(model_name="tiny")
        getattr(GRPCInferenceServiceStub(channel), method)(request, metadata=[*metadata.items()], timeout=30)
