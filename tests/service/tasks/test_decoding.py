import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.config import Config
from service.errors import InvalidImage, QueueFull, TooLarge
from service.package import Preprocessing
from service.tasks import decoding
from service.tasks.decoding import Decoder
from tests.pictures import RED, encoded, solid

CARD = Preprocessing(tensor="image", colour="rgb", height=4, width=4)
FILE = encoded(solid("RGB", RED), "PNG")


def decoder(**settings: Any) -> Decoder:
    return Decoder(Config.model_validate(settings))


class SlowDecoding:
    """Decoding that ends when it is told to, and notes the threads it ran on."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.go_on = threading.Event()

    def __call__(self, data: bytes, max_pixels: int) -> Image.Image:
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(10)
        return solid("RGB", RED)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDecoding]:
    decode = SlowDecoding()
    monkeypatch.setattr(decoding, "decode", decode)
    yield decode
    decode.go_on.set()


def is_red(pixels: np.ndarray[Any, np.dtype[np.uint8]]) -> bool:
    return bool((pixels == RED).all())


async def test_a_file_becomes_what_the_card_says() -> None:
    pixels = await decoder()(FILE, CARD)
    assert pixels.shape == (1, 4, 4, 3)
    assert is_red(pixels)


async def test_a_file_of_the_allowed_size_is_taken_and_one_byte_more_is_not() -> None:
    assert is_red(await decoder(max_request_bytes=len(FILE))(FILE, CARD))
    with pytest.raises(TooLarge, match=f"{len(FILE)} bytes; at most {len(FILE) - 1}"):
        await decoder(max_request_bytes=len(FILE) - 1)(FILE, CARD)


async def test_an_image_over_the_configured_pixels_is_refused() -> None:
    with pytest.raises(TooLarge, match="9x7 pixels; at most 62"):
        await decoder(max_image_pixels=62)(FILE, CARD)


async def test_images_are_decoded_off_the_loop(slow: SlowDecoding) -> None:
    waiting = asyncio.create_task(decoder()(FILE, CARD))
    await asyncio.sleep(0.01)
    slow.go_on.set()  # which a loop that decodes would never come to
    assert is_red(await waiting)
    assert all(name.startswith("decode") for name in slow.threads)


async def test_only_so_many_images_wait_and_then_there_is_room_again(slow: SlowDecoding) -> None:
    decode = decoder(max_queue_rows=3)
    waiting = [asyncio.create_task(decode(FILE, CARD)) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull, match="3 rows of images wait"):
        await decode(FILE, CARD)
    slow.go_on.set()
    assert all(map(is_red, await asyncio.gather(*waiting)))
    assert is_red(await decode(FILE, CARD))


async def test_a_caller_that_leaves_gives_its_place_back(slow: SlowDecoding) -> None:
    decode = decoder(max_queue_rows=1)
    waiting = asyncio.create_task(decode(FILE, CARD))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    slow.go_on.set()
    assert is_red(await decode(FILE, CARD))


async def test_a_refused_image_gives_its_place_back() -> None:
    decode = decoder(max_queue_rows=1)
    for _ in range(3):
        with pytest.raises(InvalidImage):
            await decode(b"a cat", CARD)
    assert is_red(await decode(FILE, CARD))
