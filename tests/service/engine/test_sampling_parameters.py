"""How the engine chooses the tokens of a step loop with a choice."""

import asyncio
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine import DecodingOptions, Options
from service.engine.sampling_parameters import checked_sampling_parameters
from service.errors import InvalidArgument
from service.package import Loop, read_package
from tests.packages import assert_close, change_card, example
from tests.service.engine.asking import serving, settled, stream
from tests.service.engine.captioning import check_row, describe, outputs, rows
from tests.service.engine.gate import Gate
from tests.step_packages import write_chars, write_words
from tests.step_packages.words import (
    BLACK,
    CAT,
    DOG,
    END,
    HISTORY,
    NEVER,
    PAD,
    SLEEPS,
    SLOTS,
    START,
    UNKNOWN,
    A,
    log_probabilities,
)

BRIGHT = np.full((1, 2, 2), 40, "u1")


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`words`, whose sentences end, and `chars`, which chooses by itself. Read it only."""
    folder = tmp_path_factory.mktemp("words")
    write_words(folder)
    write_chars(folder)
    return folder


async def test_greedy_takes_the_most_probable_word_of_each_step_and_never_a_special_one(words: Path) -> None:
    async with serving(words) as engine:
        emissions = await describe(engine)
        assert rows(emissions) == [[A, CAT, SLEEPS, END]]
        assert [emission.step for emission in emissions] == [1, 2, 3, 4]
        check_row(outputs(emissions), 0)
        await settled(engine)


async def test_beam_search_finds_the_sentence_that_greedy_misses_and_emits_it_at_its_end(words: Path) -> None:
    async with serving(words) as engine:
        emissions = await describe(engine, strategy="beam")
        assert rows(emissions) == [[CAT, SLEEPS, END]]
        assert [(emission.step, emission.last) for emission in emissions] == [(1, False), (2, False), (3, True)]
        check_row(outputs(emissions), 0)
        await settled(engine)


@pytest.mark.parametrize("image", [BLACK, BRIGHT], ids=["black", "bright"])
@pytest.mark.parametrize("width", [1, 3, SLOTS])
@pytest.mark.parametrize("exponent", [0.0, 1.0])
async def test_every_hypothesis_has_the_states_and_the_numbers_of_its_own_words(
    image: NDArray[Any], width: int, exponent: float, words: Path
) -> None:
    async with serving(words) as engine:
        emissions = await describe(
            engine, image, strategy="beam", beam_width=width, n_best=width, length_penalty=exponent
        )
    tokens = rows(emissions)
    assert len({tuple(row) for row in tokens}) == len(tokens) == width
    scores = emissions[-1].outputs["score"]
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    for row in range(width):
        check_row(outputs(emissions), row, image[0], exponent)
    assert not {token for row in tokens for token in row} & set(NEVER)


async def test_words_drawn_by_a_seed_are_the_same_alone_and_beside_others(words: Path) -> None:
    options: list[dict[str, Any]] = [
        {"strategy": "sample"},
        {"strategy": "sample", "temperature": 2.0, "top_k": 3},
        {"strategy": "sample", "temperature": 5.0, "top_p": 0.8},
        {"strategy": "beam", "beam_width": 2},
        {"strategy": "greedy"},
    ]
    asked = [(seed, options[seed % len(options)], np.repeat(BRIGHT, 1 + seed % 2, axis=0)) for seed in range(20)]
    asked = [(seed, option, image[:1] if option["strategy"] == "beam" else image) for seed, option, image in asked]
    async with serving(words) as engine:
        alone = [rows(await describe(engine, image, seed=seed, **option)) for seed, option, image in asked]
        callers = [describe(engine, image, seed=seed, **option) for seed, option, image in asked]
        beside = [rows(await caller) for caller in callers]
        assert alone == beside
        await settled(engine)
    drawn = [tokens for tokens, (_, option, _) in zip(alone, asked, strict=True) if option["strategy"] == "sample"]
    assert len({str(tokens) for tokens in drawn}) > len(drawn) / 2


async def test_every_row_of_a_request_draws_for_itself(words: Path) -> None:
    async with serving(words) as engine:
        emissions = await describe(engine, np.repeat(BLACK, SLOTS, axis=0), strategy="sample", temperature=3.0)
    assert len({tuple(row) for row in rows(emissions)}) > SLOTS / 2
    for row in range(SLOTS):
        check_row(outputs(emissions), row)


@pytest.mark.parametrize("option", [{"temperature": 0.01}, {"top_k": 1}, {"top_p": 0.01}])
async def test_sampling_at_its_narrowest_is_greedy(option: dict[str, Any], words: Path) -> None:
    async with serving(words) as engine:
        for image in (BLACK, BRIGHT):
            greedy, drawn = await asyncio.gather(
                describe(engine, image), describe(engine, image, strategy="sample", **option)
            )
            assert rows(drawn) == rows(greedy)


@pytest.mark.parametrize(
    "options",
    [{}, {"strategy": "sample", "temperature": 3.0}, {"strategy": "beam", "n_best": 3}],
    ids=["greedy", "sample", "beam"],
)
@pytest.mark.parametrize("prefix", [(DOG,), (DOG, A, CAT), (UNKNOWN, SLEEPS, PAD)])
async def test_a_prefix_is_forced_and_has_its_own_numbers(
    options: dict[str, Any], prefix: tuple[int, ...], words: Path
) -> None:
    async with serving(words) as engine:
        emissions = await describe(engine, BRIGHT, prefix=prefix, **options)
    for row, tokens in enumerate(rows(emissions)):
        assert tuple(tokens[: len(prefix)]) == prefix
        assert not set(tokens[len(prefix) :]) & set(NEVER)
        check_row(outputs(emissions), row, BRIGHT[0])


@pytest.mark.parametrize("strategy", ["greedy", "sample", "beam"])
async def test_a_prefix_to_the_end_scores_a_sentence(strategy: str, words: Path) -> None:
    prefix = (DOG, SLEEPS, END)
    async with serving(words) as engine:
        emissions = await describe(engine, steps=3, prefix=prefix, strategy=strategy)
    assert rows(emissions) == [list(prefix)]
    check_row(outputs(emissions), 0)


async def test_a_search_ends_at_its_last_step_with_what_there_is(words: Path) -> None:
    async with serving(words) as engine:
        emissions = await describe(engine, steps=2, strategy="beam", n_best=3)
    assert rows(emissions) == [[CAT, SLEEPS], [A, CAT], [A, DOG]]


async def test_beams_are_rows_that_share_their_steps_and_one_run_of_the_encoder(
    words: Path, single_steps: None
) -> None:
    async with serving(words) as engine:
        gate = Gate(engine)
        with gate.closed():
            beams = describe(engine, strategy="beam", beam_width=5)
            await gate.reached(1)
            alone = describe(engine)
            await asyncio.sleep(0)
        await asyncio.gather(beams, alone)
        await settled(engine)
    assert gate.rows.count(6) >= 2
    assert gate.rows.count(1) >= 2  # the encoder's


async def test_a_search_that_is_cancelled_half_way_frees_its_slots_for_who_waits(
    words: Path, single_steps: None
) -> None:
    async with serving(words) as engine:
        gate = Gate(engine)
        with gate.closed():
            leaves = describe(engine, steps=HISTORY, strategy="beam", beam_width=SLOTS - 1, prefix=(A,) * HISTORY)
            await gate.reached(1)
            await gate.let(1)
            await gate.reached(2)
            stays = describe(engine, BRIGHT, strategy="beam", beam_width=3, n_best=3)
            waits = describe(engine, BLACK)
            await gate.let(2)
            leaves.cancel()
            await asyncio.wait([leaves])
        for row in range(3):
            check_row(outputs(await stays), row, BRIGHT[0])
        assert rows(await waits) == [[A, CAT, SLEEPS, END]]
        await settled(engine)
        assert engine.repository.get("words").statistics.failures == {"CANCELED": 1}


async def test_beams_keep_their_states_apart_while_other_requests_join_and_leave(words: Path) -> None:
    async with serving(words) as engine:
        callers = []
        for number in range(40):
            image = np.full((1, 2, 2), number * 6, "u1")
            width = number % 4
            options = {"strategy": "beam", "beam_width": width, "n_best": width} if width else {"strategy": "sample"}
            callers.append((describe(engine, image, steps=1 + number % 9, seed=number, **options), image))
            if number % 7 == 3:
                callers.pop()[0].cancel()
            await asyncio.sleep(0)
        for caller, image in callers:
            emissions = await caller
            for row in range(len(emissions[-1].outputs["score"])):
                check_row(outputs(emissions), row, image[0])
        await settled(engine)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "unknown_strategy": (
        {"strategy": "guess"},
        "strategy is 'guess'; model 'words' allows .'greedy', 'sample', 'beam'.",
    ),
    "temperature_0": ({"strategy": "sample", "temperature": 0}, r"temperature is 0; model 'words' allows 0\.01 to 10"),
    "no_temperature": ({"strategy": "sample", "temperature": float("nan")}, "temperature is nan"),
    "top_k": ({"strategy": "sample", "top_k": -1}, "top_k is -1; model 'words' allows 0 to 1000"),
    "top_p": ({"strategy": "sample", "top_p": 1.5}, r"top_p is 1\.5; model 'words' allows 0\.01 to 1"),
    "no_beam": ({"strategy": "beam", "beam_width": 0}, "beam_width is 0; model 'words' allows 1 to 8"),
    "wider_than_slots": ({"strategy": "beam", "beam_width": 9}, "beam_width is 9; model 'words' allows 1 to 8"),
    "penalty": ({"strategy": "beam", "length_penalty": -1.0}, "length_penalty is -1; model 'words' allows 0 to 5"),
    "n_best": ({"strategy": "beam", "beam_width": 2, "n_best": 3}, "n_best is 3; model 'words' allows 1 to 2"),
    "of_another": ({"top_k": 3}, "top_k was given with strategy 'greedy'; model 'words' allows"),
    "of_beams": (
        {"strategy": "sample", "n_best": 1},
        "n_best was given with strategy 'sample'; model 'words' allows",
    ),
    "long_prefix": (
        {"prefix": (A,) * 9},
        "prefix has 9 tokens; model 'words' allows at most 8",
    ),
    "no_token": ({"prefix": (A, 8)}, "prefix has token 8; model 'words' allows 0 to 7"),
    "negative": ({"prefix": (-1,)}, "prefix has token -1"),
    "words_after_the_end": ({"prefix": (END, A)}, "prefix has the end token 2 before others"),
    "rows": ({"strategy": "beam", "rows": 2}, "the request has 2 rows; model '.*' allows one with beam search"),
}


@pytest.mark.parametrize("case", WRONG)
async def test_an_option_that_is_not_allowed_is_refused_by_name_before_it_takes_a_place(case: str, words: Path) -> None:
    options, message = WRONG[case]
    options = dict(options)
    image = np.repeat(BLACK, options.pop("rows", 1), axis=0)
    async with serving(words) as engine:
        with pytest.raises(InvalidArgument, match=message):
            await describe(engine, image, **options)
        await settled(engine)


def test_a_beam_may_be_no_wider_than_a_step_that_a_load_request_made_narrower(words: Path) -> None:
    loop = read_package(words / "words" / "1").card.program
    assert isinstance(loop, Loop)
    narrower = loop.model_copy(update={"step": loop.step.model_copy(update={"max_batch": 2})})
    with pytest.raises(InvalidArgument, match="beam_width is 3; model 'words' allows at most 2, the rows of a step"):
        checked_sampling_parameters("words", narrower, DecodingOptions(strategy="beam"), steps=8, rows=1)


async def test_a_model_without_a_choice_takes_no_decoding(words: Path, tmp_path: Path) -> None:
    async with serving(words) as engine:
        with pytest.raises(InvalidArgument, match="decoding options were given; model 'chars' chooses no tokens"):
            await stream(engine, "chars", decoding=DecodingOptions())


async def test_a_model_that_runs_once_takes_no_decoding(loops: Path) -> None:
    async with serving(loops) as engine:
        with pytest.raises(InvalidArgument, match="decoding was given; model 'tiny' runs once"):
            await engine.infer("tiny", None, {"image": example(1)}, options=Options(decoding=DecodingOptions()))


async def test_what_the_card_says_is_what_is_chosen_by_default(tmp_path: Path) -> None:
    choice = {
        "default": "beam",
        "beam": {
            "width": {"default": 2, "minimum": 2, "maximum": 4},
            "length_penalty": {"default": 1.0, "minimum": 1.0, "maximum": 1.0},
        },
        "sample": None,
    }
    write_words(tmp_path, choice=choice)
    async with serving(tmp_path) as engine:
        emissions = await stream(engine, "words", {"image": BLACK})
        with pytest.raises(InvalidArgument, match=r"strategy is 'sample'; model 'words' allows .'greedy', 'beam'."):
            await describe(engine, strategy="sample")
    assert rows(emissions) == [[CAT, SLEEPS, END]]
    check_row(outputs(emissions), 0, exponent=1.0)


async def test_a_loop_that_only_answers_is_asked_for_a_single_answer(tmp_path: Path) -> None:
    folder = write_words(tmp_path)
    change_card(folder, "loop.text", None)
    change_card(folder, "loop.emit", [])
    async with serving(tmp_path) as engine:
        for strategy, tokens in (("greedy", [A, CAT, SLEEPS, END]), ("beam", [CAT, SLEEPS, END])):
            decoding = DecodingOptions(strategy=strategy)  # type: ignore[arg-type]
            answer = await engine.infer("words", None, {"image": BLACK}, options=Options(decoding=decoding))
            assert sorted(answer.outputs) == ["next_count", "next_history", "score"]
            score = sum(log_probabilities(last)[token] for last, token in pairwise([START, *tokens]))
            assert_close(answer.outputs["score"], np.array([score], "f4"))
