"""What happens when there is too much to do, or too little time."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.needs import needs
from tests.pictures import png
from tests.service.surfaces.callers import slow_model_occupied
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS, ask
from tests.service.surfaces.sockets import exchange
from tests.service.surfaces.transports import Refused, infer_path
from tests.serving import Server, eventually

EVERY_WAY = [*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS]


@pytest.fixture(scope="module")
@needs("server")
def crowded(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where few rows may wait."""
    with Server(zoo, tmp_path_factory.mktemp("crowded") / "home", max_queue_rows=16) as server:
        yield server


@pytest.fixture(scope="module")
@needs("server")
def hasty(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose deadline is shorter than one run of the slow model."""
    with Server(zoo, tmp_path_factory.mktemp("hasty") / "home", timeout_s=0.003) as server:
        yield server


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_full_queue_refuses_at_once_and_takes_requests_again_when_it_empties(crowded: Server, way: str) -> None:
    full = crowded.metric("lectorium_rejections_total", model="slow", reason="queue_full")
    with slow_model_occupied(crowded):
        with pytest.raises(Refused) as caught:
            ask(crowded, way, "slow")
        assert crowded.metric("lectorium_queue_rows", model="slow") > 16, "it did not wait for the queue to empty"
        assert caught.value.code == "RESOURCE_EXHAUSTED"
        assert "model 'slow'" in caught.value.message
        assert "of at most 16 rows; this request has 1 more" in caught.value.message
        assert crowded.metric("lectorium_rejections_total", model="slow", reason="queue_full") == full + 1
    assert ask(crowded, way, "slow") == "slow"


@pytest.mark.parametrize("way", EVERY_WAY)
def test_one_models_full_queue_is_not_anothers(crowded: Server, way: str) -> None:
    with slow_model_occupied(crowded):
        assert ask(crowded, way, "tiny") == "tiny"


def test_http_says_when_to_try_again(crowded: Server) -> None:
    with slow_model_occupied(crowded):
        image = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 4], "data": [0] * 16}
        tensors = httpx.post(crowded.rest + infer_path("slow"), json={"inputs": [image]})
        images = httpx.post(crowded.http + "/v1/classify", files={"image": png()}, data={"model": "slow"})
    for response in (tensors, images):
        assert response.status_code == 429
        assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_deadline_ends_a_request_that_takes_longer(hasty: Server, way: str) -> None:
    late = hasty.metric("lectorium_rejections_total", reason="deadline")
    with pytest.raises(Refused) as caught:
        ask(hasty, way, "slow")
    assert caught.value.code == "DEADLINE_EXCEEDED"
    assert "0.003 s" in caught.value.message
    assert hasty.metric("lectorium_rejections_total", reason="deadline") == late + 1


@pytest.mark.parametrize(("port", "path"), [("rest_port", infer_path("tiny")), ("http_port", "/v1/classify")])
def test_a_body_that_does_not_come_in_time_is_given_up(hasty: Server, port: str, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly this"
    reply = exchange(getattr(hasty, port), head.encode())
    assert reply.status == 504
    assert b"the request's body did not arrive within 0.003 s" in reply.body


def test_nothing_is_left_behind_by_requests_past_their_deadline(hasty: Server) -> None:
    for way in EVERY_WAY:
        with pytest.raises(Refused):
            ask(hasty, way, "slow")
    assert eventually(lambda: hasty.metric("lectorium_in_flight_requests") == 0)
    assert hasty.metric("lectorium_queue_rows") == 0
