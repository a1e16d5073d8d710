"""Decoding off the loop: a few threads, and a bound on how many images wait for them."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.engine.cores import usable_cores
from service.errors import QueueFull, TooLarge
from service.imaging import decode, prepare
from service.package import Preprocessing


class Decoder:
    """Turns image files into graph inputs, as many at a time as there are cores for this process."""

    def __init__(self, config: Config) -> None:
        self._config = config
        cores = max(1, usable_cores() // config.workers)
        self._pool = ThreadPoolExecutor(cores, thread_name_prefix="decode")
        self._waiting = 0

    async def __call__(self, data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        """The image in ``data`` as the graph wants it, (H, W) or (H, W, 3).

        Raises:
            InvalidImage, TooLarge: as `service.imaging.decode`.
            QueueFull: as many images wait as rows may.
        """
        if len(data) > self._config.max_request_bytes:
            raise TooLarge(f"the image has {len(data)} bytes; at most {self._config.max_request_bytes} are taken")
        if self._waiting >= self._config.max_queue_rows:
            raise QueueFull(f"{self._waiting} images wait to be decoded; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._decode, data, preprocessing)
        finally:
            self._waiting -= 1

    def _decode(self, data: bytes, preprocessing: Preprocessing) -> NDArray[np.uint8]:
        return prepare(decode(data, self._config.max_image_pixels), preprocessing)
