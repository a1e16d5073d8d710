"""Several images in one call: all are answered, or none."""

import asyncio
from pathlib import Path

import pytest

from service.errors import InvalidArgument, InvalidImage, QueueFull, TooLarge, UnknownModel
from tests.packages import CLASSES, example, expected
from tests.pictures import encoded, solid
from tests.service.engine.asking import settled
from tests.service.engine.gate import Gate
from tests.service.tasks.classifying import ClassifyOptions, come_to_wait, png, serving, waiting

ALL = ClassifyOptions(top_k=CLASSES)


@pytest.mark.parametrize("count", [1, 2, 20])
async def test_every_image_has_its_own_answer_in_their_order(count: int, repository: Path) -> None:
    async with serving(repository) as (classify, _):
        answer = await classify.batch([png(seed) for seed in range(count)], "tiny", "1", ALL)
    assert (answer.model, answer.version, len(answer.results)) == ("tiny", "1", count)
    for seed, result in enumerate(answer.results):
        wanted = sorted(expected(example(1, seed))[0], reverse=True)
        assert [label.probability for label in result.labels] == pytest.approx(wanted, abs=1e-5)
        assert result.explanation is None


async def test_the_images_of_a_call_run_together(repository: Path) -> None:
    async with serving(repository) as (classify, engine):
        gate = Gate(engine)
        timing = (await classify.batch([png(seed) for seed in range(5)])).timing
        assert gate.rows == [5]
        await settled(engine)
    assert min(timing.queue_ms, timing.decode_ms, timing.compute_ms) > 0


@pytest.mark.parametrize("bad", [0, 2])
async def test_one_bad_image_fails_the_call_by_its_index(bad: int, repository: Path) -> None:
    images = [png(seed) for seed in range(3)]
    images[bad] = b"a cat"
    async with serving(repository) as (classify, engine):
        gate = Gate(engine)
        with pytest.raises(InvalidImage, match=rf"^images\[{bad}\]: the 5 bytes are not an image"):
            await classify.batch(images)
        assert gate.rows == []


async def test_an_image_of_too_many_pixels_is_named_by_its_index(repository: Path) -> None:
    async with serving(repository, max_image_pixels=16) as (classify, _):
        with pytest.raises(TooLarge, match=r"^images\[1\]: the image is 8x8 pixels; at most 16"):
            await classify.batch([png(0), encoded(solid("L", 0, (8, 8)), "PNG")])


@pytest.mark.parametrize("count", [0, 4])
async def test_no_images_or_too_many_are_refused(count: int, repository: Path) -> None:
    async with serving(repository, max_images=3) as (classify, _):
        with pytest.raises(InvalidArgument, match=f"{count} images were sent; 1 to 3 are allowed"):
            await classify.batch([b"a cat"] * count)
        assert len((await classify.batch([png(0)] * 3)).results) == 3


async def test_the_files_together_are_no_longer_than_a_request(repository: Path) -> None:
    images = [png(0), png(1)]
    total = sum(map(len, images))
    async with serving(repository, max_request_bytes=total - 1) as (classify, _):
        with pytest.raises(TooLarge, match=f"the images have {total} bytes; at most {total - 1} are allowed"):
            await classify.batch(images)
    async with serving(repository, max_request_bytes=total) as (classify, _):
        assert len((await classify.batch(images)).results) == 2


async def test_an_unknown_model_or_option_is_refused_before_the_images_are_looked_at(repository: Path) -> None:
    async with serving(repository) as (classify, _):
        with pytest.raises(UnknownModel):
            await classify.batch([b"a cat"], "huge")
        with pytest.raises(InvalidArgument, match="top_k is 9"):
            await classify.batch([b"a cat"], options=ClassifyOptions(9))


async def test_a_batch_finds_no_place_beside_others_that_fill_the_decoders(repository: Path) -> None:
    async with serving(repository, max_queue_rows=4) as (classify, engine):
        first = asyncio.create_task(classify.batch([png(seed) for seed in range(4)]))
        await asyncio.sleep(0)
        with pytest.raises(QueueFull, match="4 rows of images wait for a decoder"):
            await classify.batch([png(0)])
        assert len((await first).results) == 4
        assert len((await classify.batch([png(0)] * 9)).results) == 9  # alone, more than may wait
        await settled(engine)


async def test_a_caller_that_leaves_takes_all_images_along(repository: Path) -> None:
    async with serving(repository) as (classify, engine):
        gate = Gate(engine)
        with gate.closed():
            running = asyncio.create_task(classify(png(0)))
            await gate.reached(1)
            leaving = asyncio.create_task(classify.batch([png(seed) for seed in range(5)], "tiny", "1"))
            await come_to_wait(engine, 1)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert not waiting(engine)
        await running
        await settled(engine)
        assert gate.rows == [1]
