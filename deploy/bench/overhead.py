"""What serving adds to a bare ``session.run``, one caller, all surfaces in one run: ``make bench``.

The surfaces take turns in small blocks, so that a slow moment of the machine hits them alike. For
``/v1/classify`` the decode, which the answer itself states, is subtracted: it is the caller's format, not overhead.
"""

import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

# A lean caller, for what is measured is the server; and none that reports each server it sees leave.
os.environ["GRPC_EXPERIMENTS"] = "-event_engine_client"
os.environ["GRPC_VERBOSITY"] = "ERROR"

import grpc
import numpy as np
import orjson
from PIL import Image

from protos import open_inference_pb2 as pb
from service.engine.repository import Repository

MODEL = "lenet5"
# Several servers, for where the kernel puts a server's threads is luck, and lasts as long as the server.
STARTS, BLOCKS, BLOCK, WARM = 5, 10, 50, 200
HOST = "127.0.0.1"
ANSWER = re.compile(rb"HTTP/1.1 (\d+).*?content-length: (\d+).*?\r\n\r\n(.*)", re.DOTALL | re.IGNORECASE)
PORTS = ("http", "rest", "grpc", "metrics")


class Row(NamedTuple):
    """One line of the table."""

    surface: str
    call: Callable[[], float]
    target_ms: float | None


def main() -> None:
    """Measure several servers, one after another, and print the table."""
    repository = Path("models/zoo")
    times: dict[str, list[float]] = {}
    starts: list[float] = []
    for _ in range(STARTS):
        began = time.perf_counter()
        with serving(repository) as ports:
            starts.append(time.perf_counter() - began)
            rows = list(surfaces(repository, ports))
            measure(rows, times)
    report(rows, times)
    print(f"\nfrom process start to ready: {statistics.median(starts):.2f} s, median of {STARTS} (target: 3)")


def measure(rows: list[Row], times: dict[str, list[float]]) -> None:
    """Add the seconds of ``BLOCKS`` blocks of calls to each surface's list."""
    for row in rows:
        for _ in range(WARM):
            row.call()
    for _ in range(BLOCKS):
        for row in rows:
            times.setdefault(row.surface, []).extend(row.call() for _ in range(BLOCK))


