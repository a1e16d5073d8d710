"""Decodes images, and draws pictures, on threads beside the event loop, with a limit on how much may wait."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.deadline import NEVER
from service.engine.cores import usable_cores
from service.errors import InvalidArgument, LectoriumError, TooLarge
from service.imaging import (
    VIEW_COUNTS,
    ImageFile,
    decode_file,
    examine,
    flatten,
    prepare,
    quick_file,
    take_views,
)
from service.package import Preprocessing, Views
from service.tasks.caller import ANY_CALLER, Caller
from service.tasks.side_work import SideWork

T = TypeVar("T")


class ImageDecoder:
    """Turns image files into inputs of a graph, as many at a time as there are cores for this process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._work = SideWork(config, "rows of images wait for a decoder", max(1, usable_cores() // config.workers))

    async def __call__(
        self,
        data: bytes,
        preprocessing: Preprocessing,
        views: Views = "single",
        *,
        plain: bool = False,
        caller: Caller = ANY_CALLER,
    ) -> NDArray[np.uint8]:
        """The ``views`` of the image in ``data`` as inputs of the graph: (rows, H, W) or (rows, H, W, 3) uint8.

        With ``plain`` the first row is always the whole image; it is added if it is not one of the views.

        Raises:
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `one`.
        """
        make = partial(_rows, preprocessing=preprocessing, views=views, plain=plain)
        return await self.one(data, make, preprocessing, views, caller=caller)

    async def many(
        self,
        files: Sequence[bytes],
        preprocessing: Preprocessing,
        views: Views = "single",
        *,
        plain: bool = False,
        caller: Caller = ANY_CALLER,
    ) -> list[NDArray[np.uint8]]:
        """The same for several images. Raises as `several`."""
        make = partial(_rows, preprocessing=preprocessing, views=views, plain=plain)
        return await self.several(files, make, views, caller=caller)

    async def one(
        self,
        data: bytes,
        make: Callable[[ImageFile], T],
        preprocessing: Preprocessing,
        views: Views = "single",
        *,
        caller: Caller = ANY_CALLER,
    ) -> T:
        """What ``make`` makes of the image file ``data``: it decodes it, and prepares its views.

        If that takes less time than a hand-over to a thread, it is done on the event loop.

        Raises:
            InvalidImage, TooLarge: as `service.imaging.decode`.
            QueueFull: the queue for the decoders has no room.
            DeadlineExceeded: the caller's deadline passed first.
        """
        if len(data) > self._config.max_request_bytes:
            raise TooLarge(f"the image has {len(data)} bytes; at most {self._config.max_request_bytes} are allowed")
        file = quick_file(data, self._config.max_image_pixels, preprocessing, views)
        if file is not None:
            (caller.deadline or NEVER).check()
            return make(file)
        (made,) = await self.each([partial(self._make, data, make)], VIEW_COUNTS[views], caller)
        return made

    async def several(
        self,
        files: Sequence[bytes],
        make: Callable[[ImageFile], T],
        views: Views = "single",
        *,
        caller: Caller = ANY_CALLER,
    ) -> list[T]:
        """The same for several images, which are decoded side by side.

        Raises:
            InvalidArgument: there is no image, or there are too many.
            InvalidImage, TooLarge: as for one image, with the index of the first that failed; or their bytes together
                are too many.
            QueueFull, DeadlineExceeded: as for one image.
        """
        most = self._config.max_images
        if not 1 <= len(files) <= most:
            raise InvalidArgument(f"{len(files)} images were sent; 1 to {most} are allowed")
        total = sum(map(len, files))
        if total > self._config.max_request_bytes:
            raise TooLarge(f"the images have {total} bytes; at most {self._config.max_request_bytes} are allowed")
        work = [partial(numbered, i, partial(self._make, data, make)) for i, data in enumerate(files)]
        return await self.each(work, VIEW_COUNTS[views], caller)

    async def each(self, work: Sequence[Callable[[], T]], rows: int = 1, caller: Caller = ANY_CALLER) -> list[T]:
        """Run each piece of ``work`` on one of the decoders' threads; see `SideWork.each`.

        Raises:
            QueueFull, DeadlineExceeded, Exception: as it.
        """
        return await self._work.each(work, rows, caller)

    def _make(self, data: bytes, make: Callable[[ImageFile], T]) -> T:
        return make(examine(data, self._config.max_image_pixels))


def numbered(index: int, work: Callable[[], T]) -> T:
    """What the work on one image of a batch returns. Its errors begin with the index of the image."""
    try:
        return work()
    except LectoriumError as error:
        raise type(error)(f"images[{index}]: {error}") from error


def _rows(file: ImageFile, preprocessing: Preprocessing, views: Views, plain: bool) -> NDArray[np.uint8]:
    image = flatten(decode_file(file, preprocessing, views).image, preprocessing)
    rows = take_views(image, preprocessing, views)
    if plain and views == "ten_crop":
        return np.concatenate([prepare(image, preprocessing)[None], rows])
    return rows
