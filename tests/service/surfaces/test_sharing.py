"""Callers that come at the same time share a batch; one that leaves disturbs no other."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from tests.packages import example, expected
from tests.pictures import png
from tests.service.surfaces.callers import (
    BEGIN,
    LONG,
    Leave,
    begin_grpc,
    begin_rest,
    in_flight,
    slow_model_occupied,
)
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS
from tests.service.surfaces.image_transports import ImageTransport
from tests.service.surfaces.transports import TensorTransport, tensor
from tests.serving import Server, eventually

CALLERS = 4
EVERY_WAY = [*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS]


def batches(server: Server, at_most: int) -> int:
    """How many batches of up to so many rows the slow model has run."""
    return int(server.metric("lectorium_batch_rows_bucket", model="slow", le=f"{at_most}.0"))


def waiting(server: Server) -> float:
    """How many requests wait for the slow model, one that has run in part among them."""
    return server.metric("nv_inference_pending_request_count", model="slow")


def tensor_asker(transport: TensorTransport) -> Callable[[int], None]:
    def ask(seed: int) -> None:
        images = example(1, seed)
        found = transport.infer("slow", [tensor(images)]).outputs["probabilities"]
        np.testing.assert_allclose(found, expected(images), atol=1e-6)

    return ask


def image_asker(transport: ImageTransport) -> Callable[[int], None]:
    def ask(seed: int) -> None:
        images = example(1, seed)
        label = transport.classify(png(images[0]), model="slow", top_k=1)["labels"][0]
        assert label["index"] == expected(images)[0].argmax()

    return ask


def caller(server: Server, way: str) -> tuple[Callable[[int], None], Callable[[], None]]:
    """A function that asks once and checks the answer, and one that hangs up."""
    if way in IMAGE_TRANSPORTS:
        images = IMAGE_TRANSPORTS[way](server)
        return image_asker(images), images.close
    tensors = TENSOR_TRANSPORTS[way](server)
    return tensor_asker(tensors), tensors.close


def gather(server: Server, ways: list[str]) -> list[Future[None]]:
    """Send one request each way while the lane is occupied; returns when the lane is free and all are answered."""
    askers = [caller(server, way) for way in ways]
    with ThreadPoolExecutor(len(ways)) as pool, slow_model_occupied(server):
        before = waiting(server)
        asked = [pool.submit(ask, seed) for seed, (ask, _) in enumerate(askers)]
        assert eventually(lambda: waiting(server) == before + len(ways))
    for _, close in askers:
        close()
    return asked


@pytest.mark.parametrize(
    "ways",
    [
        *([way] * CALLERS for way in (*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS)),
        ["rest_json", "grpc_raw", "http", "vision_grpc"],
    ],
    ids=[*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS, "one of each surface"],
)
def test_requests_that_wait_at_the_same_time_share_one_batch(server: Server, ways: list[str]) -> None:
    smaller, up_to = batches(server, 2), batches(server, CALLERS)
    for answered in gather(server, ways):
        answered.result()
    assert batches(server, 2) == smaller, "nobody ran alone"
    assert batches(server, CALLERS) == up_to + 1, "one batch held all four"


@pytest.mark.parametrize("surface", BEGIN)
def test_a_caller_that_leaves_is_counted_and_the_others_are_answered(server: Server, surface: str) -> None:
    left = {"surface": surface, "code": "CANCELLED", "model": "slow"}
    before = server.metric("lectorium_request_duration_seconds_count", **left)
    with closing(TENSOR_TRANSPORTS["grpc_raw"](server)) as good, ThreadPoolExecutor(8) as pool:
        with slow_model_occupied(server):
            inside, queued = in_flight(server, surface), waiting(server)
            leavers = [BEGIN[surface](server) for _ in range(3)]
            stayers = [pool.submit(tensor_asker(good), seed) for seed in range(8)]
            here = inside + 3 + (8 if surface == "oip_grpc" else 0)
            assert eventually(lambda: waiting(server) == queued + 3 + 8)
            assert in_flight(server, surface) == here
            for leave in leavers:
                leave()
            assert eventually(lambda: in_flight(server, surface) == here - 3)
            assert server.metric("lectorium_request_duration_seconds_count", **left) == before + 3
        for stayer in stayers:
            stayer.result()


@pytest.mark.parametrize("begin", [begin_rest, begin_grpc])
def test_the_work_of_a_caller_that_left_is_dropped(server: Server, begin: Callable[[Server, int], Leave]) -> None:
    run = server.metric("lectorium_batch_rows_sum", model="slow")
    leave = begin(server, LONG)
    assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") > 0)
    leave()
    assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") == 0)
    with closing(TENSOR_TRANSPORTS["grpc_raw"](server)) as good:
        tensor_asker(good)(0)
    assert server.metric("lectorium_batch_rows_sum", model="slow") - run < LONG / 2


def test_a_long_request_does_not_keep_another_model_waiting(server: Server) -> None:
    with slow_model_occupied(server), closing(TENSOR_TRANSPORTS["grpc_raw"](server)) as good:
        for seed in range(5):
            images = example(1, seed)
            found = good.infer("tiny", [tensor(images)]).outputs["probabilities"]
            np.testing.assert_allclose(found, expected(images, 2), atol=1e-6)
        assert server.metric("lectorium_queue_rows", model="slow") > 0, "the rows behind the run at hand still wait"
