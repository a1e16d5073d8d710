"""perf_analyzer, the protocol's load generator: every way in which it asks is answered, none of its requests fails."""

import ctypes
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bare_packages import text_echo, write_bare
from tests.clients.environment import binary, run
from tests.needs import needs
from tests.serving import Server, write_zoo
from tests.step_packages import write_captioner

REQUESTS = 20
ENVIRONMENT = "perf-analyzer"


def _is_there(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


# The one library it needs that no wheel brings.
pytestmark = pytest.mark.skipif(
    not _is_there("libb64.so.0d"), reason="perf_analyzer needs deploy/scripts/install-tools.sh libb64.so.0d"
)


@pytest.fixture(scope="module")
@needs("server")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("measured")
    write_captioner(write_zoo(folder / "zoo"))
    write_bare(folder / "zoo", text_echo(), "echo")
    with Server(folder / "zoo", folder / "home") as server:
        yield server


def analyse(server: Server, model: str, protocol: str, *options: str | Path) -> str:
    """What it prints of so many requests."""
    url = server.grpc if protocol == "grpc" else server.rest.removeprefix("http://")
    program = binary(ENVIRONMENT, "perf_analyzer")
    (cuda,) = program.parents[1].glob("lib/python*/site-packages/nvidia/cuda_runtime/lib")
    asked = ["-m", model, "-i", protocol, "-u", url, "--request-count", str(REQUESTS), *options]
    return run([program, *asked], LD_LIBRARY_PATH=str(cuda))


def answered(server: Server, model: str, protocol: str) -> float:
    surface = "oip_grpc" if protocol == "grpc" else "oip_rest"
    return server.metric("lectorium_request_duration_seconds_count", surface=surface, model=model, code="OK")


WAYS = {
    "http, sync": ("http", ["--sync"]),
    "http, async": ("http", ["--async", "--concurrency-range", "4"]),
    "grpc, sync": ("grpc", ["--sync"]),
    "grpc, async": ("grpc", ["--async", "--concurrency-range", "4"]),
    "grpc, streaming": ("grpc", ["--async", "--streaming", "--concurrency-range", "4"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_graph_is_measured_in_every_way(server: Server, way: str) -> None:
    protocol, options = WAYS[way]
    before = answered(server, "tiny", protocol)
    printed = analyse(server, "tiny", protocol, *options, "-b", "2")
    assert f"Request count: {REQUESTS}" in printed
    assert answered(server, "tiny", protocol) - before >= REQUESTS


def test_a_loop_is_measured_as_a_stream_of_responses(server: Server) -> None:
    printed = analyse(server, "captioner", "grpc", "--async", "--streaming")
    assert "Detected decoupled model" in printed
    (requests, responses) = (float(found) for found in re.findall(r"hroughput: ([0-9.]+) infer/sec\n", printed)[:2])
    assert responses > requests > 0


def test_json_and_shapes_of_its_own_are_measured(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "data.json"
    data.write_text(json.dumps({"data": [{"image": {"content": list(range(16)), "shape": [4, 4]}}]}))
    form = ["--input-tensor-format", "json", "--output-tensor-format", "json"]
    assert f"Request count: {REQUESTS}" in analyse(server, "tiny", "http", *form, "--input-data", data)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_a_graph_of_texts_is_measured(server: Server, protocol: str) -> None:
    assert f"Request count: {REQUESTS}" in analyse(server, "echo", protocol, "--string-length", "20", "-b", "3")
