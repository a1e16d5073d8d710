"""A mask in the forms that a caller may ask for. Call it on decoder threads, not on the event loop."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.imaging import decode, flatten
from service.masks import polygons, rle
from service.masks.cells import Cells
from service.masks.components import connected
from service.tasks.fitted_image import FittedImage
from service.tasks.mask_model import MaskModel
from service.tasks.mask_statistics import described, outputs_needed
from service.tasks.png import indexed, indexed_png, png
from service.tasks.segment_options import SegmentOptions
from service.tasks.segmentation import (
    ClassInstances,
    ClassOutline,
    Instance,
    Polygon,
    Ring,
    RunLengthMask,
    Segmented,
)

# Objects of one class in an answer; the largest ones.
MOST_OBJECTS = 1000
# The limits of runs and of corners are for one image; a batch may have so many times as many.
_TOGETHER = 10

Mask = NDArray[np.uint8]


class MaskForms:
    """Makes the results of one request.

    Args:
        model: the model that answers.
        options: of the request.
        images: how many images it has.
        max_pixels: the most pixels of an image that may be decoded.
    """

    def __init__(self, model: MaskModel, options: SegmentOptions, images: int, max_pixels: int) -> None:
        self._model = model
        self._classes = model.classes
        self._labels = model.labels
        self._options = options
        self._max_pixels = max_pixels
        self._most_runs = min(rle.MOST_RUNS, _TOGETHER * rle.MOST_RUNS // images)
        self._most_corners = min(polygons.MOST_CORNERS, _TOGETHER * polygons.MOST_CORNERS // images)
        self._palette = [channel for colour in self._classes.palette for channel in ImageColor.getrgb(colour)]

    def outputs_needed(self, images: Sequence[FittedImage]) -> list[str]:
        """The outputs of the graph that the results of these images need."""
        counted = outputs_needed(self._classes, images) if "statistics" in self._options.outputs else []
        return list(dict.fromkeys([*counted, self._classes.mask])) if self._options.full_size else counted

    def result(self, data: bytes, image: FittedImage, outputs: Mapping[str, Tensor]) -> Segmented:
        """The result for the image in the file ``data``; ``outputs`` are the graph's, without the batch dimension.

        Raises:
            InvalidArgument: the mask is too much of a noise to be answered in a form that was requested.
            InternalError: the graph gave a confidence that is not finite.
        """
        statistics = "statistics" in self._options.outputs
        classes = described(self._model, image, outputs, statistics=statistics)
        forms: dict[str, Any] = {}
        if self._options.full_size:
            mask = np.asarray(outputs[self._classes.mask], "u1")
            forms = self._of_pixels(image, mask, data) | self._of_cells(image.cells(mask))
        return Segmented(height=image.height, width=image.width, classes=classes, **forms)

    def with_labels(self, labels: Sequence[str]) -> "MaskForms":
        """The same with other labels of the classes."""
        forms = copy(self)
        forms._model, forms._labels = self._model._replace(labels=labels), labels
        return forms

    def picture(self, mask: Mask) -> bytes:
        """The mask as a PNG file with the palette."""
        return indexed_png(mask, self._palette)

    def _of_pixels(self, image: FittedImage, mask: Mask, data: bytes) -> dict[str, Any]:
        """The forms that have every pixel of the image."""
        make: dict[str, Callable[[Mask], bytes]] = {
            "mask": self.picture,
            "overlay": partial(self._overlay, data=data),
            "indices": np.ndarray.tobytes,
        }
        wanted = [name for name in make if name in self._options.outputs]
        if not wanted:
            return {}
        whole = image.taken_back(mask)
        return {name: make[name](whole) for name in wanted}

    def _of_cells(self, cells: Cells) -> dict[str, Any]:
        """The other forms: they cost as much as the graph's mask has pixels, whatever the size of the image."""
        make: dict[str, Callable[[Cells], Any]] = {
            "rle": self._run_lengths,
            "polygons": self._outlines,
            "instances": self._instances,
        }
        return {name: form(cells) for name, form in make.items() if name in self._options.outputs}

    def _overlay(self, mask: Mask, data: bytes) -> bytes:
        """The image is decoded again: if it were kept, many callers that wait for the model would fill the memory."""
        as_rgb = self._model.preprocessing.model_copy(update={"colour": "rgb"})
        picture = flatten(decode(data, self._max_pixels), as_rgb)
        opacities = [round(self._options.opacity * 255)] * 256
        if self._classes.background is not None:
            opacities[self._classes.background] = 0
        colours = indexed(mask, self._palette).convert("RGB")
        return png(Image.composite(colours, picture, Image.fromarray(mask).point(opacities)))

    def _run_lengths(self, cells: Cells) -> list[RunLengthMask]:
        present = self._present(cells)
        encoded = rle.encode(cells.lines, present, self._most_runs, cells.rows)
        return [
            RunLengthMask(label=self._labels[index], index=index, size=[each.height, each.width], counts=each.text)
            for index, each in zip(present, encoded, strict=True)
        ]

    def _outlines(self, cells: Cells) -> list[ClassOutline]:
        left = self._most_corners
        columns, rows = cells.columns.tolist(), cells.rows.tolist()
        found = []
        for index in self._present(cells):
            if index == self._classes.background:
                continue
            try:
                outlines = polygons.outlines(cells.labels == index, left)
            except InvalidArgument as error:
                raise InvalidArgument(
                    f"the outlines of the image's classes have more than {self._most_corners} corners, the most that "
                    "are answered as polygons; the other outputs are allowed"
                ) from error
            left -= sum(len(ring) for polygon in outlines for ring in polygon)
            coordinates = [Polygon(rings=[_ring(ring, columns, rows) for ring in polygon]) for polygon in outlines]
            found.append(ClassOutline(label=self._labels[index], index=index, coordinates=coordinates))
        return found

    def _instances(self, cells: Cells) -> list[ClassInstances]:
        return [self._counted(cells, index) for index in self._classes.countable]

    def _counted(self, cells: Cells, index: int) -> ClassInstances:
        found = connected(cells.labels == index).enlarged(cells)
        largest = found.largest(MOST_OBJECTS)
        objects = [
            Instance(box=box, pixels=pixels)
            for box, pixels in zip(found.boxes[largest].tolist(), found.areas[largest].tolist(), strict=True)
        ]
        return ClassInstances(label=self._labels[index], index=index, count=len(found), objects=objects)

    def _present(self, cells: Cells) -> list[int]:
        """The classes of which there are pixels."""
        return np.flatnonzero(np.bincount(cells.labels.ravel(), minlength=len(self._labels))).tolist()


def _ring(corners: polygons.Ring, columns: list[int], rows: list[int]) -> Ring:
    return Ring(points=[place for x, y in corners for place in (columns[x], rows[y])])
