"""Images off the loop: a few threads that decode them, and draw, and a bound on how much waits for them."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.engine.cores import usable_cores
from service.errors import InvalidArgument, LectoriumError, QueueFull, TooLarge
from service.imaging import VIEW_COUNTS, decode, prepare, take_views
from service.package import Preprocessing, Views

T = TypeVar("T")


class Decoder:
    """Turns image files into graph inputs, as many at a time as there are cores for this process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        cores = max(1, usable_cores() // config.workers)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self._waiting = 0

    async def __call__(
        self, data: bytes, preprocessing: Preprocessing, views: Views = "single", *, plain: bool = False
    ) -> NDArray[np.uint8]:
        """The image in ``data`` as the graph wants it, `take_views` of it: (rows, H, W) or (rows, H, W, 3).

        With ``plain`` the first is the image as it is, before its views where it is none of these.

        Raises:
            InvalidImage, TooLarge: as `service.imaging.decode`.
            QueueFull: as many rows wait as may.
        """
        if len(data) > self._config.max_request_bytes:
            raise TooLarge(f"the image has {len(data)} bytes; at most {self._config.max_request_bytes} are taken")
        rows = VIEW_COUNTS[views]
        self._enter(rows)
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._decode, data, preprocessing, views, plain)
        finally:
            self._waiting -= rows

    async def many(
        self, files: Sequence[bytes], preprocessing: Preprocessing, views: Views = "single", *, plain: bool = False
    ) -> list[NDArray[np.uint8]]:
        """The same of several images, side by side.

        Raises:
            InvalidArgument: there are none, or more than may be.
            InvalidImage, TooLarge: as above, with the index of the first that is found; or all together are too long.
            QueueFull: as above.
        """
        most, total = self._config.max_images, sum(map(len, files))
        if not 1 <= len(files) <= most:
            raise InvalidArgument(f"{len(files)} images came; 1 to {most} are wanted")
        if total > self._config.max_request_bytes:
            raise TooLarge(f"the images have {total} bytes; at most {self._config.max_request_bytes} are taken")
        work = [partial(self._decode_one, i, data, preprocessing, views, plain) for i, data in enumerate(files)]
        return await self.each(work, VIEW_COUNTS[views])

    async def each(self, work: Sequence[Callable[[], T]], rows: int = 1) -> list[T]:
        """What each piece of work, of so many ``rows``, returns, in order; the first that fails ends all.

        Raises:
            QueueFull: more rows would wait than may, and others wait already.
        """
        loop = asyncio.get_running_loop()
        self._enter(rows * len(work))
        begun = [loop.run_in_executor(self._pool, piece) for piece in work]
        try:
            return await asyncio.gather(*begun)
        finally:
            self._waiting -= rows * len(work)
            for future in begun:
                future.cancel()  # those that have not begun never will

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
        image = decode(data, self._config.max_image_pixels)
        rows = take_views(image, preprocessing, views)
        if plain and views == "ten_crop":
            return np.concatenate([prepare(image, preprocessing)[None], rows])
        return rows
