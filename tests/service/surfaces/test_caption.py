"""Captions: what `POST /v1/caption`, `POST /v1/caption/stream` and `Vision/Caption` do alike."""

from base64 import b64decode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.packages import assert_close
from tests.service.surfaces.captioning import (
    STREAM,
    TRANSPORTS,
    CaptionTransport,
    Told,
    VisionCaption,
    ask,
    events,
    form,
    grid,
)
from tests.service.surfaces.transports import Refused
from tests.service.tasks.captioning import BLACK, Wanted, greedy, picture, pixels
from tests.serving import MAX_REQUEST_BYTES, Server
from tests.step_packages.words import CAT, DOG, END, WORDS

STREAMS = [way for way in TRANSPORTS if way != "http"]


@pytest.fixture(scope="module", params=TRANSPORTS)
def captions(request: pytest.FixtureRequest, server: Server) -> Iterator[CaptionTransport]:
    """Each way in turn."""
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


def check(told: Told, wanted: Wanted) -> None:
    """It is one caption, word for word."""
    (caption,) = told.captions
    assert caption["text"] == wanted.text
    assert [word["word"] for word in caption["words"]] == wanted.text.split()
    found = np.array([word["log_probability"] for word in caption["words"]])
    assert_close(found, np.array(wanted.log_probabilities))
    assert caption["score"] == pytest.approx(wanted.score, rel=1e-4)


def test_a_caption_holds_its_words_and_nothing_that_was_not_asked_for(captions: CaptionTransport) -> None:
    told = captions.caption(BLACK)
    assert told.answer.keys() == {"model", "version", "captions", "timing"}
    assert (told.answer["model"], told.answer["version"]) == ("captioner", "1")
    assert told.answer["timing"].keys() == {"queue_ms", "decode_ms", "compute_ms"}
    assert told.captions[0].keys() == {"text", "score", "words"}
    assert all(word.keys() == {"word", "log_probability"} for word in told.words)
    assert told.texts == ["a cat sleeps"]


@pytest.mark.parametrize("seed", range(3))
def test_a_greedy_caption_is_what_the_model_finds_most_probable(captions: CaptionTransport, seed: int) -> None:
    check(captions.caption(picture(seed), strategy="greedy"), greedy(pixels(seed)))
    check(captions.caption(picture(seed), max_words=2), greedy(pixels(seed), 2))


def test_a_prefix_begins_the_caption(captions: CaptionTransport) -> None:
    check(captions.caption(picture(4), prefix="Cat dog"), greedy(pixels(4), prefix=[CAT, DOG]))


@pytest.mark.parametrize("asked", [{"strategy": "greedy"}, {"strategy": "sample"}, {"strategy": "beam", "n_best": 2}])
def test_the_words_that_come_first_are_those_of_the_best_caption(
    captions: CaptionTransport, asked: dict[str, Any]
) -> None:
    told = captions.caption(picture(5), **asked, prefix="a dog", attention="values")
    assert len(told.words) > 1
    assert told.words == told.captions[0]["words"]


def test_beam_search_answers_its_best_captions_in_order(captions: CaptionTransport) -> None:
    told = captions.caption(BLACK, strategy="beam", beam_width=4, n_best=3, length_penalty=0.5)
    scores = [caption["score"] for caption in told.captions]
    assert scores == sorted(scores, reverse=True)
    assert len(set(told.texts)) == 3
    for caption in told.captions:
        tokens = [*(WORDS.index(word["word"]) for word in caption["words"]), END]
        wanted = greedy(np.zeros((2, 2), "u1"), prefix=tokens).score / ((5 + len(tokens)) / 6) ** 0.5
        assert caption["score"] == pytest.approx(wanted, rel=1e-4)
    # The most probable sentence is not the one of the most probable words.
    assert captions.caption(BLACK, strategy="beam").texts == ["cat sleeps"]


def test_a_seed_gives_the_same_sample_twice_and_is_answered(captions: CaptionTransport) -> None:
    asked = {"strategy": "sample", "temperature": 3.0, "top_k": 5, "top_p": 0.95}
    first, again = (captions.caption(BLACK, **asked, seed=2**53) for _ in range(2))
    assert first.captions == again.captions
    assert first.answer["seed"] == 2**53
    free = captions.caption(BLACK, **asked)
    assert captions.caption(BLACK, **asked, seed=free.answer["seed"]).captions == free.captions


