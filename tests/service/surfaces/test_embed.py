"""Embeddings: what `POST /v1/embed[/batch]` and `Vision/Embed[Batch]` do alike."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial

import numpy as np
import pytest

from tests.embedding_packages import DIMENSION, vectors
from tests.packages import example, expected
from tests.pictures import png
from tests.service.surfaces.image_tasks import NO_IMAGES, Asks, Rpc, Way, ways
from tests.service.surfaces.transports import Refused, TensorTransport, tensor
from tests.serving import MAX_REQUEST_BYTES, Server

MAX_IMAGES = 64
WAYS = ways("embed")
VisionEmbed = partial(Rpc, task="embed")


@pytest.fixture(scope="module", params=[(way, batch) for way in WAYS for batch in (False, True)], ids=str)
def embeds(request: pytest.FixtureRequest, server: Server) -> Iterator[Asks]:
    """Each way in turn."""
    way, batch = request.param
    with closing(WAYS[way](server)) as asked:
        yield Asks(asked, batch=batch, model="vectors")


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, server: Server) -> Iterator[Way]:
    with closing(WAYS[request.param](server)) as way:
        yield way


def test_the_answer_holds_model_version_embedding_and_timing_and_nothing_else(embeds: Asks) -> None:
    answer = embeds(png())
    assert answer.keys() == {"model", "version", "embedding", "timing"}
    assert (answer["model"], answer["version"], len(answer["embedding"])) == ("vectors", "1", DIMENSION)
    assert answer["timing"].keys() == {"queue_ms", "decode_ms", "compute_ms"}
    np.testing.assert_allclose(answer["embedding"], vectors(example(1))[0], rtol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_vector_is_normalised_where_that_is_asked_for(embeds: Asks, normalize: bool) -> None:
    wanted = vectors(example(1, 5))[0]
    found = embeds(png(example(1, 5)[0]), normalize=normalize)["embedding"]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted) if normalize else wanted, rtol=1e-6)


def test_every_way_gives_the_same_vector(server: Server) -> None:
    found = []
    for begin in WAYS.values():
        with closing(begin(server)) as way:
            for batch in (False, True):
                answer = Asks(way, batch=batch, model="vectors")(png(), normalize=True)
                found.append(np.array(answer["embedding"], "f4"))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("count", [1, 7, MAX_IMAGES])
def test_each_image_of_a_batch_has_its_own_vector_in_its_order(way: Way, count: int) -> None:
    pictures = example(count, seed=5)
    answer = way.ask_batch([png(pixels) for pixels in pictures], model="vectors")
    assert answer.keys() == {"model", "version", "results", "timing"}
    np.testing.assert_allclose([result["embedding"] for result in answer["results"]], vectors(pictures), rtol=1e-6)


def test_embeddings_and_classifications_of_many_callers_at_once_each_get_their_own(server: Server) -> None:
    pictures = example(60, seed=7)
    with closing(VisionEmbed(server)) as vision, ThreadPoolExecutor(12) as pool:
        embedded = [pool.submit(vision.ask, png(pixels), model="vectors") for pixels in pictures]
        classified = [pool.submit(vision.classify, png(pixels), model="vectors", top_k=1) for pixels in pictures]
        found = np.array([each.result()["embedding"] for each in embedded])
        tops = [each.result()["labels"][0]["index"] for each in classified]
    np.testing.assert_allclose(found, vectors(pictures), rtol=1e-6)
    assert tops == list(expected(pictures).argmax(1))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "tiny"}, "model 'tiny' does not embed images; these do: ['vectors']"),
        ({"model": "captioner"}, "model 'captioner' does not embed images; these do: ['vectors']"),
        ({"model": "nope"}, "no model 'nope'"),
        ({"version": "9"}, "'vectors' has no version '9'; it has ['1']"),
    ],
)
def test_a_model_that_does_not_embed_is_refused(embeds: Asks, fields: dict[str, str], words: str) -> None:
    assert words in embeds.refusal(png(), "NOT_FOUND", **fields)


@pytest.mark.parametrize(("image", "words"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_is_refused_in_the_same_words(embeds: Asks, image: bytes, words: str) -> None:
    assert words in embeds.refusal(image)


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
def test_no_image_and_too_many_are_refused(way: Way, count: int) -> None:
    with pytest.raises(Refused, match=f"{count} images were sent; 1 to {MAX_IMAGES} are allowed"):
        way.ask_batch([png()] * count, model="vectors")


def test_one_bad_image_refuses_the_batch_and_is_named_by_its_index(way: Way) -> None:
    with pytest.raises(Refused, match=r"images\[1\]: the 5 bytes are not an image"):
        way.ask_batch([png(), b"hello"], model="vectors")


@pytest.mark.parametrize("name", ["form", "vision_grpc"])
def test_images_that_are_too_large_together_are_refused(server: Server, name: str) -> None:
    with closing(WAYS[name](server)) as way, pytest.raises(Refused, match=f"most {MAX_REQUEST_BYTES} are"):
        way.ask_batch([bytes(MAX_REQUEST_BYTES // 4)] * 4 + [b"more"], model="vectors")


def test_the_only_model_that_embeds_answers_where_none_is_named(embeds: Asks) -> None:
    assert embeds(png(), model="")["model"] == "vectors"


def test_tensors_name_the_embedding_as_any_output(tensors: TensorTransport) -> None:
    images = example(3, seed=2)
    answer = tensors.infer("vectors", [tensor(images)], outputs=["embedding"])
    assert list(answer.outputs) == ["embedding"]
    np.testing.assert_allclose(answer.outputs["embedding"], vectors(images), rtol=1e-6)


def test_the_identifier_of_a_call_comes_back(server: Server) -> None:
    with closing(VisionEmbed(server)) as vision:
        assert vision.call(image=png(), model="vectors", id="7").id == "7"
        assert vision.call("Batch", images=[png()], model="vectors", id="8").id == "8"


def test_requests_are_counted_by_surface_and_model(server: Server) -> None:
    ok = {"model": "vectors", "surface": "vision_grpc", "code": "OK"}
    before = server.metric("lectorium_request_duration_seconds_count", **ok)
    with closing(VisionEmbed(server)) as vision:
        vision.ask(png(), model="vectors")
        vision.ask_batch([png()] * 3, model="vectors")
    assert server.metric("lectorium_request_duration_seconds_count", **ok) == before + 2
