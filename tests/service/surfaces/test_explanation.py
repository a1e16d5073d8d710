"""Views and explanations: what every way to have an image classified gives alike."""

from base64 import b64decode
from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.explaining_packages import LAYERS, STRONGEST, activation_maps, projected, write_explaining_package
from tests.needs import needs
from tests.packages import CLASSES, example, expected
from tests.pictures import png
from tests.service.surfaces.callers import BEGIN_BATCH, in_flight
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS
from tests.service.surfaces.image_transports import Http, ImageTransport, Vision
from tests.service.surfaces.transports import Refused
from tests.service.surfaces.vision_conversation import VisionConversation
from tests.serving import SLOW_WORK, Server, eventually

LABELS = ("zero", "one", "two")
PIXELS = example(1, seed=21)
PICTURE = png(PIXELS[0])
TOP = int(expected(PIXELS)[0].argmax())
SEEING = {"model": "seeing"}
MAX_IMAGES = 64


def explained(images: ImageTransport, image: bytes = PICTURE, **fields: object) -> dict[str, Any]:
    """The explanation `seeing` gives."""
    found: dict[str, Any] = images.classify(image, **SEEING, **fields)["explanation"]
    return found


def values(evidence: dict[str, Any]) -> NDArray[np.float32]:
    return np.frombuffer(b64decode(evidence["values"], validate=True), "<f4").reshape(evidence["shape"])


def picture(evidence: dict[str, Any]) -> Image.Image:
    image = Image.open(BytesIO(b64decode(evidence["png"], validate=True)))
    assert image.format == "PNG"
    image.load()
    return image


def test_a_class_activation_map_is_of_the_most_probable_class(images: ImageTransport) -> None:
    found = explained(images, explain="cam")
    assert found.keys() == {"method", "label", "index", "evidence"}
    assert (found["method"], found["label"], found["index"]) == ("cam", LABELS[TOP], TOP)
    (evidence,) = found["evidence"]
    assert evidence.keys() == {"png", "shape", "values"}
    np.testing.assert_allclose(values(evidence), activation_maps(PIXELS)[0, TOP], rtol=1e-4, atol=1e-5)
    assert (picture(evidence).mode, picture(evidence).size) == ("RGB", (224, 224))


