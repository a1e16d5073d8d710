import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import grpc
import pytest

from deploy.bench import load
from deploy.bench.load import Load, NoAnswer, Post
from deploy.bench.server import HOST, Bare
from tests.bench.answering import answering
from tests.bench.tools import needs_generators

pytestmark = [needs_generators, pytest.mark.server]
BODY = b"\x00\xff\n'" * 50
GENERATORS = [load.wrk, partial(load.h2load, protocol="http/1.1")]

Generate = Callable[[Post, int, int], Load]


@pytest.mark.parametrize("generate", GENERATORS)
def test_the_answers_of_a_second_are_counted_and_timed(generate: Generate) -> None:
    with Bare("echo") as echo:
        seen = generate(Post(echo.port, "/", BODY, {"X-Some": "header"}), 4, 1)
    assert seen.requests > 100
    assert seen.requests / 4 < seen.per_s <= seen.requests
    assert 0 < seen.p50_ms <= seen.p99_ms
    # Little's law: four connections, each with one request at a time. It is the units that are looked at.
    assert 0.4 < seen.per_s * seen.p50_ms / 1e3 < 12


@pytest.mark.parametrize("generate", GENERATORS)
def test_load_of_which_no_answer_is_right_is_no_load(generate: Generate) -> None:
    with answering(503) as server, pytest.raises(RuntimeError, match="/path"):
        generate(Post(server.server_port, "/path", BODY, {"X-Some": "header"}), 2, 1)


@pytest.mark.parametrize("generate", GENERATORS)
def test_no_answer_at_all_is_told_from_a_wrong_one(generate: Generate) -> None:
    with socket.create_server((HOST, 0)) as silent, pytest.raises(NoAnswer, match="/path"):
        generate(Post(silent.getsockname()[1], "/path", BODY, {}), 2, 1)


@pytest.mark.parametrize("generate", GENERATORS)
def test_the_body_and_the_headers_are_what_is_sent(generate: Generate) -> None:
    headers = {"inference-header-content-length": "12", "x-other": "13"}
    with answering(200) as server:
        generate(Post(server.server_port, "/", BODY, headers), 1, 1)
    assert {came.body for came in server.came} == {BODY}
    assert {name.lower(): value for name, value in server.came[0].headers.items()}.items() >= headers.items()


def test_an_empty_rpc_is_answered_and_can_be_loaded() -> None:
    with Bare("empty_rpc") as empty:
        with grpc.insecure_channel(f"{HOST}:{empty.port}") as channel:
            call: Any = channel.unary_unary("/bench.Empty/Call")
            assert call(b"anything", timeout=10) == b""
        seen = load.h2load(load.grpc(empty.port, "/bench.Empty/Call", b""), 2, 1)
    assert seen.requests > 100