def test_attention_comes_as_values_of_each_word(captions: CaptionTransport) -> None:
    told = captions.caption(picture(6), attention="values")
    wanted = greedy(pixels(6)).attention
    assert len(told.words) == len(wanted)
    for word, values in zip(told.words, wanted, strict=True):
        np.testing.assert_array_equal(grid(word), values)


def test_attention_comes_as_a_picture_of_each_word(captions: CaptionTransport) -> None:
    told = captions.caption(picture(6), attention="png", max_words=3)
    for word in told.words:
        assert word["attention"].keys() == {"png"}
        drawn = Image.open(BytesIO(b64decode(word["attention"]["png"], validate=True)))
        drawn.load()
        assert (drawn.format, drawn.size) == ("PNG", (224, 224))


@pytest.mark.parametrize(
    "asked",
    [
        {"attention": "png", "max_words": 3},
        {"strategy": "beam", "n_best": 2, "attention": "values"},
        {"strategy": "sample", "seed": 11, "temperature": 2.0},
    ],
    ids=["greedy", "beam", "sample"],
)
def test_every_way_gives_the_same_answer(server: Server, asked: dict[str, Any]) -> None:
    found = [ask(server, way, picture(8), **asked) for way in TRANSPORTS]
    for told in found:
        told.answer.pop("timing")
    assert found[0] == found[1] == found[2]


WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "model": ({"model": "nope"}, "NOT_FOUND", "no model 'nope'"),
    "version": ({"version": "9"}, "NOT_FOUND", "has no version '9'"),
    "another task": ({"model": "tiny"}, "NOT_FOUND", "model 'tiny' does not caption; these do: ['captioner']"),
    "strategy": ({"strategy": "best"}, "INVALID_ARGUMENT", "strategy is 'best'; model 'captioner' allows ['greedy', "),
    "another strategy's": (
        {"temperature": 2.0},
        "INVALID_ARGUMENT",
        "temperature was given with strategy 'greedy'; model 'captioner' allows",
    ),
    "seed": (
        {"seed": 1},
        "INVALID_ARGUMENT",
        "seed was given with strategy 'greedy'; it is allowed with 'sample' only",
    ),
    "width": (
        {"strategy": "beam", "beam_width": 9},
        "INVALID_ARGUMENT",
        "beam_width is 9; model 'captioner' allows 1 to 8",
    ),
    "top_p": (
        {"strategy": "sample", "top_p": 1.5},
        "INVALID_ARGUMENT",
        "top_p is 1.5; model 'captioner' allows 0.01 to 1",
    ),
    "penalty": (
        {"strategy": "beam", "length_penalty": -0.5},
        "INVALID_ARGUMENT",
        "length_penalty is -0.5; model 'captioner' allows 0 to 5",
    ),
    "max_words": ({"max_words": 13}, "INVALID_ARGUMENT", "max_words is 13; model 'captioner' allows 1 to 12"),
    "prefix": (
        {"prefix": "a giraffe"},
        "INVALID_ARGUMENT",
        "prefix has 'giraffe'; model 'captioner' allows the 8 words of its vocabulary",
    ),
    "attention": (
        {"attention": "heat"},
        "INVALID_ARGUMENT",
        "attention is 'heat'; model 'captioner' allows ['none', 'values', 'png']",
    ),
    "too much attention": (
        {"attention": "png", "max_words": 8},
        "INVALID_ARGUMENT",
        "max_words times n_best is 8; attention 'png' of model 'captioner' allows at most 6",
    ),
    "a long text": ({"attention": "w" * 5000}, "INVALID_ARGUMENT", f"attention is '{'w' * 80}'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_model_does_not_have_is_refused_in_the_same_words(captions: CaptionTransport, case: str) -> None:
    fields, code, words = WRONG[case]
    with pytest.raises(Refused) as caught:
        captions.caption(BLACK, **fields)
    assert caught.value.code == code
    assert words in caught.value.message
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    ("image", "words"), [(b"", "0 bytes"), (b"hello", "the 5 bytes are not an image in PNG, JPEG")]
)
def test_what_is_no_image_is_refused(captions: CaptionTransport, image: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words) as caught:
        captions.caption(image)
    assert caught.value.code == "INVALID_ARGUMENT"


def test_an_image_over_the_size_limit_is_refused(captions: CaptionTransport) -> None:
    with pytest.raises(Refused, match=f"at most {MAX_REQUEST_BYTES} are allowed"):
        captions.caption(bytes(MAX_REQUEST_BYTES + 1))


