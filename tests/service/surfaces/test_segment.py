"""Segmentation: what `POST /v1/segment[/batch]` and `Vision/Segment[Batch]` do alike."""

import io
from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.masks.activation import strong
from tests.explaining_packages import activation_maps
from tests.packages import SIDE, example
from tests.pictures import encoded, png
from tests.segment_packages import LABELS, PALETTE, segmented
from tests.service.image_bombs import BOMBS
from tests.service.surfaces.image_tasks import NO_IMAGES, Asks, Way
from tests.service.surfaces.image_transports import Http
from tests.service.surfaces.segmenting import WAYS, VisionSegment, blocks, mask_of, read
from tests.service.surfaces.transports import Refused, TensorTransport, tensor
from tests.serving import MAX_REQUEST_BYTES, Server

MAX_IMAGES = 64


@pytest.fixture(scope="module", params=[(way, batch) for way in WAYS for batch in (False, True)], ids=str)
def segments(request: pytest.FixtureRequest, server: Server) -> Iterator[Asks]:
    """Each way in turn."""
    way, batch = request.param
    with closing(WAYS[way](server)) as asked:
        yield Asks(asked, batch=batch)


@pytest.fixture(scope="module", params=WAYS)
def way(request: pytest.FixtureRequest, server: Server) -> Iterator[Way]:
    with closing(WAYS[request.param](server)) as way:
        yield way


def test_the_answer_is_the_mask_and_what_each_class_has_of_it(segments: Asks) -> None:
    pixels = blocks()
    answer = segments(png(pixels))
    assert {key for key, value in answer.items() if value != []} == {
        *("model", "version", "height", "width", "classes", "mask", "timing")
    }
    assert (answer["model"], answer["version"], answer["height"], answer["width"]) == ("colours", "1", 18, 24)
    mask = mask_of(pixels)
    assert [(each["label"], each["colour"]) for each in answer["classes"]] == list(zip(LABELS, PALETTE, strict=True))
    assert [each["pixels"] for each in answer["classes"]] == [(mask == index).sum() for index in range(len(LABELS))]
    confidence = segmented(pixels[None]).confidence[0]
    np.testing.assert_allclose([each["confidence"] for each in answer["classes"]], confidence, rtol=1e-5)
    mode, found = read(b64decode(answer["mask"]))
    assert mode == "P"
    np.testing.assert_array_equal(found, mask)


def test_the_mask_has_the_palette_of_the_card(segments: Asks) -> None:
    picture = Image.open(io.BytesIO(b64decode(segments(png(blocks()), output="mask")["mask"]))).convert("RGB")
    colours = np.array([list(bytes.fromhex(colour[1:])) for colour in PALETTE], "u1")
    np.testing.assert_array_equal(np.asarray(picture), colours[mask_of(blocks())])


def test_every_way_gives_the_same_answer_in_every_form(server: Server) -> None:
    found = []
    for begin in WAYS.values():
        with closing(begin(server)) as way:
            for batch in (False, True):
                answer = Asks(way, batch=batch)(
                    png(blocks(3)), output="statistics,mask,overlay,rle,polygons,indices,instances", opacity=0.75
                )
                found.append({key: value for key, value in answer.items() if key != "timing"})
    assert all(found[0][form] for form in ("overlay", "rle", "polygons", "indices", "instances"))
    for other in found[1:]:
        assert other == found[0]


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (7, 31), (1, 1), (500, 20)])
def test_an_image_of_any_size_and_shape_has_a_mask_of_its_size(segments: Asks, size: tuple[int, int]) -> None:
    answer = segments(encoded(Image.new("RGB", size, (0, 255, 0)), "PNG"))
    assert (answer["width"], answer["height"]) == size
    assert [each["pixels"] for each in answer["classes"]] == [0, 0, size[0] * size[1], 0]
    assert (read(b64decode(answer["mask"]))[1] == 2).all()


@pytest.mark.parametrize("count", [1, 9, MAX_IMAGES])
def test_each_image_of_a_batch_has_its_own_mask_in_its_order(way: Way, count: int) -> None:
    pictures = [blocks(seed, times=1 + seed % 3) for seed in range(count)]
    answer = way.ask_batch([png(pixels) for pixels in pictures], output="mask")
    assert answer.keys() == {"model", "version", "results", "timing"}
    for result, pixels in zip(answer["results"], pictures, strict=True):
        np.testing.assert_array_equal(read(b64decode(result["mask"]))[1], mask_of(pixels))