@pytest.mark.parametrize("index", range(CLASSES))
@pytest.mark.parametrize("by", ["label", "index"])
def test_the_map_of_another_class_may_be_asked_for(images: ImageTransport, index: int, by: str) -> None:
    named = LABELS[index] if by == "label" else str(index)
    found = explained(images, explain="cam", explain_label=named)
    assert (found["label"], found["index"]) == (LABELS[index], index)
    np.testing.assert_allclose(values(found["evidence"][0]), activation_maps(PIXELS)[0, index], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", ["", *LAYERS])
def test_a_layers_strongest_maps_are_projected_back(images: ImageTransport, layer: str) -> None:
    found = explained(images, explain="deconv", layer=layer)
    at = LAYERS.index(layer) if layer else len(LAYERS) - 1
    assert found.keys() == {"method", "layer", "evidence"}
    assert (found["method"], found["layer"]) == ("deconv", LAYERS[at])
    wanted = projected(PIXELS, np.array([at]))
    assert len(found["evidence"]) == STRONGEST
    for i, evidence in enumerate(found["evidence"]):
        assert evidence.keys() == {"map", "strength", "png", "shape", "values"}
        assert evidence["map"] == wanted["maps"][0, i]
        assert evidence["strength"] == pytest.approx(float(wanted["strengths"][0, i]), abs=1e-5)
        np.testing.assert_allclose(values(evidence), wanted["reconstructions"][0, i], atol=1e-5)
        assert picture(evidence).size == (224, 224)


def test_the_labels_are_those_without_an_explanation(images: ImageTransport) -> None:
    plain = images.classify(PICTURE, **SEEING)
    assert "explanation" not in plain
    for explain in ("cam", "deconv"):
        answer = images.classify(PICTURE, **SEEING, explain=explain)
        assert answer["labels"] == plain["labels"]
        assert answer["timing"]["compute_ms"] > 0


@pytest.mark.parametrize("explain", ["cam", "deconv"])
def test_every_way_gives_the_same_explanation(server: Server, explain: str) -> None:
    found = {}
    for name, open_images in IMAGE_TRANSPORTS.items():
        with closing(open_images(server)) as images:
            found[name] = explained(images, explain=explain)
    assert len(found) == 5
    assert all(explanation == found["http"] for explanation in found.values())


@pytest.mark.parametrize(("views", "count"), [("single", 1), ("flip", 2), ("ten_crop", 10)])
def test_the_answer_is_averaged_over_the_views(images: ImageTransport, server: Server, views: str, count: int) -> None:
    rows = server.metric("lectorium_batch_rows_sum", model="seeing")
    answer = images.classify(PICTURE, **SEEING, views=views, top_k=CLASSES)
    assert server.metric("lectorium_batch_rows_sum", model="seeing") == rows + count
    found = {label["index"]: label["probability"] for label in answer["labels"]}
    assert sum(found.values()) == pytest.approx(1)
    if views != "ten_crop":  # whose pixels are the resize's
        seen = np.concatenate([PIXELS, PIXELS[:, :, ::-1]])[:count]
        np.testing.assert_allclose([found[i] for i in range(CLASSES)], expected(seen).mean(0), atol=1e-6)


def test_views_and_explanation_go_together(images: ImageTransport) -> None:
    answer = images.classify(PICTURE, **SEEING, views="flip", explain="cam", explain_label="one")
    (evidence,) = answer["explanation"]["evidence"]
    np.testing.assert_allclose(values(evidence), activation_maps(PIXELS)[0, 1], rtol=1e-4, atol=1e-5)


WRONG = {
    "views": ({"views": "nine"}, "views is 'nine'; model 'seeing' allows ['single', 'flip', 'ten_crop']"),
    "method": ({"explain": "why"}, "explain is 'why'; model 'seeing' allows ['cam', 'deconv']"),
    "label": (
        {"explain": "cam", "explain_label": "four"},
        "explain_label is 'four'; model 'seeing' allows ['zero', 'one', 'two', '0..2']",
    ),
    "index": (
        {"explain": "cam", "explain_label": "3"},
        "explain_label is '3'; model 'seeing' allows ['zero', 'one', 'two', '0..2']",
    ),
    "layer": (
        {"explain": "deconv", "layer": "conv9"},
        "layer is 'conv9'; model 'seeing' allows ['conv1', 'conv2', 'conv3']",
    ),
    "label alone": ({"explain_label": "one"}, "explain_label was given; it is allowed with explain 'cam' only"),
    "layer alone": ({"layer": "conv1"}, "layer was given; it is allowed with explain 'deconv' only"),
    "label with deconv": (
        {"explain": "deconv", "explain_label": "one"},
        "explain_label was given; it is allowed with explain 'cam' only",
    ),
    "layer with cam": (
        {"explain": "cam", "layer": "conv1"},
        "layer was given; it is allowed with explain 'deconv' only",
    ),
    "a long text": ({"explain": "w" * 5000}, f"explain is '{'w' * 80}'; model 'seeing' allows ['cam', 'deconv']"),
    "no such ability": ({"model": "tiny", "explain": "cam"}, "explain is 'cam'; model 'tiny' allows none"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_model_does_not_have_is_refused_in_the_same_words(images: ImageTransport, case: str) -> None:
    fields, words = WRONG[case]
    with pytest.raises(Refused) as caught:
        images.classify(PICTURE, **{**SEEING, **fields})
    assert (caught.value.code, caught.value.message) == ("INVALID_ARGUMENT", words)


def test_a_batch_explains_each_of_its_images(server: Server) -> None:
    pictures = example(6, seed=8)
    maps, top = activation_maps(pictures), expected(pictures).argmax(1)
    for open_batches in (Http, Vision):
        with closing(open_batches(server)) as batches:
            answer = batches.classify_batch([png(pixels) for pixels in pictures], **SEEING, explain="cam")
        for i, result in enumerate(answer["results"]):
            assert result["explanation"]["index"] == top[i]
            found = values(result["explanation"]["evidence"][0])
            np.testing.assert_allclose(found, maps[i, top[i]], rtol=1e-4, atol=1e-5)


def test_more_explanation_than_a_message_may_hold_is_refused(server: Server) -> None:
    for open_batches in (Http, Vision):
        with closing(open_batches(server)) as batches, pytest.raises(Refused) as caught:
            batches.classify_batch([PICTURE] * 30, **SEEING, explain="deconv")
        assert caught.value.code == "INVALID_ARGUMENT"
        assert (
            "30 images were sent; explain 'deconv' of model 'seeing' answers at most 3 at once" in caught.value.message
        )


def test_frames_of_a_stream_may_each_ask_for_something_else(server: Server) -> None:
    with VisionConversation(server) as caller:
        for name in LABELS:
            caller.ask(PICTURE, id=name, **SEEING, explain="cam", explain_label=name)
        for name in LAYERS:
            caller.ask(PICTURE, id=name, **SEEING, explain="deconv", layer=name)
        caller.ask(PICTURE, id="plain", **SEEING)
        answers = {answer.id: answer.response for answer in caller.read_all()}
    assert len(answers) == 7
    assert not answers["plain"].HasField("explanation")
    assert [answers[name].explanation.label for name in LABELS] == list(LABELS)
    assert [answers[name].explanation.layer for name in LAYERS] == list(LAYERS)


def test_over_http_what_there_is_not_is_null(server: Server) -> None:
    def post(**fields: str) -> Any:
        return httpx.post(f"{server.http}/v1/classify", files={"image": PICTURE}, data={**SEEING, **fields}).json()

    assert post()["explanation"] is None
    assert post(explain="cam")["explanation"]["layer"] is None
    assert post(explain="deconv")["explanation"]["index"] is None


@pytest.fixture(scope="module")
@needs("server")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a slow model that explains itself, with room for many explanations at once."""
    folder = tmp_path_factory.mktemp("watched")
    write_explaining_package(folder / "zoo", "slow", work=SLOW_WORK)
    with Server(folder / "zoo", folder / "home", max_request_bytes=64 << 20, default_models="classify=slow") as server:
        yield server


@pytest.mark.parametrize("explain", ["cam", "deconv"])
@pytest.mark.parametrize("surface", BEGIN_BATCH)
def test_a_caller_that_leaves_takes_the_rows_of_its_views_and_explanations_with_it(
    watched: Server, surface: str, explain: str
) -> None:
    run = watched.metric("lectorium_batch_rows_sum", model="slow")
    leave = BEGIN_BATCH[surface](watched, MAX_IMAGES, explain=explain, views="ten_crop")
    assert eventually(lambda: watched.metric("lectorium_queue_rows", model="slow") > 0)
    leave()
    assert eventually(lambda: in_flight(watched, surface) == 0)
    assert eventually(lambda: watched.metric("lectorium_queue_rows", model="slow") == 0)
    assert watched.metric("lectorium_batch_rows_sum", model="slow") - run < 10 * MAX_IMAGES / 2


def test_leaving_a_stream_ends_the_explanations_of_its_frames(watched: Server) -> None:
    run = watched.metric("lectorium_batch_rows_sum", model="slow")
    with VisionConversation(watched) as caller:
        for explain in ("cam", "deconv") * 25:
            caller.ask(PICTURE, explain=explain, views="ten_crop")
        # The first may have their answers before the last are in.
        assert eventually(lambda: in_flight(watched, "vision_grpc") >= 40)
        caller.call.cancel()
        assert eventually(lambda: in_flight(watched, "vision_grpc") == 0)
    assert eventually(lambda: watched.metric("lectorium_queue_rows", model="slow") == 0)
    assert watched.metric("lectorium_batch_rows_sum", model="slow") - run < 550 / 2
