"""The rows of callers that have left are no one's: they are given back at once, and keep nobody out."""

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from tests.needs import needs
from tests.service.surfaces.callers import in_flight, slow_model_occupied, slow_request
from tests.service.surfaces.small_server import next_answer
from tests.service.surfaces.sockets import connect
from tests.serving import HOST, Server, eventually

MAX_ROWS = 256
ROWS = 8
# Four times as many as would fill the queue if their rows were kept.
LEAVERS = 4 * MAX_ROWS // ROWS


@pytest.fixture(scope="module")
@needs("server")
def narrow(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where not many rows may wait."""
    with Server(zoo, tmp_path_factory.mktemp("narrow") / "home", max_queue_rows=MAX_ROWS) as server:
        yield server


def reset(connection: socket.socket) -> None:
    """Hang up without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


AHEAD = {
    "alone": b"",
    "with one sent ahead": slow_request(ROWS),
    "with half of one": slow_request(ROWS)[:200],
    "with more than is read": slow_request(ROWS) * 2000,
}


@pytest.mark.parametrize("ahead", AHEAD)
def test_who_leaves_while_its_request_waits_is_noticed(server: Server, ahead: str) -> None:
    with slow_model_occupied(server), closing(connect(server.rest_port)) as connection:
        before = server.metric("lectorium_queue_rows", model="slow")
        connection.sendall(slow_request(ROWS))
        assert eventually(lambda: in_flight(server, "oip_rest") == 1)
        connection.settimeout(0.3)
        with suppress(TimeoutError):  # what is too much is not read before the answer
            connection.sendall(AHEAD[ahead])
        reset(connection)
        assert eventually(lambda: in_flight(server, "oip_rest") == 0)
        # Not because its turn had come: those before it still wait.
        assert 0 < server.metric("lectorium_queue_rows", model="slow") <= before


async def good_caller(port: int, over: asyncio.Event) -> list[bytes]:
    """The statuses of one request after another, until it is over."""
    reader, writer = await asyncio.open_connection(HOST, port)
    statuses = []
    while not over.is_set():
        writer.write(slow_request(1))
        head, _ = await next_answer(reader)
        statuses.append(head.split()[1])
    writer.close()
    return statuses


async def leave_one_after_another(port: int, sent: bytes, over: asyncio.Event) -> list[bytes]:
    """`LEAVERS` callers send that and hang up; they have no statuses."""
    for _ in range(LEAVERS):
        _, writer = await asyncio.open_connection(HOST, port)
        writer.write(sent)
        await asyncio.sleep(0.003)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    over.set()
    return []


@pytest.mark.parametrize(
    "sent",
    [slow_request(ROWS), slow_request(ROWS) * 3, slow_request(ROWS)[:-50]],
    ids=["whole", "three ahead", "half a body"],
)
async def test_good_callers_are_not_kept_out_by_those_that_hang_up(narrow: Server, sent: bytes) -> None:
    over = asyncio.Event()
    good = [good_caller(narrow.rest_port, over) for _ in range(16)]
    found = await asyncio.gather(*good, leave_one_after_another(narrow.rest_port, sent, over))
    assert {status for statuses in found for status in statuses} == {b"200"}