def test_many_callers_at_once_each_get_their_own_mask(server: Server) -> None:
    pictures = [blocks(seed, times=1 + seed % 4) for seed in range(40)]
    with closing(VisionSegment(server)) as vision, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(vision.ask, png(pixels), output="indices") for pixels in pictures]
        for answer, pixels in zip(asked, pictures, strict=True):
            assert b64decode(answer.result()["indices"]) == mask_of(pixels).tobytes()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "tiny"}, "model 'tiny' does not segment images; these do: ['colours', 'seeing']"),
        ({"model": "captioner"}, "model 'captioner' does not segment images; these do: ['colours', 'seeing']"),
        ({"model": "nope"}, "no model 'nope'"),
        ({"version": "9"}, "'colours' has no version '9'; it has ['1']"),
    ],
)
def test_a_model_that_does_not_segment_is_refused(segments: Asks, fields: dict[str, str], words: str) -> None:
    fields = {"model": "colours", **fields}
    assert words in segments.refusal(png(), "NOT_FOUND", **fields)


def test_a_classifier_that_is_named_shows_where_its_label_is(segments: Asks) -> None:
    answer = segments(png(), model="seeing", method="cam", label="one", threshold=0.3, output="indices,instances")
    found = strong(activation_maps(example(1))[0, 1], SIDE, SIDE, 0.3)
    assert (answer["model"], [each["label"] for each in answer["classes"]]) == ("seeing", ["background", "one"])
    assert b64decode(answer["indices"]) == found.astype("u1").tobytes()
    (instances,) = answer["instances"]
    assert sum(each["pixels"] for each in instances["objects"]) == found.sum()


def test_a_segmenter_does_not_classify(server: Server) -> None:
    with closing(Http(server)) as http, pytest.raises(Refused, match="model 'colours' does not classify; these do: "):
        http.classify(png(), model="colours")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"output": "svg"}, "output is 'svg'; model 'colours' allows ['statistics', 'mask'"),
        ({"output": "mask,mask"}, "output has 'mask' twice; once is allowed"),
        ({"output": "overlay", "opacity": 7}, "opacity is 7; allowed is 0 to 1"),
        ({"output": "mask", "opacity": 0.5}, "opacity was given; it is allowed with output 'overlay' only"),
    ],
)
def test_what_the_model_does_not_allow_is_refused(segments: Asks, fields: dict[str, Any], words: str) -> None:
    assert words in segments.refusal(png(), **fields)


@pytest.mark.parametrize(("image", "words"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_image_is_refused_in_the_same_words(segments: Asks, image: bytes, words: str) -> None:
    assert words in segments.refusal(image)


def test_bombs_are_refused_as_they_are_by_every_task(server: Server) -> None:
    files = [file for make in BOMBS.values() if len(file := make()) < MAX_REQUEST_BYTES // 2]
    assert len(files) > 8
    with closing(VisionSegment(server)) as vision:
        for file in files:
            with pytest.raises(Refused) as classified:
                vision.classify(file)
            with pytest.raises(Refused) as refused:
                vision.ask(file)
            assert (refused.value.code, refused.value.message) == (classified.value.code, classified.value.message)


@pytest.mark.parametrize("count", [0, MAX_IMAGES + 1])
def test_no_image_and_too_many_are_refused(way: Way, count: int) -> None:
    with pytest.raises(Refused, match=f"{count} images were sent; 1 to {MAX_IMAGES} are allowed"):
        way.ask_batch([png()] * count, output="mask")


def test_one_bad_image_refuses_the_batch_and_is_named_by_its_index(way: Way) -> None:
    with pytest.raises(Refused, match=r"images\[1\]: the 5 bytes are not an image"):
        way.ask_batch([png(), b"hello"])


def test_tensors_of_any_size_are_answered_with_all_outputs(tensors: TensorTransport) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 11, 3), dtype="u1")
    answer = tensors.infer("colours", [tensor(images)])
    for name, wanted in segmented(images)._asdict().items():
        np.testing.assert_allclose(answer.outputs[name], wanted, rtol=1e-5, err_msg=name)


def test_the_identifier_of_a_call_comes_back(server: Server) -> None:
    with closing(VisionSegment(server)) as vision:
        assert vision.call(image=png(), id="7").id == "7"
        assert vision.call("Batch", images=[png()], id="8").id == "8"
