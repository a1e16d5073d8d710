"""Images off the loop: a few threads that decode them, and draw, and a bound on how much waits for them."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from service.config import Config
from service.deadline import NEVER, Deadline
from service.engine.cores import usable_cores
from service.errors import InvalidArgument, LectoriumError, QueueFull, TooLarge
from service.imaging import VIEW_COUNTS, decode, decode_file, flatten, prepare, quick_file, take_views
from service.package import Preprocessing, Views
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.decoder_threads import DecoderThreads, Job

T = TypeVar("T")


class ImageDecoder:
    """Turns image files into graph inputs, as many at a time as there are cores for this process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._threads = DecoderThreads(max(1, usable_cores() // config.workers))
        self._waiting = 0

    async def __call__(
        self,
        data: bytes,
        preprocessing: Preprocessing,
        views: Views = "single",
        *,
        plain: bool = False,
        caller: Caller = ANY_CALLER,
    ) -> NDArray[np.uint8]:
        """The image in ``data`` as the graph wants it, `take_views` of it: (rows, H, W) or (rows, H, W, 3).

        With ``plain`` the first is the image as it is, before its views where it is none of these. What is quicker than
        a hand-over to a thread is done here and now.

        Raises:
            InvalidImage, TooLarge: as `service.imaging.decode`.
            QueueFull: as many rows wait as may.
            DeadlineExceeded: the caller's deadline passed before.
        """
        if len(data) > self._config.max_request_bytes:
            raise TooLarge(f"the image has {len(data)} bytes; at most {self._config.max_request_bytes} are taken")
        file = quick_file(data, self._config.max_image_pixels, preprocessing, views)
        if file is not None:
            (caller.deadline or NEVER).check()
            return _rows(decode_file(file, preprocessing, views), preprocessing, views, plain)
        (rows,) = await self.each(
            [partial(self._decode, data, preprocessing, views, plain)], VIEW_COUNTS[views], caller
        )
        return rows

    async def many(
        self,
        files: Sequence[bytes],
        preprocessing: Preprocessing,
        views: Views = "single",
        *,
        plain: bool = False,
        caller: Caller = ANY_CALLER,
    ) -> list[NDArray[np.uint8]]:
        """The same of several images, side by side.

        Raises:
            InvalidArgument: there are none, or more than may be.
            InvalidImage, TooLarge: as above, with the index of the first that is found; or all together are too long.
            QueueFull, DeadlineExceeded: as above.
        """
        most = self._config.max_images
        if not 1 <= len(files) <= most:
            raise InvalidArgument(f"{len(files)} images were sent; 1 to {most} are allowed")
        total = sum(map(len, files))
        if total > self._config.max_request_bytes:
            raise TooLarge(f"the images have {total} bytes; at most {self._config.max_request_bytes} are taken")
        work = [partial(self._decode_one, i, data, preprocessing, views, plain) for i, data in enumerate(files)]
        return await self.each(work, VIEW_COUNTS[views], caller)

    async def each(self, work: Sequence[Callable[[], T]], rows: int = 1, caller: Caller = ANY_CALLER) -> list[T]:
        """What each piece of work, of so many ``rows``, returns, in order; the first that fails ends all.

        What has not begun then, or when the caller leaves or its deadline passes, never will; what has begun ends by
        itself, and nobody waits for it.

        Raises:
            QueueFull: more rows would wait than may, and others wait already.
            DeadlineExceeded: the caller's deadline passed before.
        """
        deadline = caller.deadline or Deadline.after(self._config.timeout_s)
        deadline.check()
        self._enter(rows * len(work))
        jobs = [Job(piece, caller, deadline) for piece in work]
        try:
            for job in jobs:
                self._threads.add(job)
            async with asyncio.timeout(deadline.remaining_s) as clock:
                return await asyncio.gather(*(job.future for job in jobs))
        except TimeoutError as error:
            if not clock.expired():
                raise
            raise deadline.exceeded() from error
        finally:
            self._waiting -= rows * len(work)
            for job in jobs:
                self._threads.leave(job)

    def _enter(self, rows: int) -> None:
        if self._waiting and self._waiting + rows > self._config.max_queue_rows:
            raise QueueFull(f"{self._waiting} rows of images wait for a decoder; try again later")
        self._waiting += rows

    def _decode_one(
        self, index: int, data: bytes, preprocessing: Preprocessing, views: Views, plain: bool
    ) -> NDArray[np.uint8]:
        try:
            return self._decode(data, preprocessing, views, plain)
        except LectoriumError as error:
            raise type(error)(f"images[{index}]: {error}") from error

    def _decode(self, data: bytes, preprocessing: Preprocessing, views: Views, plain: bool) -> NDArray[np.uint8]:
        return _rows(decode(data, self._config.max_image_pixels, preprocessing, views), preprocessing, views, plain)


def _rows(image: Image, preprocessing: Preprocessing, views: Views, plain: bool) -> NDArray[np.uint8]:
    image = flatten(image, preprocessing)
    rows = take_views(image, preprocessing, views)
    if plain and views == "ten_crop":
        return np.concatenate([prepare(image, preprocessing)[None], rows])
    return rows
