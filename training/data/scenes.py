"""Scenes of real digits on a canvas, drawn by number, with what is where and a caption."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from random import Random

import numpy as np
import numpy.typing as npt

from training.data.scene_grammar import SIDE, describe, digits_to_look_at, named_digits
from training.data.split import Bytes, Split
from training.errors import DataError

COUNT_WEIGHTS = (2, 4, 4, 3)  # of scenes with one digit to four
MAX_GROUPS = 3
SCALES = (0.7, 1.25)  # of a digit of MNIST, which is 20 pixels high
MAX_OVERLAP = 0.15  # of two boxes, as a share of the smaller
JITTER = 4.0  # pixels, of the digits in a row or in a column
ATTEMPTS = 60  # to place the same digits
INK = 64  # level from which a pixel is the digit's
CLUTTER = 7  # one more than the most pieces of other digits
CLUTTER_SIDES = (5, 8)
CLUTTER_LEVELS = (0.25, 0.6)  # of the ink they are cut from

Box = tuple[int, int, int, int]
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scene:
    """A picture, and all that is known of it.

    ``image`` is (64, 64) of grey and ``instances`` (64, 64) the place in ``digits`` of the digit that a pixel shows,
    from 1, with 0 for the background, which clutter is part of. ``boxes`` are left, top, right and bottom of each
    digit, in pixels, right and bottom excluded; where digits cross, the brighter one is seen.
    """

    image: Bytes
    instances: Bytes
    digits: tuple[int, ...]
    boxes: tuple[Box, ...]
    words: tuple[str, ...]

    @property
    def caption(self) -> str:
        """The words, separated by a space."""
        return " ".join(self.words)

    @property
    def mask(self) -> Bytes:
        """Of each pixel (64, 64): 0 for the background, a digit's value + 1."""
        return np.array([0, *(digit + 1 for digit in self.digits)], np.uint8)[self.instances]

    @property
    def named(self) -> tuple[tuple[int, ...], ...]:
        """For each word the places in ``digits`` that it names: all sevens for "sevens", none for "above"."""
        return tuple(self.places(digit) for digit in named_digits(self.words))

    @property
    def looks(self) -> tuple[tuple[int, ...], ...]:
        """For each word the places in ``digits`` to look at, as `digits_to_look_at` has it."""
        return tuple(self.places(digit) for digit in digits_to_look_at(self.words))

    def places(self, digit: int | None) -> tuple[int, ...]:
        """Where in ``digits`` the ``digit`` is."""
        return tuple(place for place, found in enumerate(self.digits) if found == digit)

    def region(self, places: Sequence[int]) -> npt.NDArray[np.bool_]:
        """The pixels (64, 64) in the boxes of the digits at ``places``."""
        inside = np.zeros((SIDE, SIDE), np.bool_)
        for left, top, right, bottom in (self.boxes[place] for place in places):
            inside[top:bottom, left:right] = True
        return inside

    def cover(self, places: Sequence[int], height: int, width: int) -> npt.NDArray[np.float64]:
        """(height, width): the share of each cell of a grid that lies in a box of the digits at ``places``."""
        cells = self.region(places).reshape(height, SIDE // height, width, SIDE // width)
        share: npt.NDArray[np.float64] = cells.mean((1, 3))
        return share


class Scenes(Sequence[Scene]):
    """``count`` scenes of the ``digits``, images (N, 28, 28) with their values.

    A scene is a function of ``digits``, ``key`` and its number alone.

    Raises:
        DataError: a value has no image.
    """

    def __init__(self, digits: Split, key: str, count: int) -> None:
        self._images, self._key, self._count = digits.images, key, count
        self._rows = [np.flatnonzero(digits.labels == digit).tolist() for digit in range(10)]
        if missing := [digit for digit, rows in enumerate(self._rows) if not rows]:
            raise DataError(f"scenes of {len(digits)} digits: there is no {missing[0]} among them")

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Scene]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Scene:  # type: ignore[override]
        if not 0 <= index < self._count:
            raise IndexError(f"scene {index} of {self._count}")
        # Only its random() and what is made of that: no version of Python may change these.
        random = Random(f"{self._key} {index}")
        placed = None
        while placed is None:
            digits = _choose_digits(random)
            patches = [self._patch(digit, random) for digit in digits]
            placed = _place(digits, [patch.shape for patch in patches], random)
        boxes, words = placed
        image = self._clutter(random)
        return Scene(image, _paste(patches, boxes, image), digits, boxes, words)

    def _patch(self, digit: int, random: Random) -> Bytes:
        """The ink of one image of ``digit``, scaled."""
        rows = self._rows[digit]
        row = rows[int(random.random() * len(rows))]
        left, top, right, bottom = self._bounds[row]
        ink = self._images[row, top:bottom, left:right]
        scale = random.uniform(*SCALES)
        height, width = (max(2, round(side * scale)) for side in ink.shape)
        scaled = _weights(ink.shape[0], height) @ ink @ _weights(ink.shape[1], width).T
        return (scaled + 0.5).astype(np.uint8)

    @cached_property
    def _bounds(self) -> list[list[int]]:
        """Left, top, right and bottom of the ink in every image."""
        sides = []
        for axis in (1, 2):
            ink = self._images.max(axis) > 0  # (N, W) and (N, H)
            sides += [ink.argmax(1), ink.shape[1] - ink[:, ::-1].argmax(1)]
        left, right, top, bottom = sides
        bounds: list[list[int]] = np.stack([left, top, right, bottom], 1).tolist()
        return bounds

    def _clutter(self, random: Random) -> Bytes:
        """A canvas with pieces of other digits, darker than a digit."""
        canvas = np.zeros((SIDE, SIDE), np.uint8)
        for _ in range(int(random.random() * CLUTTER)):
            side = round(random.uniform(*CLUTTER_SIDES))
            image = self._images[int(random.random() * len(self._images))]
            y, x = (int(random.uniform(4, 25 - side)) for _ in "yx")  # the middle, where there is ink
            level = random.uniform(*CLUTTER_LEVELS)
            bottom, right = (int(random.uniform(side, SIDE + 1)) for _ in "yx")
            canvas[bottom - side : bottom, right - side : right] = image[y : y + side, x : x + side] * level
        return canvas


