"""Segmentation in tiles: joined without seams, and no further than somebody waits for."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from service.config import Config
from service.deadline import Deadline
from service.engine import Engine
from service.errors import DeadlineExceeded, InvalidArgument, LectoriumError, TooLarge
from service.tasks import segment_tiles
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.image_decoding import ImageDecoder
from service.tasks.segment import Segment
from tests.pictures import encoded
from tests.segment_packages import untiled, write_segment_package
from tests.service.tasks.asking import answer, everything

HEIGHT, WIDTH = 40, 48
REACH = 3
# Width and height: of one tile, smaller, larger by little and by much, and lines.
SIZES = [(48, 40), (30, 20), (49, 41), (200, 150), (500, 3), (1, 300)]


@asynccontextmanager
async def serving(folder: Path, width: int = WIDTH, height: int = HEIGHT) -> AsyncIterator[Segment]:
    """The task over a model that was trained at this size, and whose answer for a pixel depends on 7x7."""
    size = {"height": height, "width": width, "interpolation": "nearest"}
    write_segment_package(folder, reach=REACH, preprocessing={"tensor": "image", "colour": "rgb", **size})
    config = Config.model_validate({"repository": folder})
    async with Engine(config) as engine:
        yield Segment(engine, config, ImageDecoder(config))


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Noise of large and small grains, (H, W, 3), whose mask has shapes of all sizes."""
    random = np.random.default_rng(width)
    large = random.integers(0, 256, (height // 7 + 1, width // 7 + 1, 3), dtype="u1")
    grown = np.kron(large, np.ones((7, 7, 1), "u1"))[:height, :width]
    return np.clip(grown.astype("i2") + random.integers(-40, 41, grown.shape), 0, 255).astype("u1")


def file(pixels: NDArray[np.uint8]) -> bytes:
    return encoded(Image.fromarray(pixels), "PNG")


def read(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def endpoint(segment: Segment, name: str) -> Any:
    (found,) = [each for each in segment.endpoints if each.name == name]
    return found


@pytest.mark.parametrize("size", SIZES)
async def test_tiles_that_overlap_by_twice_the_reach_give_the_mask_of_the_whole_image(
    size: tuple[int, int], tmp_path: Path
) -> None:
    pixels = picture(*size)
    async with serving(tmp_path) as segment:
        found = await answer(
            segment.endpoints[0], image=file(pixels), tile=True, overlap=2 * REACH, output="statistics,indices"
        )
    wanted = untiled(tmp_path / "colours" / "1", pixels[None])
    assert (found.width, found.height) == size
    np.testing.assert_array_equal(np.frombuffer(found.indices, "u1").reshape(pixels.shape[:2]), wanted.mask[0])
    assert [each.pixels for each in found.classes] == wanted.area[0].tolist()
    np.testing.assert_allclose([each.confidence for each in found.classes], wanted.confidence[0], rtol=1e-4)


async def test_with_less_overlap_the_mask_differs_only_near_the_joints(tmp_path: Path) -> None:
    pixels = picture(200, 150)
    async with serving(tmp_path, 64, 32) as segment:  # tiles begin at multiples of 32
        *tiles, found = await everything(
            endpoint(segment, "segment_tiles"), image=file(pixels), overlap=0, output="indices"
        )
    wanted = untiled(tmp_path / "colours" / "1", pixels[None]).mask[0]
    differs = np.frombuffer(found.indices, "u1").reshape(wanted.shape) != wanted
    inner = np.zeros_like(differs)
    for tile in tiles:
        top, left = tile.top + REACH * (tile.top > 0), tile.left + REACH * (tile.left > 0)
        bottom, right = tile.top + tile.height, tile.left + tile.width
        bottom, right = bottom - REACH * (bottom < 150), right - REACH * (right < 200)
        inner[top:bottom, left:right] = True
    assert differs.any()
    assert not differs[inner].any()


async def test_each_tile_has_the_mask_of_its_part_and_the_parts_are_the_whole(tmp_path: Path) -> None:
    pixels = picture(200, 150)
    async with serving(tmp_path) as segment:
        *tiles, found = await everything(endpoint(segment, "segment_tiles"), image=file(pixels), output="mask")
        together = await answer(segment.endpoints[0], image=file(pixels), tile=True, output="mask")
    joined = np.full((150, 200), 255, "u1")
    for number, tile in enumerate(tiles, 1):
        assert (tile.number, tile.tiles) == (number, len(tiles))
        place = np.s_[tile.top : tile.top + tile.height, tile.left : tile.left + tile.width]
        assert (joined[place] == 255).all()
        joined[place] = read(tile.mask)
    np.testing.assert_array_equal(joined, read(found.mask))
    assert found.mask == together.mask
    assert len(tiles) > 10


async def test_an_image_that_is_not_tiled_is_resized(tmp_path: Path) -> None:
    pixels = picture(200, 150)
    async with serving(tmp_path) as segment:
        tiled = await answer(segment.endpoints[0], image=file(pixels), tile=True, output="indices")
        resized = await answer(segment.endpoints[0], image=file(pixels), output="indices")
    assert tiled.indices != resized.indices


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"tile": True, "overlap": 21}, "overlap is 21; model 'colours' with tiles of 48x40 allows 0 to 20"),
    ({"tile": True, "overlap": -1}, "overlap is -1; model 'colours' with tiles of 48x40 allows 0 to 20"),
    ({"overlap": 8}, "overlap was given; it is allowed with tile true only"),
]


