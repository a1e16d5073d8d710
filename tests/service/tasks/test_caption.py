import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.engine import DecodingOptions, Engine, Options
from service.errors import DeadlineExceeded, InvalidArgument, InvalidImage
from service.tasks.caller import ANY_CALLER
from service.tasks.captioning import Caption, CaptionAsk, Captioning, Word
from tests.packages import assert_close
from tests.pictures import encoded, solid
from tests.service.engine.gate import Gate
from tests.service.tasks.captioning import (
    ENDLESS,
    Wanted,
    answer,
    ask,
    greedy,
    picture,
    pixels,
    serving,
    write_endless,
)
from tests.step_packages import write_captioner
from tests.step_packages.words import CAT, END, WORDS, A


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`captioner`, and `endless`."""
    folder = tmp_path_factory.mktemp("captioners")
    write_captioner(folder)
    write_endless(folder)
    return folder


def check(found: Caption, wanted: Wanted) -> None:
    assert found.text == wanted.text
    assert " ".join(word.word for word in found.words) == wanted.text
    assert_close(np.array([word.log_probability for word in found.words]), np.array(wanted.log_probabilities))
    np.testing.assert_allclose(found.score, wanted.score, rtol=1e-4)


@pytest.mark.parametrize("seed", range(6))
async def test_a_greedy_caption_is_of_the_most_probable_words(repository: Path, seed: int) -> None:
    async with serving(repository) as (captioner, _):
        found = await answer(captioner, picture(seed), strategy="greedy")
        (caption,) = found.captions
        check(caption, greedy(pixels(seed)))
        assert (found.model, found.version, found.seed) == ("captioner", "1", None)
        assert all(word.attention is None for word in caption.words)
        assert found.timing.decode_ms > 0
        assert found.timing.compute_ms > 0


async def test_the_end_is_no_word_but_counts_in_the_score(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        (caption,) = (await answer(captioner, max_words=8)).captions
        assert caption.text == "a cat sleeps"
        said = sum(word.log_probability for word in caption.words)
        assert caption.score == pytest.approx(said + greedy(np.zeros((2, 2), "u1")).score - said)
        (cut,) = (await answer(captioner, max_words=2)).captions
        assert cut.text == "a cat"
        assert cut.score == pytest.approx(sum(word.log_probability for word in cut.words))


@pytest.mark.parametrize("asked", [{"strategy": "greedy"}, {"strategy": "sample"}, {"strategy": "beam", "n_best": 3}])
async def test_words_come_one_by_one_and_then_the_answer_with_all_of_them(
    repository: Path, asked: dict[str, Any]
) -> None:
    async with serving(repository) as (captioner, _):
        *words, last = await ask(captioner, **asked, prefix="a dog", attention="values")
        assert isinstance(last, Captioning)
        assert words == last.captions[0].words
        assert len(words) > 1
        assert all(isinstance(word, Word) for word in words)


async def test_the_attention_of_a_word_is_what_was_looked_at_for_it(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        (caption,) = (await answer(captioner, picture(3), attention="values")).captions
        wanted = greedy(pixels(3)).attention
        for word, grid in zip(caption.words, wanted, strict=True):
            assert word.attention is not None
            assert word.attention.png is None
            found = np.frombuffer(word.attention.values or b"", "<f4").reshape(word.attention.shape or ())
            np.testing.assert_array_equal(found, grid)


async def test_attention_may_be_drawn_over_the_image(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        red = encoded(solid("RGB", (255, 255, 255), (2, 2)), "PNG")
        (caption,) = (await answer(captioner, red, attention="png")).captions
        assert caption.words
        pictures = []
        for word in caption.words:
            assert word.attention is not None
            assert (word.attention.values, word.attention.shape) == (None, None)
            drawn = Image.open(BytesIO(word.attention.png or b""))
            assert (drawn.format, drawn.mode, drawn.size) == ("PNG", "RGB", (224, 224))
            pictures.append(drawn.tobytes())
        assert len(set(pictures)) == len(pictures)


async def test_beam_search_answers_its_best_captions_the_best_first(repository: Path) -> None:
    async with serving(repository) as (captioner, engine):
        asked: dict[str, Any] = {"beam_width": 4, "n_best": 3, "length_penalty": 0.7}
        found = await answer(captioner, picture(1), strategy="beam", **asked)
        scores = [caption.score for caption in found.captions]
        assert len(scores) == 3
        assert scores == sorted(scores, reverse=True)
        decoding = DecodingOptions(strategy="beam", beam_width=4, n_best=3, length_penalty=0.7)
        tokens, wanted = await hypotheses(engine, pixels(1), decoding)
        assert [caption.text for caption in found.captions] == [sentence(row) for row in tokens]
        np.testing.assert_array_equal(np.array(scores, "f4"), wanted)


async def hypotheses(
    engine: Engine, image: np.ndarray[Any, Any], decoding: DecodingOptions, seed: int = 0
) -> tuple[list[list[int]], np.ndarray[Any, Any]]:
    """What the engine itself answers: the tokens of each row, and their scores."""
    options = Options(seed=seed, decoding=decoding)
    async with aclosing(engine.steps("captioner", None, {"image": image[None]}, (), options)) as emissions:
        found = [emission.outputs async for emission in emissions]
    return np.stack([step["token"] for step in found], 1).tolist(), np.asarray(found[-1]["score"])


def sentence(tokens: Sequence[int]) -> str:
    tokens = list(tokens)
    return " ".join(WORDS[token] for token in (tokens[: tokens.index(END)] if END in tokens else tokens))


@pytest.mark.parametrize("seed", [0, 7, 2**63 - 1])
async def test_a_sampled_caption_is_the_engines_of_that_seed(repository: Path, seed: int) -> None:
    async with serving(repository) as (captioner, engine):
        found = await answer(captioner, picture(2), strategy="sample", seed=seed, temperature=2, top_k=4, top_p=0.9)
        decoding = DecodingOptions(strategy="sample", temperature=2, top_k=4, top_p=0.9)
        (tokens,), _ = await hypotheses(engine, pixels(2), decoding, seed)
        assert found.captions[0].text == sentence(tokens)
        assert found.seed == seed


async def test_the_seed_that_is_answered_gives_the_caption_again(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        first = await answer(captioner, strategy="sample", temperature=5)
        again = await answer(captioner, strategy="sample", temperature=5, seed=first.seed)
        assert first.seed is not None
        assert again.captions == first.captions
        others = {(await answer(captioner, strategy="sample", temperature=5)).captions[0].text for _ in range(20)}
        assert len(others) > 1


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
@pytest.mark.parametrize("prefix", ["dog", "a dog", " A  Dog "])
async def test_a_caption_begins_with_its_prefix(repository: Path, strategy: str, prefix: str) -> None:
    async with serving(repository) as (captioner, _):
        (caption,) = (await answer(captioner, strategy=strategy, prefix=prefix)).captions
        begun = prefix.lower().split()
        assert [word.word for word in caption.words][: len(begun)] == begun
        if strategy == "greedy":
            check(caption, greedy(np.zeros((2, 2), "u1"), prefix=[WORDS.index(word) for word in begun]))


async def test_a_whole_sentence_may_be_scored(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        (caption,) = (await answer(captioner, prefix="a cat <end>")).captions
        check(caption, greedy(np.zeros((2, 2), "u1"), prefix=[A, CAT, END]))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "strategy": (
        {"strategy": "best"},
        r"strategy is 'best'; model 'captioner' allows \['greedy', 'sample', 'beam'\]",
    ),
    "wish of another strategy": (
        {"strategy": "greedy", "temperature": 1.0},
        "temperature was given with strategy 'greedy'; model 'captioner' allows",
    ),
    "beams to a sample": (
        {"strategy": "sample", "n_best": 2},
        "n_best was given with strategy 'sample'; .* allows it with 'beam' only",
    ),
    "seed of another strategy": (
        {"strategy": "beam", "seed": 1},
        "seed was given with strategy 'beam'; it is allowed with 'sample' only",
    ),
    "seed too large": (
        {"strategy": "sample", "seed": 2**63},
        f"seed is {2**63}; model 'captioner' allows 0 to {2**63 - 1}",
    ),
    "width": ({"strategy": "beam", "beam_width": 9}, "beam_width is 9; model 'captioner' allows 1 to 8"),
    "more best than beams": (
        {"strategy": "beam", "beam_width": 2, "n_best": 3},
        "n_best is 3; model 'captioner' allows 1 to 2",
    ),
    "temperature": (
        {"strategy": "sample", "temperature": 0.0},
        "temperature is 0; model 'captioner' allows 0.01 to 10",
    ),
    "temperature that is no number": ({"strategy": "sample", "temperature": float("nan")}, "temperature is nan"),
    "max_words": ({"max_words": 13}, "max_words is 13; model 'captioner' allows 1 to 12"),
    "no words": ({"max_words": 0}, "max_words is 0; model 'captioner' allows 1 to 12"),
    "prefix": ({"prefix": "a giraffe"}, "prefix has 'giraffe'; model 'captioner' allows the 8 words of its vocabulary"),
    "prefix never said": ({"prefix": "a <unknown>"}, "prefix has '<unknown>'"),
    "prefix too long": (
        {"prefix": "a cat sleeps", "max_words": 2},
        "prefix has 3 tokens; model 'captioner' allows at most 2",
    ),
    "words after the end": ({"prefix": "a <end> cat"}, "prefix has the end token 2 before others"),
    "an endless prefix": ({"prefix": "x" * 9999}, "prefix has 'x{80}'"),
    "attention": (
        {"attention": "heat"},
        r"attention is 'heat'; model 'captioner' allows \['none', 'values', 'png'\]",
    ),
    "attention of an endless name": ({"attention": "x" * 9999}, "attention is 'x{80}'"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_what_the_model_does_not_have_is_refused_before_the_image_is_looked_at(
    repository: Path, case: str
) -> None:
    async with serving(repository) as (captioner, _):
        options, words = REFUSED[case]
        with pytest.raises(InvalidArgument, match=words) as refused:
            await ask(captioner, b"a cat", **options)
        assert not isinstance(refused.value, InvalidImage)
        assert len(str(refused.value)) < 250


async def test_the_time_in_the_encoder_is_no_waiting(repository: Path) -> None:
    async with serving(repository) as (captioner, engine):
        gate, began = Gate(engine, "captioner"), time.perf_counter()
        with gate.closed():
            asked = asyncio.create_task(answer(captioner))
            await gate.reached(1)
            held = time.perf_counter()
            await asyncio.sleep(0.1)
            held_ms = (time.perf_counter() - held) * 1e3
        timing = (await asked).timing
        rest_ms = (time.perf_counter() - began) * 1e3 - held_ms
    assert timing.compute_ms >= held_ms
    assert 0 <= timing.queue_ms <= rest_ms


async def test_what_is_no_image_is_refused(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        with pytest.raises(InvalidImage, match="the 5 bytes are not an image"):
            await ask(captioner, b"a cat")


async def test_a_model_that_says_nothing_of_its_attention_cannot_be_asked_for_it(tmp_path: Path) -> None:
    write_captioner(tmp_path, attention=None)
    async with serving(tmp_path) as (captioner, _):
        assert (await answer(captioner, attention="none")).captions[0].words[0].attention is None
        for shown in ("values", "png"):
            with pytest.raises(InvalidArgument, match=f"attention is '{shown}'; model 'captioner' allows none"):
                await ask(captioner, attention=shown)


async def test_more_drawings_than_an_answer_may_hold_are_refused(repository: Path) -> None:
    async with serving(repository, max_request_bytes=10 * 3 * 224 * 224) as (captioner, _):
        most = "max_words times n_best is 24; attention 'png' of model 'captioner' allows at most 10"
        with pytest.raises(InvalidArgument, match=most):
            await ask(captioner, strategy="beam", n_best=3, attention="png")
        assert await ask(captioner, strategy="beam", n_best=3, attention="values")
        assert await ask(captioner, strategy="beam", n_best=2, max_words=5, attention="png")


async def test_callers_at_different_words_get_their_own(repository: Path) -> None:
    async with serving(repository) as (captioner, _):
        asked = [(seed, 1 + seed % 8) for seed in range(40)]
        found = await asyncio.gather(*(answer(captioner, picture(seed), max_words=words) for seed, words in asked))
        for (seed, words), each in zip(asked, found, strict=True):
            check(each.captions[0], greedy(pixels(seed), words))


async def test_leaving_in_the_midst_of_a_sentence_frees_its_rows(repository: Path) -> None:
    async with serving(repository) as (captioner, engine):
        model = captioner.select("endless", "")
        async with aclosing(
            captioner.answers(model, CaptionAsk(image=picture(0), max_words=ENDLESS), ANY_CALLER)
        ) as words:
            assert isinstance(await anext(words), Word)
        async with asyncio.timeout(120):
            steps = -1
            while steps != (steps := model.statistics.execution_count):  # noqa: ASYNC110  # the step that runs ends
                await asyncio.sleep(0.1)
        assert list(engine.waiting()) == [(captioner.select("captioner", ""), 0), (model, 0)]


async def test_the_deadline_ends_a_sentence(repository: Path) -> None:
    async with serving(repository, timeout_s=0.3) as (captioner, _):
        with pytest.raises(DeadlineExceeded, match=r"model 'endless': no answer in 0\.3 s"):
            await ask(captioner, model="endless", max_words=ENDLESS)
