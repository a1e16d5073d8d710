"""Several images in one call: what `POST /v1/classify/batch` and `Vision/ClassifyBatch` do alike."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from tests.needs import needs
from tests.packages import CLASSES, example, expected
from tests.pictures import claiming, png
from tests.service.surfaces.callers import BEGIN_BATCH, in_flight, slow_model_occupied
from tests.service.surfaces.conftest import StartServer
from tests.service.surfaces.image_transports import Http, Vision
from tests.service.surfaces.transports import Refused
from tests.serving import MAX_REQUEST_BYTES, Server, eventually

MAX_IMAGES = 64
Batches = Http | Vision
TRANSPORTS: dict[str, Callable[[Server], Batches]] = {"http": Http, "vision_grpc": Vision}


@pytest.fixture(scope="module", params=TRANSPORTS)
def batches(request: pytest.FixtureRequest, server: Server) -> Iterator[Batches]:
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


def refusal(batches: Batches, images: list[bytes], code: str = "INVALID_ARGUMENT", **fields: object) -> str:
    """The message with which the images are refused."""
    with pytest.raises(Refused) as caught:
        batches.classify_batch(images, **fields)
    assert caught.value.code == code
    return caught.value.message


def test_the_answer_holds_model_version_results_and_timing_and_nothing_else(batches: Batches) -> None:
    answer = batches.classify_batch([png(), png()])
    assert answer.keys() == {"model", "version", "results", "timing"}
    assert [result.keys() for result in answer["results"]] == [{"labels"}] * 2
    assert all(answer["timing"][stage] > 0 for stage in ("queue_ms", "decode_ms", "compute_ms"))


@pytest.mark.parametrize("count", [1, 2, 7, MAX_IMAGES])
def test_each_image_has_its_own_labels_in_the_order_the_images_came(batches: Batches, count: int) -> None:
    pictures = example(count, seed=5)
    answer = batches.classify_batch([png(pixels) for pixels in pictures], version="1", top_k=CLASSES)
    assert (answer["model"], answer["version"], len(answer["results"])) == ("tiny", "1", count)
    for result, wanted in zip(answer["results"], expected(pictures), strict=True):
        order = list(np.argsort(-wanted))
        assert [label["index"] for label in result["labels"]] == order
        np.testing.assert_allclose([label["probability"] for label in result["labels"]], wanted[order], atol=1e-6)


def test_images_of_a_batch_share_runs(batches: Batches, server: Server) -> None:
    runs = server.metric("lectorium_batch_rows_count", model="slow")
    batches.classify_batch([png()] * 16, model="slow")
    assert server.metric("lectorium_batch_rows_count", model="slow") == runs + 2


def test_a_batch_is_one_request(batches: Batches, server: Server) -> None:
    ok = {"model": "tiny", "surface": batches.surface, "code": "OK"}
    before = server.metric("lectorium_request_duration_seconds_count", **ok)
    batches.classify_batch([png()] * 5)
    assert server.metric("lectorium_request_duration_seconds_count", **ok) == before + 1


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"a cat", "images[2]: the 5 bytes are not an image in PNG, JPEG"),
        (b"", "images[2]: the image has 0 bytes"),
        (claiming(png(), 30_000, 30_000), "images[2]: the image is 30000x30000 pixels; at most 50000000 are allowed"),
    ],
)
def test_one_bad_image_refuses_the_batch_and_is_named_by_its_index(batches: Batches, image: bytes, words: str) -> None:
    assert refusal(batches, [png(), png(), image, png()]).startswith(words)


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1, 3 * MAX_IMAGES])
def test_no_image_and_too_many_are_refused(batches: Batches, count: int) -> None:
    assert refusal(batches, [png()] * count, top_k=1) == f"{count} images were sent; 1 to {MAX_IMAGES} are allowed"


def test_far_too_many_images_are_refused(server: Server) -> None:
    with closing(Http(server)) as http:
        message = refusal(http, [b""] * (5 * MAX_IMAGES))
    assert message == f"the form has over {4 * MAX_IMAGES} files; at most {MAX_IMAGES} are allowed"


def test_images_that_are_too_large_together_are_refused(batches: Batches) -> None:
    assert f"at most {MAX_REQUEST_BYTES} are allowed" in refusal(
        batches, [bytes(MAX_REQUEST_BYTES // 4)] * 4 + [b"more"]
    )


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"model": "nope"}, "NOT_FOUND", "no model 'nope'"),
        ({"top_k": 9}, "INVALID_ARGUMENT", "top_k is 9; model 'tiny' allows 1 to 3"),
        ({"views": "nine"}, "INVALID_ARGUMENT", "views is 'nine'; model 'tiny' allows"),
        ({"explain": "cam"}, "INVALID_ARGUMENT", "explain is 'cam'; model 'tiny' allows none"),
    ],
)
def test_what_is_asked_of_all_is_checked_as_for_one(
    batches: Batches, fields: dict[str, object], code: str, words: str
) -> None:
    assert refusal(batches, [png(), png()], code, **fields).startswith(words)


def test_the_configuration_says_how_many_images_are_taken(start: StartServer) -> None:
    server = start(max_images=2)
    for open_transport in TRANSPORTS.values():
        with closing(open_transport(server)) as batches:
            assert len(batches.classify_batch([png()] * 2)["results"]) == 2
            assert refusal(batches, [png()] * 3) == "3 images were sent; 1 to 2 are allowed"


def test_a_text_among_the_images_is_named_by_its_index(server: Server) -> None:
    with closing(Http(server)) as http:
        response = http.client.post("/v1/classify/batch", files=[("images", png()), ("images", (None, "a cat"))])
    assert response.status_code == 400
    assert response.json() == {"error": "form field 'images[1]' is text; it must be a file"}


@pytest.mark.parametrize("surface", BEGIN_BATCH)
def test_a_caller_that_leaves_takes_the_rows_of_its_batch_with_it(server: Server, surface: str) -> None:
    left = {"surface": surface, "model": "slow", "reason": "cancelled"}
    before = server.metric("lectorium_rejections_total", **left)
    run = server.metric("lectorium_batch_rows_sum", model="slow")
    leave = BEGIN_BATCH[surface](server, MAX_IMAGES, model="slow", views="ten_crop")
    assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") > 0)
    leave()
    assert eventually(lambda: in_flight(server, surface) == 0)
    assert eventually(lambda: server.metric("lectorium_queue_rows", model="slow") == 0)
    assert server.metric("lectorium_batch_rows_sum", model="slow") - run < 10 * MAX_IMAGES / 2
    assert server.metric("lectorium_rejections_total", **left) == before + 1


@pytest.fixture(scope="module")
@needs("server")
def crowded(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server where few rows may wait."""
    with Server(zoo, tmp_path_factory.mktemp("crowded") / "home", max_queue_rows=16) as server:
        yield server


@pytest.mark.parametrize("way", TRANSPORTS)
def test_a_full_queue_refuses_the_batch_as_a_whole(crowded: Server, way: str) -> None:
    with slow_model_occupied(crowded), closing(TRANSPORTS[way](crowded)) as batches:
        message = refusal(batches, [png()] * 3, "RESOURCE_EXHAUSTED", model="slow")
    assert "of at most 16 rows; this request has 3 more" in message
    assert eventually(lambda: crowded.metric("lectorium_queue_rows", model="slow") == 0)
