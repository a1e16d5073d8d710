"""Segments an image at its own resolution, in tiles of the size that the model was trained at."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from functools import partial
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.config import Config
from service.deadline import Deadline
from service.engine import Answer, Engine, Model, Options
from service.engine.tensors import Tensor
from service.errors import TooLarge
from service.masks.tiles import Tile, tiles
from service.package import Preprocessing
from service.tasks.answer import Timing
from service.tasks.caller import Caller
from service.tasks.fitted_image import FittedImage
from service.tasks.image_decoding import ImageDecoder
from service.tasks.mask_checks import check_answer
from service.tasks.mask_forms import MaskForms
from service.tasks.mask_model import MaskModel
from service.tasks.segment_options import SegmentOptions
from service.tasks.segmentation import Segmented, SegmentTile

# Of one image. With the smallest allowed overlap, 50 million pixels in tiles of 224x224 are a thousand.
MOST_TILES = 10_000
# Runs of full batches that an image may have in the queue, so that one is formed while another runs; and in rows.
_BATCHES_AHEAD = 2
_MOST_AHEAD = 32
# Images that are in memory at their own size at the same time; others wait as files.
_IMAGES_AT_ONCE = 4


class TiledResult(NamedTuple):
    """The result for an image, and how long the stages took."""

    result: Segmented
    timing: Timing


class SegmentTiles:
    """Segments images in tiles; one for the process, because all such images share its memory."""

    def __init__(self, engine: Engine, config: Config, decode: ImageDecoder) -> None:
        self._engine = engine
        self._config = config
        self._decode = decode
        self._room = asyncio.Semaphore(_IMAGES_AT_ONCE)

    async def results(
        self, model: Model, options: SegmentOptions, data: bytes, caller: Caller, *, each: bool
    ) -> AsyncGenerator[SegmentTile | TiledResult]:
        """Yield the mask of each tile, if ``each``, and then the result; wrap it in `contextlib.aclosing`.

        Raises:
            InvalidArgument: the mask is too much of a noise for the requested output.
            TooLarge: the image has too many tiles, or what is requested of it would be too large.
            InvalidImage, TooLarge, QueueFull, DeadlineExceeded: as `ImageDecoder`.
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
            InternalError: the graph does not answer with what the card says.
        """
        card = model.package.segmenter
        deadline = caller.deadline or Deadline.after(self._config.timeout_s)
        caller = caller._replace(deadline=deadline)
        async with self._in_memory(deadline):
            began = time.perf_counter()
            make = partial(FittedImage.whole, preprocessing=card.preprocessing)
            image = await self._decode.one(data, make, card.preprocessing, caller=caller)
            decoded = time.perf_counter()
            options.check_size([image.pixels])
            cut = _tiles(model.name, image, card.preprocessing, options.overlap or 0)
            forms = MaskForms(MaskModel.of(model), options, 1, self._config.max_image_pixels)
            joined = JoinedMask(image, MaskModel.of(model))
            queue_s = None
            async with aclosing(self._run(model, image, cut, deadline)) as answers:
                async for number, tile, answer in answers:
                    deadline.check()  # a caller that reads slowly would hold the room of other images
                    queue_s = answer.queue_s if queue_s is None else queue_s
                    part = joined.add(tile, answer.outputs)
                    if each:
                        (png,) = await self._decode.each([partial(forms.picture, part)], caller=caller)
                        yield _event(number, len(cut), tile, png)
            ran_s = time.perf_counter() - decoded - (queue_s or 0)
            (result,) = await self._decode.each([partial(forms.result, data, image, joined.outputs)], caller=caller)
        timing = Timing(queue_ms=(queue_s or 0) * 1e3, decode_ms=(decoded - began) * 1e3, compute_ms=ran_s * 1e3)
        yield TiledResult(result, timing)

    async def _run(
        self, model: Model, image: FittedImage, cut: list[Tile], deadline: Deadline
    ) -> AsyncGenerator[tuple[int, Tile, Answer]]:
        """Each tile with its number, from 1, and its answer, in order; some are in the queue at the same time.

        If one fails, or nobody waits any more, those in the queue are dropped.
        """
        classes, tensor = model.package.segmenter.segmentation, model.package.segmenter.preprocessing.tensor
        outputs, options = [classes.mask, classes.probability], Options(deadline=deadline)
        ahead = min(_BATCHES_AHEAD * max(model.max_batch, 1), _MOST_AHEAD)
        coming = iter(cut)
        waiting: deque[asyncio.Task[Answer]] = deque()
        try:
            for number, tile in enumerate(cut, 1):
                for later in islice(coming, ahead - len(waiting)):
                    row = np.ascontiguousarray(image.rows[:, later.rows.seen, later.columns.seen])
                    asked = self._engine.infer(model, None, {tensor: row}, outputs, options)
                    waiting.append(asyncio.create_task(asked))
                yield number, tile, await waiting.popleft()
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            waiting.clear()

    @asynccontextmanager
    async def _in_memory(self, deadline: Deadline) -> AsyncIterator[None]:
        """Wait until there is room for one more image at its own size."""
        deadline.check()
        try:
            async with asyncio.timeout(deadline.remaining_s):
                await self._room.acquire()
        except TimeoutError as error:
            raise deadline.exceeded() from error
        try:
            yield
        finally:
            self._room.release()


class JoinedMask:
    """The mask of an image, and the statistics of its classes, joined from tiles."""

    def __init__(self, image: FittedImage, model: MaskModel) -> None:
        self._model = model
        self._rows = image.rows
        self._names = model.classes
        self._size = len(model.classes.palette)
        self._mask = np.empty((image.height, image.width), np.uint8)
        self._pixels = np.zeros(self._size, np.int64)
        self._sums = np.zeros(self._size)

    def add(self, tile: Tile, outputs: Mapping[str, Tensor]) -> NDArray[np.uint8]:
        """Add what the tile answers for, and return the mask of that; ``outputs`` are the graph's for one row.

        Raises:
            InternalError: they are not what the model's card says.
        """
        check_answer(self._model, self._rows[:, tile.rows.seen, tile.columns.seen], outputs)
        inner = (0, tile.rows.inner, tile.columns.inner)
        part = np.asarray(outputs[self._names.mask][inner], "u1")
        probability = outputs[self._names.probability][inner].astype("f8")
        self._mask[tile.rows.kept, tile.columns.kept] = part
        self._pixels += np.bincount(part.ravel(), minlength=self._size)
        self._sums += np.bincount(part.ravel(), probability.ravel(), self._size)
        return part

    @property
    def outputs(self) -> dict[str, Tensor]:
        """What the graph would answer for the whole image, without the batch dimension."""
        means = self._sums / self._pixels.clip(1)
        return {self._names.mask: self._mask, self._names.area: self._pixels, self._names.confidence: means}


def _tiles(model: str, image: FittedImage, preprocessing: Preprocessing, overlap: int) -> list[Tile]:
    size = (preprocessing.height, preprocessing.width)
    found = tiles(image.height, image.width, size, overlap)
    if len(found) > MOST_TILES:
        raise TooLarge(
            f"the image has {image.width}x{image.height} pixels, which are {len(found)} tiles of {size[1]}x{size[0]} "
            f"with an overlap of {overlap}; model {model!r} allows at most {MOST_TILES} tiles"
        )
    return found


def _event(number: int, count: int, tile: Tile, png: bytes) -> SegmentTile:
    rows, columns = tile.rows, tile.columns
    return SegmentTile(
        number=number,
        tiles=count,
        left=columns.first,
        top=rows.first,
        width=columns.last - columns.first,
        height=rows.last - rows.first,
        mask=png,
    )