@pytest.mark.parametrize(("fields", "words"), REFUSED)
async def test_an_overlap_that_is_not_allowed_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        with pytest.raises(InvalidArgument, match=words):
            await answer(segment.endpoints[0], image=file(picture(60, 60)), **fields)


async def test_an_image_with_too_many_tiles_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_tiles, "MOST_TILES", 5)
    words = r"the image has 200x150 pixels, which are \d+ tiles of 48x40 with an overlap of 10; .* at most 5 tiles"
    async with serving(tmp_path) as segment:
        with pytest.raises(TooLarge, match=words):
            await answer(segment.endpoints[0], image=file(picture(200, 150)), tile=True)


async def test_an_error_in_one_tile_is_that_of_the_request(tmp_path: Path) -> None:
    size = {"height": HEIGHT, "width": WIDTH, "interpolation": "nearest"}
    write_segment_package(tmp_path, "fragile", fails_at=255, preprocessing={"tensor": "image", "colour": "rgb", **size})
    pixels = np.zeros((150, 200, 3), "u1")
    pixels[140, 190] = 255
    async with serving(tmp_path) as segment:
        with pytest.raises(LectoriumError, match="fragile"):
            await answer(segment.endpoints[0], image=file(pixels), model="fragile", tile=True)


async def test_no_tile_runs_for_a_caller_that_has_left(tmp_path: Path) -> None:
    pixels = picture(2000, 1500)
    async with serving(tmp_path) as segment:
        model = segment.select("", "")
        tiles = endpoint(segment, "segment_tiles")
        ask = tiles.ask.model_construct(image=file(pixels))
        async with aclosing(tiles.answers(model, ask, ANY_CALLER)) as found:
            first: Any = await anext(found)
        await asyncio.sleep(0.2)
        # Batches that have begun end.
        assert model.statistics.inference_count <= segment_tiles._MOST_AHEAD + 1 < first.tiles / 2


async def test_an_image_waits_while_there_is_no_room_for_it_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_tiles, "_IMAGES_AT_ONCE", 1)
    async with serving(tmp_path) as segment:
        tiles = endpoint(segment, "segment_tiles")
        ask = tiles.ask.model_construct(image=file(picture(200, 150)))
        async with aclosing(tiles.answers(segment.select("", ""), ask, ANY_CALLER)) as found:
            await anext(found)
            with pytest.raises(DeadlineExceeded):
                await answer(tiles, Caller(deadline=Deadline.after(0.1)), image=ask.image)
        assert (await answer(tiles, image=ask.image)).width == 200


async def test_a_caller_that_reads_slowly_does_not_hold_the_room_beyond_its_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_tiles, "_IMAGES_AT_ONCE", 1)
    async with serving(tmp_path) as segment:
        tiles = endpoint(segment, "segment_tiles")
        ask = tiles.ask.model_construct(image=file(picture(200, 150)))
        deadline = Deadline.after(5)
        async with aclosing(tiles.answers(segment.select("", ""), ask, Caller(deadline=deadline))) as found:
            await anext(found)
            await asyncio.sleep(deadline.remaining_s)  # the tiles ahead are answered meanwhile
            with pytest.raises(DeadlineExceeded):
                await anext(found)
            assert (await answer(tiles, image=ask.image)).width == 200
