"""Samples: their seeds, labels, numbers and previews, and what is refused."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.config import Config
from service.engine import Engine
from service.errors import InvalidArgument, UnknownModel
from service.tasks.generate import Generate
from service.tasks.image_decoding import ImageDecoder
from tests.generate_packages import HEIGHT, LABELS, MAX_COUNT, WIDTH, grey, noise, noisy, write_generate_package
from tests.packages import change_card, write_package
from tests.pixel_packages import BRIGHT, PIXELS, write_pixel_package
from tests.service.tasks.asking import answer, everything


@asynccontextmanager
async def serving(folder: Path, **settings: Any) -> AsyncIterator[Generate]:
    """The task, over `greys`."""
    write_generate_package(folder)
    config = Config.model_validate({"repository": folder, "lanes": 1, "intra_op": 1, **settings})
    async with Engine(config) as engine:
        yield Generate(engine, config, ImageDecoder(config))


async def one(task: Generate, **fields: Any) -> Any:
    return await answer(task.endpoints[0], **{"model": "greys", **fields})


def read(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_sample_is_made_of_its_seeds_and_rows_random_numbers(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            found = await one(task, count=3, seed=11, steps=7)
            assert (found.model, found.version, found.seed, found.steps) == ("greys", "1", 11, 7)
            assert (found.height, found.width, found.labels, found.grid) == (HEIGHT, WIDTH, [], None)
            for row, picture in enumerate(found.images):
                np.testing.assert_array_equal(read(picture), noisy(noise(11, row, (HEIGHT, WIDTH)), 7))

    asyncio.run(ask())


def test_without_a_seed_the_answers_seed_gives_the_samples_again(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            first, second = await one(task), await one(task)
            assert first.seed != second.seed
            assert (await one(task, seed=first.seed)).images == first.images

    asyncio.run(ask())


def test_requests_with_other_options_share_steps_and_keep_their_answers(tmp_path: Path) -> None:
    asks: list[dict[str, Any]] = [
        {"seed": number, "steps": 1 + number % 9, "count": 1 + number % 3, "truncation": number % 5 / 4}
        | ({"label": LABELS[number % 2], "guidance": number % 4} if number % 3 else {})
        for number in range(24)
    ]

    async def ask() -> None:
        async with serving(tmp_path) as task:
            together = await asyncio.gather(*(one(task, **each) for each in asks))
            for fields, found in zip(asks, together, strict=True):
                alone = await one(task, **fields)
                assert (found.images, found.labels, found.steps) == (alone.images, alone.labels, fields["steps"])

    asyncio.run(ask())


@pytest.mark.parametrize(("label", "index"), [("dark", 1), ("1", 1), ("pale", 0)])
def test_a_label_is_named_or_numbered_and_guided(tmp_path: Path, label: str, index: int) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            found = await one(task, label=label, guidance=2.0, truncation=0.0, count=2, steps=3)
            assert found.labels == [LABELS[index]] * 2
            for picture in found.images:
                assert (read(picture) == grey(3, index, 2.0)).all()

    asyncio.run(ask())


def test_a_model_of_classes_alone_makes_all_in_turn(tmp_path: Path) -> None:
    label = {"tensor": "label", "labels": "labels.txt"}
    write_generate_package(
        tmp_path, "classes", parameters={"count": {"default": 5, "minimum": 1, "maximum": 5}, "label": label}
    )

    async def ask() -> None:
        async with serving(tmp_path) as task:
            assert (await one(task, model="classes")).labels == ["pale", "dark", "pale", "dark", "pale"]

    asyncio.run(ask())


@pytest.mark.parametrize(("count", "rows", "columns"), [(1, 1, 1), (2, 1, 2), (5, 2, 3), (9, 3, 3)])
@pytest.mark.parametrize("colour", [False, True])
def test_a_grid_has_the_samples_row_by_row(tmp_path: Path, count: int, rows: int, columns: int, colour: bool) -> None:
    write_generate_package(tmp_path, "samples", colour=colour)

    async def ask() -> None:
        async with serving(tmp_path) as task:
            apart = await one(task, model="samples", seed=1, count=count)
            found = await one(task, model="samples", seed=1, count=count, output="grid")
            picture = read(found.grid)
            assert found.images == []
            assert picture.shape[:2] == (rows * (HEIGHT + 2) - 2, columns * (WIDTH + 2) - 2)
            for number, each in enumerate(apart.images):
                top, left = number // columns * (HEIGHT + 2), number % columns * (WIDTH + 2)
                np.testing.assert_array_equal(picture[top : top + HEIGHT, left : left + WIDTH], read(each))

    asyncio.run(ask())


def test_a_stream_shows_the_samples_on_the_way(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            _, stream = task.endpoints
            *previews, last = await everything(stream, model="greys", steps=10, every=3, seed=5, label="dark")
            assert [(preview.step, preview.steps) for preview in previews] == [(3, 10), (6, 10), (9, 10)]
            for preview in previews:
                assert preview.grid == (await one(task, steps=preview.step, seed=5, label="dark")).images[0]
            assert last.images == (await one(task, steps=10, seed=5, label="dark")).images

    asyncio.run(ask())


def test_a_stream_shows_them_ten_times_unless_asked_otherwise(tmp_path: Path) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            *previews, _ = await everything(task.endpoints[1], model="greys", steps=100)
            assert [preview.step for preview in previews] == [*range(10, 100, 10)]
            *previews, _ = await everything(task.endpoints[1], model="greys", steps=3)
            assert [preview.step for preview in previews] == [1, 2]

    asyncio.run(ask())


def test_a_model_without_previews_says_how_far_it_is(tmp_path: Path) -> None:
    write_generate_package(tmp_path, "blind", sample={"tensor": "image"})

    async def ask() -> None:
        async with serving(tmp_path) as task:
            *previews, _ = await everything(task.endpoints[1], model="blind", steps=3)
            assert [(preview.step, preview.steps, preview.grid) for preview in previews] == [(1, 3, None), (2, 3, None)]

    asyncio.run(ask())


def test_a_loop_that_emits_nothing_answers_at_its_end(tmp_path: Path) -> None:
    folder = write_generate_package(tmp_path, "quiet", sample={"tensor": "image"})
    change_card(folder, "loop.emit", [])

    async def ask() -> None:
        async with serving(tmp_path) as task:
            [alone] = await everything(task.endpoints[1], model="quiet", steps=5, seed=2)
            assert alone.images == (await one(task, model="quiet", steps=5, seed=2)).images
            assert alone.images == (await one(task, steps=5, seed=2)).images

    asyncio.run(ask())


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no sample": ({"count": 0}, f"count is 0; model 'greys' allows 1 to {MAX_COUNT}"),
    "too many samples": ({"count": 10}, f"count is 10; model 'greys' allows 1 to {MAX_COUNT}"),
    "too many steps": ({"steps": 101}, "steps is 101; model 'greys' allows 1 to 100"),
    "no such label": ({"label": "blue"}, r"label is 'blue'; model 'greys' allows \['pale', 'dark', '0..1'\]"),
    "no such index": ({"label": "2"}, "label is '2'"),
    "guidance of nothing": ({"guidance": 2.0}, "guidance was given without a label"),
    "too much guidance": ({"label": "dark", "guidance": 5.1}, "guidance is 5.1; model 'greys' allows 0 to 5"),
    "no number": ({"truncation": float("nan")}, "truncation is nan; model 'greys' allows 0 to 1"),
    "no temperature": ({"temperature": 1.0}, "temperature is 1; model 'greys' allows none"),
    "another output": ({"output": "gif"}, r"output is 'gif'; model 'greys' allows \['images', 'grid'\]"),
    "no seed": ({"seed": -1}, "seed is -1; model 'greys' allows 0 to"),
}


@pytest.mark.parametrize(("fields", "why"), REFUSED.values(), ids=list(REFUSED))
def test_what_the_card_does_not_allow_is_refused_in_words(tmp_path: Path, fields: dict[str, Any], why: str) -> None:
    async def ask() -> None:
        async with serving(tmp_path) as task:
            for endpoint in task.endpoints:
                with pytest.raises(InvalidArgument, match=why):
                    await answer(endpoint, model="greys", **fields)

    asyncio.run(ask())


def test_pixels_that_the_engine_chooses_follow_the_temperature(tmp_path: Path) -> None:
    write_pixel_package(tmp_path)

    async def ask() -> None:
        async with serving(tmp_path) as task:

            async def share(**fields: Any) -> float:
                found = await one(task, model="pixels", count=8, seed=3, **fields)
                assert found.steps == PIXELS + 1
                pictures = np.stack([read(picture) for picture in found.images])
                different = 1 if fields.get("temperature") == 0.01 else 8
                assert len({picture.tobytes() for picture in pictures}) == different
                assert len(pictures) == 8
                assert set(np.unique(pictures)) <= {0, 255}
                return float((pictures == 255).mean())

            assert await share(temperature=0.01) == 0.0  # the most probable one is dark
            assert abs(await share() - BRIGHT) < 0.1  # of 192 pixels; three standard deviations
            assert await share(temperature=4.0) > await share()
            with pytest.raises(InvalidArgument, match=r"temperature is 9; model 'pixels' allows 0\.01 to 4"):
                await share(temperature=9.0)
            *previews, last = await everything(task.endpoints[1], model="pixels", seed=3)
            assert [preview.step for preview in previews] == [3, 6, 9, 12, 15, 18, 21, 24]
            assert last.images == (await one(task, model="pixels", seed=3)).images

    asyncio.run(ask())


def test_a_classifier_generates_nothing(tmp_path: Path) -> None:
    write_package(tmp_path)

    async def ask() -> None:
        async with serving(tmp_path) as task:
            with pytest.raises(UnknownModel, match="model 'tiny' does not generate images"):
                await one(task, model="tiny")

    asyncio.run(ask())
