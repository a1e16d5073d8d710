"""Test-time augmentation: probabilities averaged over the views of an image."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.imaging import prepare, take_views
from service.package import Preprocessing
from service.tasks.classification import Classified
from tests.packages import CLASSES, expected
from tests.pictures import encoded
from tests.service.engine.gate import Gate
from tests.service.tasks.classifying import ClassifyOptions, serving

CARD = Preprocessing(tensor="image", colour="grey", height=4, width=4)
VIEWS = ("single", "flip", "ten_crop")


def picture(seed: int) -> Image.Image:
    """One whose halves and corners differ."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (9, 11), dtype="u1"))


def file(seed: int) -> bytes:
    return encoded(picture(seed), "PNG")


def averaged(seed: int, views: Any) -> NDArray[np.float32]:
    """What the tiny model must answer."""
    mean: NDArray[np.float32] = expected(take_views(picture(seed), CARD, views)).mean(0)
    return mean


def check(answer: Classified, probabilities: NDArray[np.float32]) -> None:
    assert [label.index for label in answer.labels] == np.argsort(-probabilities).tolist()
    assert [label.probability for label in answer.labels] == pytest.approx(np.sort(probabilities)[::-1], abs=1e-5)


@pytest.mark.parametrize("views", VIEWS)
async def test_the_probabilities_are_the_mean_over_the_views(views: str, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(file(1), options=ClassifyOptions(CLASSES, views))
    check(Classified(labels=answer.labels), averaged(1, views))


def test_the_views_of_these_tests_give_different_answers() -> None:
    answers = [averaged(1, views) for views in VIEWS]
    for i in range(3):
        assert np.abs(answers[i] - answers[i - 1]).max() > 1e-3


async def test_the_cards_default_is_taken_where_no_views_are_named(explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify(file(2), "narrow", options=ClassifyOptions(CLASSES))
        single = await classify(file(2), "narrow", options=ClassifyOptions(CLASSES, "single"))
    check(Classified(labels=answer.labels), averaged(2, "flip"))
    check(Classified(labels=single.labels), expected(prepare(picture(2), CARD)[None])[0])


async def test_all_views_of_a_request_come_to_the_engine_together(explaining: Path) -> None:
    async with serving(explaining) as (classify, engine):
        gate = Gate(engine)
        await classify(file(0), options=ClassifyOptions(views="flip"))
        await classify(file(0), options=ClassifyOptions(views="ten_crop"))
    assert sorted(gate.rows) == [2, 2, 8]  # ten are split, eight may run at once


@pytest.mark.parametrize("views", VIEWS)
async def test_each_image_of_a_batch_has_its_own_views(views: str, explaining: Path) -> None:
    async with serving(explaining) as (classify, _):
        answer = await classify.batch([file(seed) for seed in range(4)], options=ClassifyOptions(CLASSES, views))
    for seed, result in enumerate(answer.results):
        check(result, averaged(seed, views))


async def test_views_wait_for_a_decoder_as_the_rows_they_are(explaining: Path) -> None:
    ten = ClassifyOptions(views="ten_crop")
    async with serving(explaining, max_queue_rows=12) as (classify, _):
        first = asyncio.create_task(classify(file(0), options=ten))
        await asyncio.sleep(0)
        second = asyncio.create_task(classify(file(0), options=ten))
        plain = asyncio.create_task(classify(file(0)))
        answers = await asyncio.gather(first, second, plain, return_exceptions=True)
        for _ in range(2):  # there is room again
            await classify(file(0), options=ten)
            await classify.batch([file(0)], options=ten)
    assert [type(answer).__name__ for answer in answers] == ["Classification", "QueueFull", "Classification"]