@contextmanager
def serving(repository: Path) -> Iterator[dict[str, int]]:
    """The real server on free ports, as a child process."""
    ports = {name: free_port() for name in PORTS}
    variables = {f"LECTORIUM_{name.upper()}_PORT": str(port) for name, port in ports.items()}
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GRPC_")},
        **variables,
        "LECTORIUM_REPOSITORY": str(repository),
        "LECTORIUM_LOG_LEVEL": "warning",
    }
    command = [str(Path(sys.executable).with_name("lectorium")), "serve"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            wait_ready(server, ports["rest"])
            yield ports
        finally:
            server.send_signal(signal.SIGTERM)


def surfaces(repository: Path, ports: dict[str, int]) -> Iterator[Row]:
    """One call for each surface, of the same one-row input; each returns the seconds it took."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 28, 28), dtype="u1")
    model = next(m for m in Repository(repository, intra_op=min(os.cpu_count() or 1, 4)) if m.name == MODEL)
    names = [tensor.name for tensor in model.card.graph.outputs]
    yield Row("bare session.run", timed(lambda: model.session.run(names, {"image": pixels})), None)
    yield Row("REST, binary", rest_binary(ports["rest"], pixels), 0.4)
    yield Row("gRPC, raw contents", grpc_raw(ports["grpc"], pixels), 0.8)
    yield Row("/v1/classify, less decode", classify(ports["http"], pixels), 2.0)


def rest_binary(port: int, pixels: np.ndarray) -> Callable[[], float]:
    """A call of the Open Inference REST endpoint with binary tensors both ways."""
    tensor = {"name": "image", "shape": pixels.shape, "datatype": "UINT8"}
    head = orjson.dumps(
        {
            "inputs": [{**tensor, "parameters": {"binary_data_size": pixels.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
    )
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return timed(http_call(port, f"/v2/models/{MODEL}/infer", head + pixels.tobytes(), headers))


def grpc_raw(port: int, pixels: np.ndarray) -> Callable[[], float]:
    """A call of ModelInfer with raw_input_contents."""
    channel = grpc.insecure_channel(f"{HOST}:{port}")
    infer = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=pb.ModelInferRequest.SerializeToString,
        response_deserializer=pb.ModelInferResponse.FromString,
    )
    tensor = pb.ModelInferRequest.InferInputTensor(name="image", datatype="UINT8", shape=pixels.shape)
    request = pb.ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[pixels.tobytes()])
    return timed(lambda: infer(request))


def classify(port: int, pixels: np.ndarray) -> Callable[[], float]:
    """A call of the task endpoint with a PNG; the decode time the answer states is taken off."""
    png = BytesIO()
    Image.fromarray(pixels[0]).save(png, "PNG")
    part = b'--b\r\nContent-Disposition: form-data; name="image"; filename="digit.png"\r\n\r\n'
    post = http_call(
        port,
        "/v1/classify",
        part + png.getvalue() + b"\r\n--b--\r\n",
        {"Content-Type": "multipart/form-data; boundary=b"},
    )

    def call() -> float:
        began = time.perf_counter()
        answer = post()
        took = time.perf_counter() - began
        return took - float(orjson.loads(answer)["timing"]["decode_ms"]) / 1e3

    return call


def http_call(port: int, path: str, body: bytes, headers: dict[str, str]) -> Callable[[], bytes]:
    """A POST on one kept connection, by hand: http.client alone would take a quarter of what is measured."""
    connection = socket.create_connection((HOST, port))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    request = "\r\n".join([*lines, "", ""]).encode() + body

    def call() -> bytes:
        connection.sendall(request)
        answer = connection.recv(1 << 16)
        while not (found := ANSWER.match(answer)) or len(found[3]) < int(found[2]):
            answer += connection.recv(1 << 16)
        if found[1] != b"200":
            raise RuntimeError(f"{path}: {answer[:200]!r}")
        return found[3]

    return call


def timed(call: Callable[[], object]) -> Callable[[], float]:
    """``call``, returning the seconds it took."""

    def measured() -> float:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began

    return measured


def report(rows: list[Row], times: dict[str, list[float]]) -> None:
    """Print p50 and p99 of each surface, and its p50 over the bare session's, in milliseconds."""
    bare = statistics.median(times[rows[0].surface])
    print(f"\n{MODEL}, one row, one caller, {STARTS * BLOCKS * BLOCK} calls each ({os.cpu_count()} cores)\n")
    print(f"| {'surface':26} | p50 ms | p99 ms | over bare | target |")
    print("|" + "|".join("-" * width for width in (28, 8, 8, 11, 8)) + "|")
    for row in rows:
        median = statistics.median(times[row.surface])
        p99 = statistics.quantiles(times[row.surface], n=100)[98]
        target = f"{row.target_ms:.1f}" if row.target_ms else ""
        over = f"{(median - bare) * 1e3:.3f}" if row.target_ms else ""
        print(f"| {row.surface:26} | {median * 1e3:6.3f} | {p99 * 1e3:6.3f} | {over:>9} | {target:>6} |")


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_ready(server: "subprocess.Popen[bytes]", port: int) -> None:
    """Wait until the REST surface says it is ready.

    Raises:
        RuntimeError: the server ended, or is not ready within 30 s.
    """
    for _ in range(600):
        if server.poll() is not None:
            raise RuntimeError(f"the server ended with {server.returncode}")
        try:
            connection = HTTPConnection(HOST, port)
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError("the server is not ready after 30 s")


if __name__ == "__main__":
    main()
