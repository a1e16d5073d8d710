"""The three HTTP ports of a live server: one protocol, the same bounds and the same refusals."""

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.needs import needs
from tests.pictures import png
from tests.service.surfaces.sockets import Reply, connect, exchange, read_reply
from tests.serving import Server, eventually

PATHS = {"http_port": "/livez", "rest_port": "/v2/health/live", "metrics_port": "/metrics"}
MAX_CONNECTIONS = 400


@pytest.fixture(scope="module")
@needs("server")
def strict(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that waits a second for a head."""
    settings = {"head_s": 1, "max_connections": MAX_CONNECTIONS}
    with Server(zoo, tmp_path_factory.mktemp("strict") / "home", **settings) as server:
        yield server


@pytest.fixture(params=PATHS)
def port(request: pytest.FixtureRequest) -> str:
    """Each HTTP port in turn."""
    return str(request.param)


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Room for the sockets of a test that opens many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def get(port: str, headers: str = "Host: x\r\n", version: str = "1.1") -> bytes:
    """A request of the port that is answered 200."""
    return f"GET {PATHS[port]} HTTP/{version}\r\n{headers}\r\n".encode()


def answers(server: Server, port: str) -> bool:
    """Whether a good caller of the port is answered, soon."""
    return exchange(getattr(server, port), get(port)).status == 200


def error(reply: Reply) -> str:
    """What a refusal says."""
    assert reply.headers["content-type"] == "application/json"
    message: str = orjson.loads(reply.body)["error"]
    return message


def resident_bytes(server: Server) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))) << 10


def sockets_of(server: Server) -> int:
    """The sockets the server holds."""
    links = []
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(OSError):
            links.append(str(descriptor.readlink()))
    return sum(link.startswith("socket:") for link in links)


@pytest.mark.usefixtures("many_descriptors")
def test_a_thousand_half_open_heads_end_and_their_neighbours_are_answered(strict: Server) -> None:
    halves = (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\n", b"POST / HTTP/1.1\r\nX: ")
    before = sockets_of(strict)
    with ExitStack() as held:
        for i in range(334):
            for port in PATHS:
                held.enter_context(connect(getattr(strict, port))).sendall(halves[i % 4])
        assert all(answers(strict, port) for port in PATHS)
        assert eventually(lambda: sockets_of(strict) <= before)


def test_endless_trailers_are_refused_fill_no_memory_and_keep_nobody_waiting(strict: Server, port: str) -> None:
    head = f"POST {PATHS[port]} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n".encode()
    trailers = (b"X: " + b"y" * (1 << 20), b"X: y\r\n" * (1 << 18))
    before = resident_bytes(strict)
    for i in range(20):
        reply = exchange(getattr(strict, port), head + trailers[i % 2])
        assert reply.status in (200, 405, 431)  # an answer that needs no body may be quicker
        assert answers(strict, port)
    assert resident_bytes(strict) - before < 30 << 20


@pytest.mark.parametrize("head", [b"GET /" + b"a" * 60_000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 110 + b"\r\n"])
def test_a_head_that_is_too_large_is_refused(strict: Server, port: str, head: bytes) -> None:
    reply = exchange(getattr(strict, port), head)
    assert reply.status == 431
    assert "32768 bytes" in error(reply) or "at most 100" in error(reply)


def test_a_head_that_does_not_come_is_refused(strict: Server, port: str) -> None:
    reply = exchange(getattr(strict, port), b"GET / HTTP/1.1\r\nHost: x\r\n")
    assert (reply.status, error(reply)) == (408, "the request's head did not arrive within 1 s")


@pytest.mark.parametrize(
    ("headers", "version", "status"),
    [
        ("", "1.1", 400),
        ("Host: a\r\nHost: b\r\n", "1.1", 400),
        ("Host: a\r\nHost: b\r\n", "1.0", 400),
        ("", "1.0", 200),
        ("Host:\r\n", "1.1", 200),
    ],
)
def test_one_host_is_wanted(strict: Server, port: str, headers: str, version: str, status: int) -> None:
    assert exchange(getattr(strict, port), get(port, headers, version)).status == status


def test_requests_before_garbage_are_answered_first(strict: Server, port: str) -> None:
    with connect(getattr(strict, port)) as connection:
        connection.sendall(get(port) * 2 + b"garbage\r\n\r\n")
        connection.settimeout(10)
        received = b""
        while piece := connection.recv(1 << 20):
            received += piece
    assert re.findall(rb"HTTP/1.1 (\d+) ", received) == [b"200", b"200", b"400"]


@pytest.mark.usefixtures("many_descriptors")
def test_a_connection_too_many_is_refused_and_others_are_not(strict: Server, port: str) -> None:
    number = getattr(strict, port)
    with ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(connect(number)).sendall(get(port, "Host: x\r\nX: "))
        refused = exchange(number, get(port))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert error(refused) == f"{MAX_CONNECTIONS} connections are open; no more are allowed; try again later"
        assert all(answers(strict, other) for other in PATHS if other != port)
    assert eventually(lambda: answers(strict, port))


def test_head_and_an_old_caller_are_answered_as_they_may_be(strict: Server, port: str) -> None:
    with connect(getattr(strict, port)) as connection:
        connection.sendall(get(port).replace(b"GET", b"HEAD") + get(port, version="1.0"))
        received = b""
        while piece := connection.recv(1 << 20):
            received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 ")
    assert rest.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close" in rest


def test_a_file_that_has_not_changed_is_answered_without_a_body(strict: Server) -> None:
    with httpx.Client(base_url=strict.http, timeout=30) as client:  # BentoML is imported at the first
        page = client.get("/static_content/swagger-ui.css")
        assert page.status_code == 200
        assert len(page.content) == int(page.headers["content-length"]) > 10_000
        for _ in range(2):  # on the same connection
            again = client.get("/static_content/swagger-ui.css", headers={"if-none-match": page.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
            assert "transfer-encoding" not in again.headers


def upload(expect: bool) -> bytes:
    image = png()
    body = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n' + image + b"\r\n--x--\r\n"
    head = "POST /v1/classify HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    head += "Expect: 100-continue\r\n" if expect else ""
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def test_an_upload_may_wait_to_be_asked_for(strict: Server) -> None:
    head, blank, body = upload(expect=True).partition(b"\r\n\r\n")
    with connect(strict.http_port) as connection:
        connection.sendall(head + blank)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_reply(connection).status == 200


def test_an_upload_may_come_in_chunks_and_in_any_pieces(strict: Server) -> None:
    head, _, body = upload(expect=False).partition(b"\r\n\r\n")
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 50]), body[i : i + 50]) for i in range(0, len(body), 50))
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    request = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", chunks + b"0\r\n\r\n"])
    with connect(strict.http_port) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(0, len(request), 37):
            connection.sendall(request[i : i + 37])
        assert read_reply(connection).status == 200


TOKENS = [
    *(b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"PRI", b" ", b"/", b"/metrics", b"/v2", b"*", b"http://x/"),
    *(b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"Host: x\r\n", b"Host:"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 3\r\n",
        b"Content-Length: 0\r\n",
        b"Expect: 100-continue\r\n",
    ),
    *(b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n", b"0\r\n\r\n", b"3\r\nabc\r\n", b"X: y\r\n"),
    *(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/classify HTTP/1.1\r\nHost: x\r\n", b"\x00", b"\xff", b"abc"),
]


@given(
    pieces=st.lists(st.sampled_from(TOKENS) | st.binary(max_size=20), max_size=12), which=st.sampled_from(list(PATHS))
)
def test_any_bytes_are_answered_or_refused(strict: Server, pieces: list[bytes], which: str) -> None:
    with connect(getattr(strict, which)) as connection:
        with suppress(OSError):
            for piece in pieces:
                connection.sendall(piece)
            connection.sendall(b"\r\n\r\n\r\nend of it\r\n\r\n")
        received = b""
        with suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                received += piece
    assert received == b"" or received.startswith(b"HTTP/1.1 ")
    assert not re.findall(rb"HTTP/1.1 5\d\d ", received), received


def test_they_are_all_alive_after_that(strict: Server) -> None:
    assert all(answers(strict, port) for port in PATHS)
    assert strict.process.poll() is None
