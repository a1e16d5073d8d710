"""Prepares images for a network with the serving code, on all cores."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from math import prod
from typing import TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm  # type: ignore[import-untyped]

from service.engine.cores import usable_cores
from service.imaging import prepare
from service.package import Preprocessing
from training.data.split import Bytes
from training.errors import DataError

MAX_GIB = 8
CHUNK = 256  # images per task: handing a task to a thread costs as much as preparing one
AHEAD = 4  # tasks queued per thread, so that a million files are not all submitted at once

Task = TypeVar("Task")
Result = TypeVar("Result")


def room(rows: int, preprocessing: Preprocessing, name: str) -> Bytes:
    """An uninitialised array for ``rows`` prepared images: (N, H, W) for grey and (N, H, W, 3) for colour.

    Raises:
        DataError: it would take more than `MAX_GIB` of memory; the message begins with ``name``.
    """
    size = (preprocessing.height, preprocessing.width) + ((3,) if preprocessing.colour == "rgb" else ())
    if (taken := rows * prod(size)) > MAX_GIB << 30:
        raise DataError(
            f"{name}: {rows} images of {preprocessing.width}x{preprocessing.height} take {taken / (1 << 30):.1f} GiB"
            f" of memory; at most {MAX_GIB} are allowed: choose a model with a smaller input"
        )
    return np.empty((rows, *size), np.uint8)


def prepare_images(images: Bytes, preprocessing: Preprocessing, name: str = "images") -> Bytes:
    """``images``, (N, H, W) or (N, H, W, 3), each prepared by `service.imaging.prepare`.

    Raises:
        DataError: as `room`.
    """
    prepared = room(len(images), preprocessing, name)

    def chunk(start: int) -> None:
        for row in range(start, min(start + CHUNK, len(images))):
            prepared[row] = prepare(Image.fromarray(images[row]), preprocessing)

    for _ in each(chunk, range(0, len(images), CHUNK), name, CHUNK):
        pass
    return prepared


def each(work: Callable[[Task], Result], tasks: Sequence[Task], name: str, size: int = 1) -> Iterator[Result]:
    """The results of ``work`` on ``tasks``, in order; on a terminal with a bar that counts ``size`` images per task."""
    with ThreadPoolExecutor(usable_cores(), thread_name_prefix="prepare") as pool:
        results = _in_order(pool, work, tasks, AHEAD * usable_cores())
        yield from tqdm(results, desc=name, total=len(tasks), unit="image", unit_scale=size, leave=False, disable=None)


def _in_order(
    pool: ThreadPoolExecutor, work: Callable[[Task], Result], tasks: Iterable[Task], ahead: int
) -> Iterator[Result]:
    queue = iter(tasks)
    waiting: list[Future[Result]] = [pool.submit(work, task) for task in islice(queue, ahead)]
    while waiting:
        yield waiting.pop(0).result()
        waiting += [pool.submit(work, task) for task in islice(queue, 1)]
