"""Texts in, labels out: each text its own, whatever its length and whoever else asks."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.engine import Engine
from service.errors import DeadlineExceeded, InternalError, InvalidArgument, QueueFull, TooLarge, UnknownModel
from service.package import TextInput, read_package
from service.tasks.classify_text import text_row
from tests.packages import write_package
from tests.service.engine.asking import settled
from tests.service.engine.gate import Gate
from tests.service.tasks.classifying import come_to_wait, waiting
from tests.service.tasks.text_classifying import check, serving
from tests.text_packages import LABELS, MAX_BYTES, MULTIPLE, TOP_K, write_text_package

TEXTS = ["Hello", "Zwölf Boxkämpfer", "пять", "二", "a" * MULTIPLE, "a" * (MULTIPLE + 1), "one more, " * 9, "x"]


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`letters` in two versions, `fragile`, which fails on "~", and `tiny`, which is no classifier of texts."""
    folder = tmp_path_factory.mktemp("texts")
    write_text_package(folder, version=1)
    write_text_package(folder, version=2)
    write_text_package(folder, "fragile", fails_at="~")
    write_package(folder)
    return folder


@pytest.mark.parametrize("text", [*TEXTS, "ä" * (MAX_BYTES // 2)])
async def test_a_text_has_its_most_probable_labels_in_order(repository: Path, text: str) -> None:
    async with serving(repository) as (classifier, _):
        found = await classifier(text, top_k=len(LABELS))
        assert (found.model, found.version, len(found.labels)) == ("letters", "2", len(LABELS))
        check(found.labels, text, version=2)
        check((await classifier(text, version="1")).labels, text)


async def test_as_many_labels_come_as_asked_for_and_else_the_cards_default(repository: Path) -> None:
    async with serving(repository) as (classifier, _):
        assert len((await classifier("one")).labels) == TOP_K
        for top_k in (1, 4):
            assert len((await classifier("one", top_k=top_k)).labels) == top_k


async def test_the_answer_says_where_the_time_went(repository: Path) -> None:
    async with serving(repository) as (classifier, _):
        timing = (await classifier("one")).timing
        assert min(timing.queue_ms, timing.decode_ms, timing.compute_ms) > 0
        many = (await classifier.batch(TEXTS, "letters", "")).timing
        assert min(many.queue_ms, many.decode_ms, many.compute_ms) > 0


async def test_where_no_model_is_named_the_configured_one_answers_or_the_only_one(
    repository: Path, tmp_path: Path
) -> None:
    async with serving(repository, default_models="classify-text=letters") as (classifier, _):
        assert (await classifier("one", model="")).model == "letters"
    async with serving(repository) as (classifier, _):
        with pytest.raises(InvalidArgument, match=r"name one of \['fragile', 'letters'\], which classify texts"):
            await classifier("one", model="")
        with pytest.raises(UnknownModel, match="model 'tiny' does not classify texts; these do: "):
            await classifier("one", model="tiny")
    write_text_package(tmp_path, "alone")
    async with serving(tmp_path) as (classifier, _):
        assert (await classifier("one", model="")).model == "alone"


@pytest.mark.parametrize("count", [1, 3, 20])
async def test_every_text_of_a_batch_has_its_own_answer_in_their_order(repository: Path, count: int) -> None:
    texts = [f"{TEXTS[i % len(TEXTS)]}{i}" for i in range(count)]
    async with serving(repository) as (classifier, _):
        answer = await classifier.batch(texts, "letters", "1", len(LABELS))
    assert (answer.model, answer.version, len(answer.results)) == ("letters", "1", count)
    for text, result in zip(texts, answer.results, strict=True):
        check(result.labels, text)


async def test_texts_of_a_batch_share_a_run_where_they_are_padded_to_one_length(repository: Path) -> None:
    short, long = ["a", "b" * MULTIPLE, "c" * 7], ["d" * (MULTIPLE + 1), "e" * 2 * MULTIPLE]
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        await classifier.batch([short[0], long[0], short[1], long[1], short[2]])
        assert sorted(run.input.shape for run in gate.runs) == [(2, 2 * MULTIPLE), (3, MULTIPLE)]
        await settled(engine)


async def test_callers_with_short_and_long_texts_at_once_get_their_own_answers(repository: Path) -> None:
    texts = [f"{i}{text}" for i in range(5) for text in TEXTS]
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        with gate.closed():
            first = asyncio.create_task(classifier("first"))
            await gate.reached(1)
            callers = [asyncio.create_task(classifier(text, version="1")) for text in texts]
            await come_to_wait(engine, len(texts))
        for text, caller in zip(texts, callers, strict=True):
            check((await caller).labels, text)
        await first
        lengths = [run.input.shape[1] for run in gate.runs[1:]]
        assert len(lengths) < len(texts), "equal lengths share runs"
        assert set(lengths) == {length(text) for text in texts}
        await settled(engine)


async def test_a_text_that_fails_its_run_fails_alone(repository: Path) -> None:
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        with gate.closed():
            held = asyncio.create_task(classifier("held", "fragile"))
            await gate.reached(1)
            good, bad = (asyncio.create_task(classifier(text, "fragile")) for text in ("good", "~"))
            await come_to_wait(engine, 2)
        check((await good).labels, "good")
        with pytest.raises(InternalError):
            await bad
        await held
        with pytest.raises(InternalError):
            await classifier.batch(["good", "~" * 2 * MULTIPLE], "fragile", "")
        await settled(engine)


async def test_an_empty_text_is_refused(repository: Path) -> None:
    async with serving(repository) as (classifier, _):
        with pytest.raises(InvalidArgument, match=f"the text is empty; model 'letters' allows 1 to {MAX_BYTES} bytes"):
            await classifier("")


@pytest.mark.parametrize("text", ["x" * (MAX_BYTES + 1), "é" * (MAX_BYTES // 2 + 1), "x" * 10_000])
async def test_a_text_that_is_too_long_is_refused_and_not_cut(repository: Path, text: str) -> None:
    came = len(text.encode())
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        with pytest.raises(TooLarge, match=f"the text has {came} bytes in UTF-8; model 'letters' allows at most 100"):
            await classifier(text)
        assert gate.runs == []


async def test_a_nul_character_is_refused_as_it_would_end_the_text(repository: Path) -> None:
    async with serving(repository) as (classifier, _):
        with pytest.raises(InvalidArgument, match="byte 3 of the text is a NUL character"):
            await classifier("é!\0?")


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("", InvalidArgument, r"^texts\[1\]: the text is empty"),
        ("x" * 101, TooLarge, r"^texts\[1\]: the text has 101 bytes in UTF-8"),
        ("\0", InvalidArgument, r"^texts\[1\]: byte 0 of the text is a NUL"),
    ],
)
async def test_one_bad_text_refuses_the_batch_and_is_named_by_its_index(
    repository: Path, text: str, error: type[Exception], message: str
) -> None:
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        with pytest.raises(error, match=message):
            await classifier.batch(["good", text, text], "letters", "")
        assert gate.runs == []


@pytest.mark.parametrize("count", [0, 4])
async def test_no_texts_or_too_many_are_refused(repository: Path, count: int) -> None:
    async with serving(repository, max_images=3) as (classifier, _):
        with pytest.raises(InvalidArgument, match=f"{count} texts were sent; 1 to 3 are allowed"):
            await classifier.batch(["one"] * count, "letters", "")
        assert len((await classifier.batch(["one"] * 3, "letters", "")).results) == 3


@pytest.mark.parametrize("top_k", [0, -1, 5])
async def test_another_number_of_labels_is_refused_before_the_text_is_looked_at(repository: Path, top_k: int) -> None:
    async with serving(repository) as (classifier, _):
        with pytest.raises(InvalidArgument, match=f"top_k is {top_k}; model 'letters' allows 1 to 4"):
            await classifier("", top_k=top_k)
        with pytest.raises(InvalidArgument, match=f"top_k is {top_k}"):
            await classifier.batch([], "letters", "", top_k)


async def test_a_text_that_waits_past_its_deadline_is_given_up(repository: Path) -> None:
    async with serving(repository, timeout_s=0.05) as (classifier, engine):
        gate = Gate(engine)
        with gate.closed(), pytest.raises(DeadlineExceeded, match=r"model 'letters': no answer in 0\.05 s"):
            await classifier("one")
        await settled(engine)


async def test_where_too_many_rows_wait_all_texts_of_a_batch_are_refused(repository: Path) -> None:
    async with serving(repository, max_queue_rows=3) as (classifier, engine):
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(classifier("one"))
            await gate.reached(1)
            # Two lengths: two of the one may wait, two of the other may not beside them.
            with pytest.raises(QueueFull, match="the queue holds 2 of at most 3 rows; this request has 2 more"):
                await classifier.batch(["a", "b", "c" * 20, "d" * 20], "letters", "")
            assert not waiting(engine)
        await running
        await settled(engine)


async def test_a_caller_that_leaves_takes_all_its_texts_along(repository: Path) -> None:
    async with serving(repository) as (classifier, engine):
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(classifier("one"))
            await gate.reached(1)
            leaving = asyncio.create_task(classifier.batch(TEXTS, "letters", ""))
            await lengths_wait(engine)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert not waiting(engine)
        await running
        await settled(engine)
        assert gate.rows == [1]


def length(text: str) -> int:
    """That of the text's row."""
    return -(-len(text.encode()) // MULTIPLE) * MULTIPLE


async def lengths_wait(engine: Engine) -> None:
    """Wait until those of each length of `TEXTS` do."""
    await come_to_wait(engine, len(set(map(length, TEXTS))))


@given(text=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), data=st.data())
def test_a_row_is_the_texts_utf_8_and_zeros_to_the_next_multiple(
    repository: Path, text: str, data: st.DataObject
) -> None:
    came = text.encode()
    most = data.draw(st.integers(len(came), len(came) + 50))
    multiple = data.draw(st.integers(1, 80))
    said = TextInput(tensor="text", max_bytes=most, multiple=multiple)
    card = read_package(repository / "letters" / "1").text_classifier.model_copy(update={"text": said})
    row = text_row(card, text)
    assert row.dtype == np.uint8
    assert (row.ndim, len(row)) == (2, 1)
    assert row.tobytes().rstrip(b"\0") == came
    assert row.shape[1] <= most
    assert row.shape[1] == most or row.shape[1] % multiple == 0
    assert row.shape[1] - len(came) < multiple
