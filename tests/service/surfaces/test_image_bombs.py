"""Images that cost as much as one may: others are answered beside them, and nobody waits for them to be done."""

import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psutil  # type: ignore[import-untyped]
import pytest

from service.imaging import decode
from tests.packages import example
from tests.pictures import png
from tests.service.image_bombs import BOMBS, jpeg_scans
from tests.service.surfaces.callers import begin_images, in_flight
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, StartServer
from tests.service.surfaces.image_transports import HttpBatch, Vision
from tests.service.surfaces.test_hostile import good_clients
from tests.service.surfaces.transports import Refused
from tests.serving import MAX_REQUEST_BYTES, Server, eventually

# 50 KB that take about a second of a core each: on two cores, half a minute for all.
COSTLY = [jpeg_scans((700, 700), 3500, "RGB")] * 64
ROOM = 16 << 20


@pytest.fixture
def two_cores() -> Iterator[None]:
    """A server that is started now decodes two images at a time: on many cores, all may have begun before any ends."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(cores)[:2])
    yield
    os.sched_setaffinity(0, cores)


def cost_of_all() -> float:
    """What all of `COSTLY` take of a core, in seconds of its own, however many others use it."""
    began = time.process_time()
    decode(COSTLY[0], 1 << 20)
    return len(COSTLY) * (time.process_time() - began)


def used(server: Server) -> float:
    """What the server has taken of its cores, in seconds."""
    times = psutil.Process(server.process.pid).cpu_times()
    return float(times.user)


def test_bombs_are_refused_in_words_beside_good_clients(server: Server) -> None:
    files = [file for make in BOMBS.values() if len(file := make()) < MAX_REQUEST_BYTES // 2]
    assert len(files) > 8
    with good_clients(server), ExitStack() as stack:
        transports = [stack.enter_context(closing(make(server))) for make in IMAGE_TRANSPORTS.values()]
        for i, file in enumerate(files):
            with pytest.raises(Refused, match=r"INVALID_ARGUMENT|413"):
                transports[i % len(transports)].classify(file)


def test_a_connection_with_many_costly_images_lets_others_pass(start: StartServer) -> None:
    server = start(max_request_bytes=ROOM, drain_s=0.1)
    leave = begin_images(server, [jpeg_scans((300, 300), 3500, "RGB")] * 64)
    assert eventually(lambda: in_flight(server, "http") == 1)
    with closing(Vision(server)) as others:
        for i in range(3):
            assert others.classify(png(example(1, i)[0]))["model"] == "tiny"
    assert in_flight(server, "http") == 1
    leave()


@pytest.mark.usefixtures("two_cores")
def test_the_deadline_ends_a_request_while_its_images_are_decoded_and_the_rest_never_begins(start: StartServer) -> None:
    server = start(max_request_bytes=ROOM, timeout_s=1)
    before = used(server)
    with closing(HttpBatch(server)) as transport:
        with pytest.raises(Refused, match=r"DEADLINE_EXCEEDED: no answer in 1 s"):
            transport.classify_batch(COSTLY)
        assert eventually(lambda: in_flight(server, "http") == 0)
    assert used(server) - before < cost_of_all() / 2


@pytest.mark.usefixtures("two_cores")
def test_a_caller_that_hangs_up_leaves_nothing_to_decode(start: StartServer) -> None:
    server = start(max_request_bytes=ROOM)
    before = used(server)
    leave = begin_images(server, COSTLY)
    assert eventually(lambda: in_flight(server, "http") == 1)
    leave()
    assert eventually(lambda: in_flight(server, "http") == 0)
    assert used(server) - before < cost_of_all() / 2


@pytest.mark.usefixtures("two_cores")
def test_the_process_ends_while_images_are_decoded(start: StartServer) -> None:
    server = start(max_request_bytes=ROOM, drain_s=0.5)
    leave = begin_images(server, COSTLY)
    assert eventually(lambda: in_flight(server, "http") == 1)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime  # of those that were waited for
    server.process.send_signal(signal.SIGTERM)
    assert server.wait() == 0
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - ended < cost_of_all() / 2
    leave()
