"""Captions over the Open Inference Protocol: an image tensor in, tokens out, chosen as the parameters say."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import orjson
import pytest

from tests.service.surfaces.captioning import ask
from tests.service.surfaces.conversation import Conversation, Said
from tests.service.surfaces.transports import Refused, model_path
from tests.service.tasks.captioning import greedy, picture, pixels
from tests.serving import Server
from tests.step_packages.words import CAT, DOG, END, WORDS, A

PATH = model_path("captioner")
SAMPLED: dict[str, Any] = {"strategy": "sample", "temperature": 3.0, "top_k": 4, "top_p": 0.9, "seed": 6}
BEAMS: dict[str, Any] = {"strategy": "beam", "beam_width": 4, "length_penalty": 0.5, "n_best": 3}


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.rest, timeout=30) as client:
        yield client


def generate(client: httpx.Client, image: int = 0, **parameters: Any) -> dict[str, Any]:
    """All steps' tokens and texts."""
    response = client.post(f"{PATH}/generate", json={"image": pixels(image).tolist(), "parameters": parameters})
    assert response.status_code == 200, response.text
    return dict(response.json())


def generate_stream(client: httpx.Client, image: int = 0, **parameters: Any) -> list[dict[str, Any]]:
    """Each step's."""
    response = client.post(f"{PATH}/generate_stream", json={"image": pixels(image).tolist(), "parameters": parameters})
    assert response.status_code == 200, response.text
    return [orjson.loads(event.removeprefix("data: ")) for event in response.text.split("\n\n")[:-1]]


def stream_infer(server: Server, image: int = 0, rows: int = 1, **parameters: Any) -> list[Said]:
    """Each step's, over gRPC."""
    with Conversation(server, triton_grpc_error="true") as caller:
        caller.ask("captioner", inputs={"image": np.stack([pixels(image)] * rows)}, **parameters)
        return caller.read_all()


def tokens(answers: list[Said]) -> list[list[int]]:
    """Those of each row."""
    found: list[list[int]] = np.stack([answer.outputs["token"] for answer in answers], 1).tolist()
    return found


def text(row: list[int]) -> str:
    return " ".join(WORDS[token] for token in (row[: row.index(END)] if END in row else row))


@pytest.mark.parametrize(
    "parameters", [{"strategy": "greedy"}, SAMPLED, {"prefix": "a dog"}], ids=["greedy", "sample", "prefix"]
)
def test_the_parameters_choose_the_words_that_a_caption_has(
    server: Server, client: httpx.Client, parameters: dict[str, Any]
) -> None:
    wanted = ask(server, "http", picture(3), **parameters)
    (row,) = tokens(stream_infer(server, 3, **parameters))
    found = generate(client, 3, **parameters)
    assert [text(row), text(found["token"]), found["text_output"]] == wanted.texts * 3
    assert found["score"] == pytest.approx(wanted.captions[0]["score"])
    assert "".join(event["text_output"] for event in generate_stream(client, 3, **parameters)) == wanted.texts[0]


def test_the_hypotheses_of_a_beam_are_rows_the_best_first(server: Server, client: httpx.Client) -> None:
    wanted = ask(server, "http", picture(3), **BEAMS)
    answers = stream_infer(server, 3, **BEAMS)
    assert [text(row) for row in tokens(answers)] == wanted.texts
    assert [answer.parameters["step"] for answer in answers] == list(range(1, len(answers) + 1))
    assert [answer.final for answer in answers] == [False] * (len(answers) - 1) + [True]
    scores = [caption["score"] for caption in wanted.captions]
    assert answers[-1].outputs["score"].tolist() == scores
    found = generate(client, 3, **BEAMS)
    assert found["text_output"] == wanted.texts
    assert found["score"] == pytest.approx(scores)
    pieces = zip(*(event["text_output"] for event in generate_stream(client, 3, **BEAMS)), strict=True)
    assert ["".join(row) for row in pieces] == wanted.texts


def test_one_hypothesis_is_answered_as_one_row(server: Server, client: httpx.Client) -> None:
    asked: dict[str, Any] = {"strategy": "beam", "beam_width": 4}
    (row,) = tokens(stream_infer(server, **asked))
    assert generate(client, **asked)["text_output"] == text(row)


def test_a_prefix_may_be_tokens(server: Server, client: httpx.Client) -> None:
    wanted = greedy(pixels(0), prefix=[CAT, DOG]).text
    assert generate(client, prefix_tokens=[CAT, DOG])["text_output"] == wanted
    for tokens_ in (f"{CAT},{DOG}", [CAT, DOG]):
        assert generate(client, prefix_tokens=tokens_)["text_output"] == wanted
    (row,) = tokens(stream_infer(server, prefix_tokens=f"{CAT},{DOG}"))
    assert text(row) == wanted
    (row,) = tokens(stream_infer(server, prefix_tokens=A))
    assert row[0] == A


def test_several_images_are_captioned_each_in_its_row(client: httpx.Client) -> None:
    images = [pixels(seed).tolist() for seed in range(4)]
    found = client.post(f"{PATH}/generate", json={"image": images}).json()
    assert found["text_output"] == [greedy(pixels(seed)).text for seed in range(4)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": ({"strategy": "best"}, "strategy is 'best'; model 'captioner' allows ['greedy', 'sample', 'beam']"),
    "another strategy's": (
        {"temperature": 2.0},
        "temperature was given with strategy 'greedy'; model 'captioner' allows",
    ),
    "kind": ({"strategy": "sample", "top_p": "all"}, "request parameter 'top_p' is 'all'; it must be a number"),
    "range": ({"strategy": "beam", "beam_width": 9}, "beam_width is 9; model 'captioner' allows 1 to 8"),
    "best": ({"strategy": "beam", "beam_width": 2, "n_best": 3}, "n_best is 3; model 'captioner' allows 1 to 2"),
    "prefix": ({"prefix": "a giraffe"}, "prefix has 'giraffe'; model 'captioner' allows the 8 words of its vocabulary"),
    "prefix tokens": ({"prefix_tokens": "4,99"}, "prefix has token 99; model 'captioner' allows 0 to 7"),
    "steps": ({"steps": 13}, "steps is 13; model 'captioner' allows 1 to 12"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_the_model_does_not_have_is_refused_in_the_same_words(
    server: Server, client: httpx.Client, case: str
) -> None:
    parameters, words = WRONG[case]
    for call in ("generate", "generate_stream"):
        response = client.post(f"{PATH}/{call}", json={"image": pixels(0).tolist(), "parameters": parameters})
        assert (response.status_code, words in response.json()["error"]) == (400, True), response.text
    with pytest.raises(Refused) as refused:
        stream_infer(server, **parameters)
    assert refused.value.code == "INVALID_ARGUMENT"
    assert words in refused.value.message


def test_beam_search_takes_one_image(server: Server) -> None:
    with pytest.raises(Refused, match=r"the request has 2 rows; model '.*' allows one with beam search"):
        stream_infer(server, rows=2, **BEAMS)


def test_models_that_leave_no_choice_take_no_decoding(server: Server, loops: Server) -> None:
    chars = httpx.post(f"{loops.rest}{model_path('chars')}/generate", json={"parameters": {"strategy": "greedy"}})
    assert (chars.status_code, "chooses no tokens and allows none" in chars.text) == (400, True)
    image = {"image": [[0] * 4] * 4, "parameters": {"temperature": 1}}
    tiny = httpx.post(f"{server.rest}{model_path('tiny')}/generate", json=image)
    assert (tiny.status_code, "runs once and allows none" in tiny.text) == (400, True)