def _choose_digits(random: Random) -> tuple[int, ...]:
    """One value to three, one digit to four in all."""
    (count,) = random.choices(range(1, len(COUNT_WEIGHTS) + 1), COUNT_WEIGHTS)
    values: list[int] = []
    groups = 1 + int(random.random() * min(count, MAX_GROUPS))
    while len(values) < groups:
        value = int(random.random() * 10)
        values += [value] * (value not in values)
    return (*values, *random.choices(values, k=count - groups))


def _place(
    digits: tuple[int, ...], sizes: Sequence[tuple[int, ...]], random: Random
) -> tuple[tuple[Box, ...], tuple[str, ...]] | None:
    """Boxes of digits of ``sizes`` (height, width) that can be read and described, and the words; None: not found."""
    for _ in range(ATTEMPTS):
        boxes = _throw(sizes, random)
        if any(_overlap(*pair) > MAX_OVERLAP for pair in combinations(boxes, 2)):
            continue
        words = describe(digits, [((left + right) / 2, (top + bottom) / 2) for left, top, right, bottom in boxes])
        if words is not None:
            return boxes, words
    return None


def _throw(sizes: Sequence[tuple[int, ...]], random: Random) -> tuple[Box, ...]:
    """Boxes anywhere, or near to one row, or near to one column: by chance alone these would be rare."""
    line, near = int(random.random() * 3), random.uniform(10, SIDE - 10)
    boxes = []
    for height, width in sizes:
        x, y = (near + random.uniform(-JITTER, JITTER) if line == axis else None for axis in (1, 2))
        left, top = _start(x, width, random), _start(y, height, random)
        boxes.append((left, top, left + width, top + height))
    return tuple(boxes)


def _start(centre: float | None, size: int, random: Random) -> int:
    if centre is None:
        return int(random.random() * (SIDE - size + 1))
    return min(max(round(centre - size / 2), 0), SIDE - size)


def _overlap(one: Box, other: Box) -> float:
    """The common part of two boxes as a share of the smaller."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))


def _paste(patches: Sequence[Bytes], boxes: Sequence[Box], image: Bytes) -> Bytes:
    """Draw the digits on ``image``; which one each pixel shows, from 1."""
    instances, drawn = np.zeros_like(image), np.zeros_like(image)
    for number, (patch, (left, top, right, bottom)) in enumerate(zip(patches, boxes, strict=True), 1):
        place = slice(top, bottom), slice(left, right)
        instances[place][(patch >= INK) & (patch > drawn[place])] = number
        np.maximum(drawn[place], patch, out=drawn[place])
    np.maximum(image, drawn, out=image)
    return instances


@lru_cache(maxsize=2048)
def _weights(size: int, scaled: int) -> Weights:
    """(scaled, size): how much each pixel gives to each pixel of the scaled line, by a triangle filter."""
    scale = size / scaled
    centres = (np.arange(scaled) + 0.5) * scale - 0.5
    weights = np.maximum(0, 1 - np.abs(np.arange(size) - centres[:, None]) / max(scale, 1.0))
    normalised: Weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    return normalised
