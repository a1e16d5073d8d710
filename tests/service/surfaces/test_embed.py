"""Embeddings: what `POST /v1/embed[/batch]` and `Vision/Embed[Batch]` do alike."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest

from protos.lectorium.v1 import vision_pb2 as pb
from tests.embedding_packages import DIMENSION, vectors
from tests.packages import example, expected
from tests.pictures import claiming, png
from tests.service.surfaces.image_transports import Http, Vision, read_message, the_only_one, without_unset
from tests.service.surfaces.transports import Refused, TensorTransport, refuse_unless_ok, tensor
from tests.serving import MAX_REQUEST_BYTES, Server

ONE, SEVERAL = "/v1/embed", "/v1/embed/batch"
MAX_IMAGES = 64


class HttpEmbed(Http):
    """`POST /v1/embed`, in a form."""

    def embed(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._post(ONE, [("image", image)], fields)

    def embed_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._post(SEVERAL, [("images", image) for image in images], fields)


class JsonEmbed(Http):
    """The same in JSON."""

    def embed(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return self._ask(ONE, {"image": b64encode(image).decode(), **fields})

    def embed_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return self._ask(SEVERAL, {"images": [b64encode(image).decode() for image in images], **fields})

    def _ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post(path, json=body)).json()))


class BareEmbed(JsonEmbed):
    """The image as the body itself; several have no such way."""

    def embed(self, image: bytes, **fields: Any) -> dict[str, Any]:
        answer = self.client.post(ONE, params=fields, content=image, headers={"content-type": "image/png"})
        return dict(without_unset(refuse_unless_ok(answer).json()))


class VisionEmbed(Vision):
    """`lectorium.v1.Vision/Embed`."""

    def embed(self, image: bytes, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("Embed", pb.EmbedRequest(image=image, **fields)))

    def embed_batch(self, images: list[bytes], **fields: Any) -> dict[str, Any]:
        return read_message(self._call("EmbedBatch", pb.EmbedBatchRequest(images=images, **fields)))


Transport = HttpEmbed | JsonEmbed | BareEmbed | VisionEmbed
TRANSPORTS: dict[str, Callable[[Server], Transport]] = {
    "form": HttpEmbed,
    "json": JsonEmbed,
    "bare": BareEmbed,
    "vision_grpc": VisionEmbed,
}


class Embeds:
    """One way to have images embedded by `vectors`: one image, or a batch for each."""

    def __init__(self, transport: Transport, *, batch: bool) -> None:
        self.transport, self.batch = transport, batch

    def __call__(self, image: bytes, **fields: Any) -> dict[str, Any]:
        fields = {"model": "vectors", **fields}
        return (
            the_only_one(self.transport.embed_batch([image], **fields))
            if self.batch
            else self.transport.embed(image, **fields)
        )

    def refusal(self, image: bytes, code: str = "INVALID_ARGUMENT", **fields: Any) -> str:
        """The message with which the image is refused."""
        with pytest.raises(Refused) as caught:
            self(image, **fields)
        assert caught.value.code == code
        return caught.value.message


@pytest.fixture(scope="module", params=[(way, batch) for way in TRANSPORTS for batch in (False, True)], ids=str)
def embeds(request: pytest.FixtureRequest, server: Server) -> Iterator[Embeds]:
    """Each way in turn."""
    way, batch = request.param
    with closing(TRANSPORTS[way](server)) as transport:
        yield Embeds(transport, batch=batch)


@pytest.fixture(scope="module", params=TRANSPORTS)
def transport(request: pytest.FixtureRequest, server: Server) -> Iterator[Transport]:
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


def test_the_answer_holds_model_version_embedding_and_timing_and_nothing_else(embeds: Embeds) -> None:
    answer = embeds(png())
    assert answer.keys() == {"model", "version", "embedding", "timing"}
    assert (answer["model"], answer["version"], len(answer["embedding"])) == ("vectors", "1", DIMENSION)
    assert answer["timing"].keys() == {"queue_ms", "decode_ms", "compute_ms"}
    np.testing.assert_allclose(answer["embedding"], vectors(example(1))[0], rtol=1e-6)


@pytest.mark.parametrize("normalize", [True, False])
def test_the_vector_is_normalised_where_that_is_asked_for(embeds: Embeds, normalize: bool) -> None:
    wanted = vectors(example(1, 5))[0]
    found = embeds(png(example(1, 5)[0]), normalize=normalize)["embedding"]
    np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted) if normalize else wanted, rtol=1e-6)


def test_every_way_gives_the_same_vector(server: Server) -> None:
    found = []
    for way in TRANSPORTS:
        with closing(TRANSPORTS[way](server)) as transport:
            for batch in (False, True):
                found.append(np.array(Embeds(transport, batch=batch)(png(), normalize=True)["embedding"], "f4"))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("count", [1, 7, MAX_IMAGES])
def test_each_image_of_a_batch_has_its_own_vector_in_its_order(transport: Transport, count: int) -> None:
    pictures = example(count, seed=5)
    answer = transport.embed_batch([png(pixels) for pixels in pictures], model="vectors")
    assert answer.keys() == {"model", "version", "results", "timing"}
    np.testing.assert_allclose([result["embedding"] for result in answer["results"]], vectors(pictures), rtol=1e-6)


def test_embeddings_and_classifications_of_many_callers_at_once_each_get_their_own(server: Server) -> None:
    pictures = example(60, seed=7)
    with closing(VisionEmbed(server)) as vision, ThreadPoolExecutor(12) as pool:
        embedded = [pool.submit(vision.embed, png(pixels), model="vectors") for pixels in pictures]
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
def test_a_model_that_does_not_embed_is_refused(embeds: Embeds, fields: dict[str, str], words: str) -> None:
    assert words in embeds.refusal(png(), "NOT_FOUND", **fields)


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "the image has 0 bytes"),
        (b"hello", "the 5 bytes are not an image in PNG, JPEG"),
        (png()[:-30], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "damaged"),
        (claiming(png(), 30_000, 30_000), "the image is 30000x30000 pixels; at most 50000000 are allowed"),
    ],
    ids=["empty", "text", "cut short", "noise", "bomb"],
)
def test_what_is_no_image_is_refused_in_the_same_words(embeds: Embeds, image: bytes, words: str) -> None:
    assert words in embeds.refusal(image)


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
def test_no_image_and_too_many_are_refused(transport: Transport, count: int) -> None:
    with pytest.raises(Refused, match=f"{count} images were sent; 1 to {MAX_IMAGES} are allowed"):
        transport.embed_batch([png()] * count, model="vectors")


def test_one_bad_image_refuses_the_batch_and_is_named_by_its_index(transport: Transport) -> None:
    with pytest.raises(Refused, match=r"images\[1\]: the 5 bytes are not an image"):
        transport.embed_batch([png(), b"hello"], model="vectors")


@pytest.mark.parametrize("way", ["form", "vision_grpc"])
def test_images_that_are_too_large_together_are_refused(server: Server, way: str) -> None:
    with closing(TRANSPORTS[way](server)) as transport, pytest.raises(Refused, match=f"most {MAX_REQUEST_BYTES} are"):
        transport.embed_batch([bytes(MAX_REQUEST_BYTES // 4)] * 4 + [b"more"], model="vectors")


def test_the_only_model_that_embeds_answers_where_none_is_named(embeds: Embeds) -> None:
    assert embeds(png(), model="")["model"] == "vectors"


def test_tensors_name_the_embedding_as_any_output(tensors: TensorTransport) -> None:
    images = example(3, seed=2)
    answer = tensors.infer("vectors", [tensor(images)], outputs=["embedding"])
    assert list(answer.outputs) == ["embedding"]
    np.testing.assert_allclose(answer.outputs["embedding"], vectors(images), rtol=1e-6)


def test_the_identifier_of_a_call_comes_back(server: Server) -> None:
    with closing(VisionEmbed(server)) as vision:
        assert vision._call("Embed", pb.EmbedRequest(image=png(), model="vectors", id="7")).id == "7"
        assert vision._call("EmbedBatch", pb.EmbedBatchRequest(images=[png()], model="vectors", id="8")).id == "8"


def test_requests_are_counted_by_surface_and_model(server: Server) -> None:
    ok = {"model": "vectors", "surface": "vision_grpc", "code": "OK"}
    before = server.metric("lectorium_request_duration_seconds_count", **ok)
    with closing(VisionEmbed(server)) as vision:
        vision.embed(png(), model="vectors")
        vision.embed_batch([png()] * 3, model="vectors")
    assert server.metric("lectorium_request_duration_seconds_count", **ok) == before + 2
