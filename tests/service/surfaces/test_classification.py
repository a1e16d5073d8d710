"""Classification: what `POST /v1/classify` and `Vision/Classify` do alike."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from tests.packages import CLASSES, example, expected
from tests.pictures import claiming, png
from tests.service.surfaces.image_transports import ImageTransport
from tests.service.surfaces.transports import Refused
from tests.serving import MAX_REQUEST_BYTES

LABELS = ("zero", "one", "two")


def refusal(transport: ImageTransport, image: bytes, code: str = "INVALID_ARGUMENT", **fields: object) -> str:
    """The message with which the image is refused."""
    with pytest.raises(Refused) as caught:
        transport.classify(image, **fields)
    assert caught.value.code == code
    return caught.value.message


def test_the_answer_holds_model_version_labels_and_timing_and_nothing_else(images: ImageTransport) -> None:
    answer = images.classify(png())
    assert answer.keys() == {"model", "version", "labels", "timing"}
    assert answer["timing"].keys() == {"queue_ms", "decode_ms", "compute_ms"}
    for label in answer["labels"]:
        assert label.keys() == {"label", "index", "probability"}


def test_labels_are_the_models_most_probable_first(images: ImageTransport) -> None:
    answer = images.classify(png(), top_k=CLASSES)
    wanted = expected(example(1), version=2)[0]
    order = [int(i) for i in np.argsort(-wanted)]
    assert [label["index"] for label in answer["labels"]] == order
    assert [label["label"] for label in answer["labels"]] == [LABELS[i] for i in order]
    np.testing.assert_allclose([label["probability"] for label in answer["labels"]], wanted[order], atol=1e-6)


def test_time_is_told_in_milliseconds_that_were_really_spent(images: ImageTransport) -> None:
    timing = images.classify(png(), model="slow")["timing"]
    assert 1 < timing["compute_ms"] < 10_000
    assert 0 <= timing["queue_ms"] < 10_000
    assert 0 < timing["decode_ms"] < 10_000


def test_the_configured_model_and_its_highest_version_answer_where_none_is_named(images: ImageTransport) -> None:
    answer = images.classify(png())
    assert (answer["model"], answer["version"]) == ("tiny", "2")


def test_the_model_that_is_named_answers(images: ImageTransport) -> None:
    assert images.classify(png(), model="slow")["model"] == "slow"


def test_the_version_that_is_named_answers(images: ImageTransport) -> None:
    answer = images.classify(png(), model="tiny", version="1", top_k=CLASSES)
    assert answer["version"] == "1"
    probabilities = {label["index"]: label["probability"] for label in answer["labels"]}
    np.testing.assert_allclose([probabilities[i] for i in range(CLASSES)], expected(example(1), 1)[0], atol=1e-6)


def test_a_version_may_be_named_without_a_model(images: ImageTransport) -> None:
    assert images.classify(png(), version="1")["version"] == "1"


@pytest.mark.parametrize("top_k", [1, 2, 3])
def test_as_many_labels_come_as_were_asked_for(images: ImageTransport, top_k: int) -> None:
    assert len(images.classify(png(), top_k=top_k)["labels"]) == top_k


def test_the_cards_number_of_labels_comes_where_none_is_asked_for(images: ImageTransport) -> None:
    assert len(images.classify(png())["labels"]) == 2


@pytest.mark.parametrize("top_k", [0, 4, 1_000_000])
def test_a_number_of_labels_outside_the_cards_range_is_refused(images: ImageTransport, top_k: int) -> None:
    assert f"top_k is {top_k}; model 'tiny' allows 1 to 3" in refusal(images, png(), top_k=top_k)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"model": "tinny"}, "no model 'tinny'; did you mean 'tiny'?"),
        ({"version": "9"}, "'tiny' has no version '9'; it has ['1', '2']"),
        ({"model": "x" * 5000}, "no model 'xxx"),
        ({"model": "../tiny"}, "no model '../tiny'"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(images: ImageTransport, fields: dict[str, str], words: str) -> None:
    message = refusal(images, png(), "NOT_FOUND", **fields)
    assert words in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (b"", "0 bytes"),
        (b"hello", "the 5 bytes are not an image in PNG, JPEG"),
        (png()[:-30], "damaged"),
        (png()[:20], "damaged"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 100, "damaged"),
    ],
    ids=["empty", "text", "cut short", "header only", "noise"],
)
def test_what_is_no_image_is_refused(images: ImageTransport, image: bytes, words: str) -> None:
    assert words in refusal(images, image)


def test_an_image_over_the_size_limit_is_refused(images: ImageTransport) -> None:
    assert f"at most {MAX_REQUEST_BYTES} are allowed" in refusal(images, bytes(MAX_REQUEST_BYTES + 1))


def test_a_decompression_bomb_is_refused_by_its_pixels(images: ImageTransport) -> None:
    message = refusal(images, claiming(png(), 30_000, 30_000))
    assert "30000x30000 pixels" in message
    assert "at most 50000000 are allowed" in message


def test_many_callers_at_once_each_get_their_own_answer(images: ImageTransport) -> None:
    pictures = example(40, seed=7)
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda pixels: images.classify(png(pixels), top_k=1), pictures))
    assert [answer["labels"][0]["index"] for answer in answers] == list(expected(pictures, 2).argmax(1))
