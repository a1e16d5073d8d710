import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.errors import InternalError, InvalidArgument, InvalidImage, TooLarge, UnknownModel
from tests.packages import CLASSES, example, expected
from tests.pictures import encoded, solid
from tests.service.engine.gate import Gate
from tests.service.tasks.classifying import ClassifyOptions, png, serving

LABELS = ("zero", "one", "two")


def waiting_rows() -> float | None:
    return REGISTRY.get_sample_value("lectorium_queue_rows", {"model": "tiny", "version": "1"})


@pytest.mark.parametrize("seed", range(5))
async def test_labels_come_with_their_probabilities_the_most_probable_first(seed: int, repository: Path) -> None:
    async with serving(repository) as (classify, _):
        answer = await classify(png(seed), model="tiny", version="1", options=ClassifyOptions(CLASSES))
    probabilities = expected(example(1, seed))[0]
    assert [label.index for label in answer.labels] == list(np.argsort(-probabilities))
    assert [label.label for label in answer.labels] == [LABELS[label.index] for label in answer.labels]
    assert [label.probability for label in answer.labels] == pytest.approx(sorted(probabilities, reverse=True))


async def test_equally_probable_labels_keep_the_order_of_the_classes(repository: Path) -> None:
    async with serving(repository) as (classify, _):
        answer = await classify(encoded(solid("L", 0), "PNG"), options=ClassifyOptions(CLASSES))
    assert [label.index for label in answer.labels] == [0, 1, 2]
    assert len({label.probability for label in answer.labels}) == 1


@pytest.mark.parametrize(("top_k", "count"), [(None, 2), (1, 1), (2, 2), (3, 3)])
async def test_as_many_labels_come_as_asked_for_and_else_the_cards_default(
    top_k: int | None, count: int, repository: Path
) -> None:
    async with serving(repository) as (classify, _):
        assert len((await classify(png(0), options=ClassifyOptions(top_k))).labels) == count


@pytest.mark.parametrize("top_k", [-1, 0, 4, 10**30])
async def test_another_number_of_labels_is_refused_before_the_image_is_looked_at(top_k: int, repository: Path) -> None:
    async with serving(repository) as (classify, _):
        with pytest.raises(InvalidArgument, match=f"top_k is {top_k}; model 'tiny' allows 1 to 3"):
            await classify(b"a cat", options=ClassifyOptions(top_k))


@pytest.mark.parametrize(
    ("model", "version", "answers"),
    [
        ("", "", ("tiny", "2")),
        ("", "1", ("tiny", "1")),
        ("tiny", "", ("tiny", "2")),
        ("tiny", "1", ("tiny", "1")),
        ("other", "", ("other", "3")),
    ],
)
async def test_the_answer_names_the_model_and_version_that_gave_it(
    model: str, version: str, answers: tuple[str, str], repository: Path
) -> None:
    async with serving(repository) as (classify, _):
        answer = await classify(png(0), model, version, options=ClassifyOptions(1))
    assert (answer.model, answer.version) == answers
    assert answer.labels[0].probability == pytest.approx(expected(example(1), int(answers[1])).max())


@pytest.mark.parametrize(("model", "version"), [("huge", ""), ("tiny", "9"), ("tiny/1", "")])
async def test_an_unknown_model_is_refused_before_the_image_is_looked_at(
    model: str, version: str, repository: Path
) -> None:
    async with serving(repository) as (classify, _):
        with pytest.raises(UnknownModel, match=r"^(no model|model 'tiny' has no version)"):
            await classify(b"a cat", model, version)


async def test_a_default_that_is_not_served_is_an_error_only_where_no_model_is_named(repository: Path) -> None:
    async with serving(repository, default_models="classify=lenet5") as (classify, _):
        with pytest.raises(
            UnknownModel, match=r"no model named in the request, and the default cannot answer: no model 'lenet5'"
        ):
            await classify(png(0))
        assert (await classify(png(0), model="tiny")).model == "tiny"


async def test_the_answer_says_where_the_time_went(repository: Path) -> None:
    async with serving(repository) as (classify, _):
        timing = (await classify(png(0))).timing
    assert min(timing.queue_ms, timing.decode_ms, timing.compute_ms) > 0
    assert timing.queue_ms + timing.decode_ms + timing.compute_ms < 10_000


async def test_images_of_any_size_and_colour_become_what_the_card_says(repository: Path) -> None:
    grey, background = 90, 0
    wanted = expected(np.full((1, 4, 4), grey, "u1")).max()
    async with serving(repository) as (classify, _):
        for image in (solid("L", grey), solid("RGB", (grey,) * 3, (50, 3)), solid("RGBA", (grey, grey, grey, 255))):
            answer = await classify(encoded(image, "PNG"), version="1")
            assert answer.labels[0].probability == pytest.approx(wanted, abs=1e-5)
        transparent = await classify(encoded(solid("LA", (grey, 0)), "PNG"), version="1")
    nothing = expected(np.full((1, 4, 4), background, "u1")).max()
    assert transparent.labels[0].probability == pytest.approx(nothing, abs=1e-5)


async def test_images_that_come_while_the_lane_is_busy_share_a_batch(repository: Path) -> None:
    async with serving(repository) as (classify, engine):
        gate = Gate(engine)
        with gate.closed():
            first = asyncio.create_task(classify(png(9), version="1"))
            await gate.reached(1)
            one = ClassifyOptions(top_k=1)
            callers = [asyncio.create_task(classify(png(seed), version="1", options=one)) for seed in range(6)]
            for _ in range(5000):  # until all are decoded and wait
                await asyncio.sleep(0.001)
                if waiting_rows() == 6:
                    break
        answers = await asyncio.gather(*callers)
        await first
        assert gate.rows == [1, 6]
    for seed, answer in enumerate(answers):
        assert answer.labels[0].probability == pytest.approx(expected(example(1, seed)).max(), abs=1e-5)


async def test_a_bad_image_disturbs_no_other_caller(repository: Path) -> None:
    async with serving(repository, max_image_pixels=63) as (classify, _):
        large = encoded(solid("L", 0, (8, 8)), "PNG")
        asked = [classify(image) for image in (b"a cat", large, png(0))]
        found: list[Any] = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(found[0], InvalidImage)
    assert isinstance(found[1], TooLarge)
    assert found[2].model == "tiny"


async def test_a_graph_that_fails_is_an_internal_error(repository: Path) -> None:
    async with serving(repository) as (classify, _):
        with pytest.raises(InternalError, match="'fragile' failed on this request"):
            await classify(encoded(solid("L", 255), "PNG"), model="fragile")
        assert (await classify(png(0), model="fragile")).model == "fragile"
