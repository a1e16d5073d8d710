"""Whatever bad clients send, good ones are answered, all of them, and rightly."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress

import httpx
import numpy as np
import orjson
import pytest

from protos import open_inference_pb2 as pb
from tests.packages import example, expected
from tests.pictures import claiming, png
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS
from tests.service.surfaces.sockets import connect, exchange
from tests.service.surfaces.transports import JSON_LENGTH, Grpc, Input, Refused, infer_path, tensor
from tests.serving import MAX_REQUEST_BYTES, Server, eventually

ROUNDS = 20
INFER = infer_path("tiny")


@contextmanager
def good_clients(server: Server) -> Iterator[None]:
    """Clients of every surface that ask all the while; at the end, each has had answers, all right."""
    stop = threading.Event()
    answered = dict.fromkeys([*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS], 0)
    failures: list[BaseException] = []

    def tensors(way: str) -> None:
        with closing(TENSOR_TRANSPORTS[way](server)) as transport:
            while not stop.is_set():
                images = example(2, answered[way])
                found = transport.infer("tiny", [tensor(images)]).outputs["probabilities"]
                np.testing.assert_allclose(found, expected(images, 2), atol=1e-6)
                answered[way] += 1

    def images(way: str) -> None:
        with closing(IMAGE_TRANSPORTS[way](server)) as transport:
            while not stop.is_set():
                pixels = example(1, answered[way])
                label = transport.classify(png(pixels[0]), top_k=1)["labels"][0]
                assert label["index"] == expected(pixels, 2)[0].argmax()
                answered[way] += 1

    def run(client: Callable[[str], None], way: str) -> None:
        try:
            client(way)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(tensors, way)) for way in TENSOR_TRANSPORTS]
    threads += [threading.Thread(target=run, args=(images, way)) for way in IMAGE_TRANSPORTS]
    for thread in threads:
        thread.start()
    try:
        assert eventually(lambda: bool(failures) or min(answered.values()) > 0)
        before = dict(answered)
        yield
        assert eventually(lambda: bool(failures) or all(answered[way] > before[way] for way in answered))
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failures == []


def wrong_tensors(server: Server) -> None:
    bad = [
        Input("image", "UINT8", [1, 5, 5], np.zeros((1, 5, 5), "u1")),
        Input("image", "FP32", [1, 4, 4], np.zeros((1, 4, 4), "f4")),
        Input("image", "UINT8", [1, 4, 4], np.zeros(15, "u1")),
        Input("image", "UINT8", [1 << 40, 4, 4], np.zeros(16, "u1")),
        Input("picture", "UINT8", [1, 4, 4], np.zeros((1, 4, 4), "u1")),
    ]
    for way in TENSOR_TRANSPORTS:
        with closing(TENSOR_TRANSPORTS[way](server)) as transport:
            for i in range(ROUNDS):
                with pytest.raises(Refused, match="INVALID_ARGUMENT"):
                    transport.infer("tiny", [bad[i % len(bad)]])


def wrong_images(server: Server) -> None:
    for way in IMAGE_TRANSPORTS:
        with closing(IMAGE_TRANSPORTS[way](server)) as transport:
            for bad in (b"", b"GIF89a", png()[:30], claiming(png(), 20_000, 20_000), bytes(100_000)) * (ROUNDS // 5):
                with pytest.raises(Refused, match="INVALID_ARGUMENT"):
                    transport.classify(bad)


def brackets(server: Server) -> None:
    for _ in range(ROUNDS):
        assert httpx.post(server.rest + INFER, content=b"[" * 200_000).status_code == 400


def noise_instead_of_http(server: Server) -> None:
    for port in (server.http_port, server.rest_port, server.metrics_port, server.grpc_port):
        for noise in (bytes(range(256)) * 20, b"\r\n" * 1000, b"GET / HTTP/9.9\r\n\r\n", b"POST\x00 /\r\n\r\n"):
            with connect(port) as connection, suppress(OSError):
                connection.sendall(noise)


def endless_headers(server: Server) -> None:
    for port in (server.http_port, server.rest_port, server.metrics_port):
        for head in (b"GET /" + b"a" * 200_000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000):
            with connect(port) as connection, suppress(OSError):
                connection.sendall(head)


def wrong_lengths(server: Server) -> None:
    for port, path in ((server.http_port, "/v1/classify"), (server.rest_port, INFER)):
        for length in ("-1", "1e9", "9" * 400, "0x10", "5, 5", "", str(1 << 62)):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n"
            reply = exchange(port, head.encode() + b"hello", half_close=True)
            assert reply.status in (0, 400, 413)
        for length in ("-1", "99", "9" * 400, "x"):
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{JSON_LENGTH}: {length}\r\n\r\n"
            assert exchange(port, head.encode() + b"hello").status == 400


def uploads_without_end(server: Server) -> None:
    chunk = b"10000\r\n" + bytes(0x10000) + b"\r\n"
    for port, path in ((server.http_port, "/v1/classify"), (server.rest_port, INFER)):
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        reply = exchange(port, head + chunk * (MAX_REQUEST_BYTES // 0x10000 + 2))
        assert reply.status == 413


def hang_ups(server: Server) -> None:
    body = orjson.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], "data": [0] * 16}]})
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for cut in np.linspace(1, len(head + body), 2 * ROUNDS).astype(int):
        with connect(server.rest_port) as connection:
            connection.sendall((head + body)[:cut])
    for _ in range(ROUNDS):
        with closing(Grpc(server)) as transport:
            call = transport.stub.ModelInfer.future(pb.ModelInferRequest(model_name="tiny"))
            call.cancel()


def half_requests_held_open(server: Server) -> None:
    halves = (b"POST " + INFER.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf", b"GET / HT", b"")
    with ExitStack() as held:
        for i in range(3 * ROUNDS):
            for port in (server.http_port, server.rest_port, server.grpc_port):
                held.enter_context(connect(port)).sendall(halves[i % 3])
        # Held for as long as it takes the good clients to be served meanwhile.
        with closing(Grpc(server)) as transport:
            for seed in range(ROUNDS):
                transport.infer("tiny", [tensor(example(1, seed))])


def requests_in_one_packet(server: Server) -> None:
    body = orjson.dumps({"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 5, 5], "data": [0] * 25}]})
    one = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    assert exchange(server.rest_port, one * 100).status == 400


@pytest.mark.parametrize(
    "attack",
    [
        wrong_tensors,
        wrong_images,
        brackets,
        noise_instead_of_http,
        endless_headers,
        wrong_lengths,
        uploads_without_end,
        hang_ups,
        half_requests_held_open,
        requests_in_one_packet,
    ],
)
def test_no_good_client_fails_beside(server: Server, attack: Callable[[Server], None]) -> None:
    with good_clients(server):
        attack(server)
    assert server.process.poll() is None


def test_nothing_is_left_in_flight_by_all_of_that(server: Server) -> None:
    for attack in (wrong_tensors, hang_ups, half_requests_held_open):
        attack(server)
    assert eventually(lambda: server.metric("lectorium_in_flight_requests") == 0)
    assert server.metric("lectorium_queue_rows") == 0