def test_many_callers_at_different_words_get_their_own(captions: CaptionTransport) -> None:
    asked = [(seed, 1 + seed % 8) for seed in range(60)]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda one: captions.caption(picture(one[0]), max_words=one[1]), asked))
    for (seed, words), told in zip(asked, found, strict=True):
        check(told, greedy(pixels(seed), words))


@pytest.mark.parametrize("way", TRANSPORTS)
def test_captions_are_counted_and_timed(server: Server, way: str) -> None:
    surface = TRANSPORTS[way](server).surface

    def measured() -> list[float]:
        labels = {"model": "captioner", "version": "1", "surface": surface}
        return [
            server.metric("lectorium_request_duration_seconds_count", **labels, code="OK"),
            server.metric("lectorium_request_duration_seconds_count", **labels, code="INVALID_ARGUMENT"),
            server.metric("lectorium_emissions_total", **labels),
            server.metric("lectorium_first_emission_seconds_count", **labels),
            server.metric("lectorium_decode_duration_seconds_count", **labels),
            server.metric("lectorium_compute_duration_seconds_count", **labels),
        ]

    before = measured()
    ask(server, way, BLACK, max_words=2)
    ask(server, way, BLACK, prefix="a cat sleeps")
    with pytest.raises(Refused):
        ask(server, way, BLACK, max_words=0)
    assert [now - then for now, then in zip(measured(), before, strict=True)] == [2, 1, 5, 2, 2, 2]


def test_the_id_of_a_grpc_request_comes_back_with_each_response(server: Server) -> None:
    with closing(VisionCaption(server)) as vision:
        found = vision.responses(BLACK, id="seven")
    assert [(response.id, response.WhichOneof("event")) for response in found] == [
        *[("seven", "word")] * 3,
        ("seven", "answer"),
    ]


def test_events_have_names_and_plain_json(server: Server) -> None:
    response = httpx.post(f"{server.http}{STREAM}", files=form(BLACK, {"strategy": "sample", "seed": 1}))
    *words, (name, answer) = events(response.text)
    assert response.headers["cache-control"] == "no-cache"
    assert all(name == "word" and word.keys() == {"word", "log_probability", "attention"} for name, word in words)
    assert name == "answer"
    assert answer["seed"] == 1
    assert [word for _, word in words] == answer["captions"][0]["words"]


WRONG_FORMS: dict[str, tuple[dict[str, str], str]] = {
    "number in words": ({"temperature": "warm"}, "form field 'temperature' is 'warm'; it must be a number"),
    "no number": ({"temperature": "nan"}, "form field 'temperature' is 'nan'; it must be a number"),
    "infinity": ({"top_p": "inf"}, "form field 'top_p' is 'inf'; it must be a number"),
    "endless": ({"length_penalty": "1" * 999}, f"form field 'length_penalty' is '{'1' * 40}'; it must be a number"),
    "other digits": ({"length_penalty": "٢"}, "form field 'length_penalty' is '٢'; it must be a number"),
    "half a beam": ({"beam_width": "1.5"}, "form field 'beam_width' is '1.5'; it must be a whole number"),
    "negative": ({"seed": "-1"}, "form field 'seed' is '-1'; it must be a whole number"),
    "unknown": ({"beams": "3"}, "unknown form field 'beams'; known are ['attention', 'beam_width', "),
}


@pytest.mark.parametrize("path", ["/v1/caption", STREAM])
@pytest.mark.parametrize("case", WRONG_FORMS)
def test_a_wrong_form_is_refused_in_words(server: Server, case: str, path: str) -> None:
    fields, words = WRONG_FORMS[case]
    response = httpx.post(f"{server.http}{path}", files=form(BLACK, fields))
    assert (response.status_code, response.json().keys()) == (400, {"error"})
    assert words in response.json()["error"]


@pytest.mark.parametrize("number", ["2", "2.0", "+2", "2.", "20e-1", "0.2E1"])
def test_a_number_may_be_written_in_any_decimal_way(server: Server, number: str) -> None:
    asked = {"strategy": "sample", "seed": 5}
    found = ask(server, "http", BLACK, **asked, temperature=number)
    assert found.captions == ask(server, "http", BLACK, **asked, temperature=2).captions


def test_bytes_that_are_no_message_are_refused(server: Server) -> None:
    with closing(VisionCaption(server)) as vision:
        call: Any = vision.channel.unary_stream("/lectorium.v1.Vision/Caption")
        with pytest.raises(Exception, match="the request's 100 bytes cannot be read"):
            list(call(b"\xff" * 100, timeout=10))
