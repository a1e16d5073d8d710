import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from service.config import Config
from service.deadline import Deadline
from service.errors import DeadlineExceeded, InvalidArgument, InvalidImage, QueueFull, TooLarge
from service.imaging import ImageFile, examine
from service.package import Preprocessing
from service.tasks import image_decoding
from service.tasks.caller import Caller
from service.tasks.image_decoding import ImageDecoder
from tests.pictures import RED, encoded, solid

CARD = Preprocessing(tensor="image", colour="rgb", height=4, width=4)
FILE = encoded(solid("RGB", RED), "PNG")


def decoder(**settings: Any) -> ImageDecoder:
    return ImageDecoder(Config.model_validate(settings))


class SlowDecoding:
    """DecodingOptions that ends when it is told to, and notes the threads it ran on and the files it was given."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.files: list[bytes] = []
        self.go_on = threading.Event()

    def __call__(self, data: bytes, max_pixels: int) -> ImageFile:
        self.threads.add(threading.current_thread().name)
        self.files.append(data)
        assert self.go_on.wait(10)
        return examine(FILE, max_pixels)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[SlowDecoding]:
    decode = SlowDecoding()
    monkeypatch.setattr(image_decoding, "examine", decode)
    monkeypatch.setattr(image_decoding, "quick_file", lambda *_: None)
    yield decode
    decode.go_on.set()


@pytest.fixture
def one_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_decoding, "usable_cores", lambda: 1)


async def begun(slow: SlowDecoding, files: int) -> None:
    """So many decodings have."""
    await until(lambda: len(slow.files) >= files)


async def until(holds: Callable[[], bool]) -> None:
    """Come back when it does; the thread that makes it so knows no loop."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.001)


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


@pytest.mark.parametrize(
    ("image", "card", "quick"),
    [
        (solid("RGB", RED, (28, 28)), CARD, True),
        (solid("RGB", RED, (28, 28)), CARD.model_copy(update={"height": 224, "width": 224}), False),
        (solid("RGB", RED, (640, 480)), CARD, False),
    ],
)
async def test_what_takes_less_than_a_hand_over_to_a_thread_is_decoded_on_the_loop(
    image: Image.Image, card: Preprocessing, quick: bool
) -> None:
    threads = threading.active_count()
    assert is_red(await decoder()(encoded(image, "PNG"), card))
    assert (threading.active_count() == threads) == quick


async def test_a_quick_image_whose_deadline_has_passed_is_not_decoded() -> None:
    with pytest.raises(DeadlineExceeded):
        await decoder()(FILE, CARD, caller=Caller(deadline=Deadline.after(-1)))


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


@pytest.mark.usefixtures("one_core")
async def test_connections_are_served_in_rotation_however_much_one_of_them_sends(slow: SlowDecoding) -> None:
    decode = decoder()
    greedy, modest, late = Caller("greedy"), Caller("modest"), Caller("late")
    many = [asyncio.create_task(decode.many([b"greedy"] * 20, CARD, caller=greedy)) for _ in range(2)]
    await begun(slow, 1)
    few = [asyncio.create_task(decode(b"modest", CARD, caller=modest)) for _ in range(2)]
    await asyncio.sleep(0)
    few.append(asyncio.create_task(decode(b"late", CARD, caller=late)))
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(*many, *few)
    assert slow.files[:6] == [b"greedy", b"greedy", b"modest", b"late", b"greedy", b"modest"]
    assert slow.files[6:] == [b"greedy"] * 37


@pytest.mark.usefixtures("one_core")
async def test_what_has_not_begun_at_its_deadline_never_does(slow: SlowDecoding) -> None:
    decode = decoder()
    first = asyncio.create_task(decode(b"first", CARD))
    await begun(slow, 1)
    with pytest.raises(DeadlineExceeded, match=r"no answer in 0\.05 s"):
        await decode.many([b"expired"] * 3, CARD, caller=Caller(deadline=Deadline.after(0.05)))
    with pytest.raises(DeadlineExceeded):
        await decode(b"too late", CARD, caller=Caller(deadline=Deadline.after(-1)))
    last = asyncio.create_task(decode(b"last", CARD))
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(first, last)
    assert slow.files == [b"first", b"last"]


@pytest.mark.usefixtures("one_core")
async def test_what_has_not_begun_when_its_caller_leaves_never_does(slow: SlowDecoding) -> None:
    decode = decoder(max_queue_rows=3)
    first = asyncio.create_task(decode(b"first", CARD))
    await begun(slow, 1)
    gone = asyncio.create_task(decode.many([b"gone"] * 2, CARD))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.wait([gone])
    last = asyncio.create_task(decode.many([b"last"] * 2, CARD))
    await asyncio.sleep(0)
    slow.go_on.set()
    await asyncio.gather(first, last)
    assert slow.files == [b"first", b"last", b"last"]


async def test_a_decoding_whose_deadline_passes_is_answered_at_once_and_counted_until_it_ends(
    slow: SlowDecoding,
) -> None:
    running: list[int] = []
    caller = Caller(deadline=Deadline.after(0.05), still_runs=running.append)
    with pytest.raises(DeadlineExceeded):
        await decoder()(FILE, CARD, caller=caller)
    assert running == [1]
    slow.go_on.set()
    await until(lambda: len(running) == 2)
    assert running == [1, -1]


async def test_what_is_answered_is_not_counted_as_running_on(slow: SlowDecoding) -> None:
    running: list[int] = []
    slow.go_on.set()
    await decoder().many([FILE] * 3, CARD, caller=Caller(still_runs=running.append))
    assert running == []


def test_a_program_ends_while_an_image_is_decoded() -> None:
    program = """
import asyncio, threading
from service.config import Config
from service.package import Preprocessing
from service.tasks import image_decoding
begun = threading.Event()
image_decoding.quick_file = lambda *_: None
image_decoding.examine = lambda *_: (begun.set(), threading.Event().wait())
async def main():
    card = Preprocessing(tensor="image", colour="rgb", height=4, width=4)
    task = asyncio.create_task(image_decoding.ImageDecoder(Config())(b"an image", card))
    await asyncio.sleep(0)
    assert await asyncio.to_thread(begun.wait, 10)
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, b"")


async def test_too_many_images_are_refused_without_a_look_at_any() -> None:
    class Countable:
        def __len__(self) -> int:
            return 8_000_000

    with pytest.raises(InvalidArgument, match="8000000 images were sent; 1 to 64 are allowed"):
        await decoder().many(cast(Sequence[bytes], Countable()), CARD)


@pytest.mark.parametrize("several", [False, True])
async def test_a_refused_image_is_kept_by_nobody(several: bool) -> None:
    damaged = bytes(1 << 20)
    before = sys.getrefcount(damaged)
    gc.disable()  # in a server it comes to errors too seldom
    try:
        with pytest.raises(InvalidImage) as refused:
            await (decoder().many([damaged], CARD) if several else decoder()(damaged, CARD))
        del refused
        await asyncio.sleep(0.01)
        assert sys.getrefcount(damaged) == before
    finally:
        gc.enable()
