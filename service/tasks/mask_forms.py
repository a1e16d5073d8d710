"""A mask in the forms that a caller may ask for. Call it on decoder threads, not on the event loop."""

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor

from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.imaging import decode, flatten
from service.masks import polygons, rle
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
            mask = image.taken_back(np.asarray(outputs[self._classes.mask], "u1"))
            forms = {name: self._form(name, mask, data) for name in self._options.outputs if name != "statistics"}
        return Segmented(height=image.height, width=image.width, classes=classes, **forms)

    def with_labels(self, labels: Sequence[str]) -> "MaskForms":
        """The same with other labels of the classes."""
        forms = copy(self)
        forms._model, forms._labels = self._model._replace(labels=labels), labels
        return forms

    def picture(self, mask: Mask) -> bytes:
        """The mask as a PNG file with the palette."""
        return indexed_png(mask, self._palette)

    def _form(self, name: str, mask: Mask, data: bytes) -> Any:
        match name:
            case "mask":
                return self.picture(mask)
            case "overlay":
                return self._overlay(mask, data)
            case "indices":
                return mask.tobytes()
            case "rle":
                return self._run_lengths(mask)
            case "polygons":
                return self._outlines(mask)
            case "instances":
                return [self._instances(mask, index) for index in self._classes.countable]
        raise AssertionError(name)

    def _overlay(self, mask: Mask, data: bytes) -> bytes:
        """The image is decoded again: if it were kept, many callers that wait for the model would fill the memory."""
        as_rgb = self._model.preprocessing.model_copy(update={"colour": "rgb"})
        picture = flatten(decode(data, self._max_pixels), as_rgb)
        opacities = [round(self._options.opacity * 255)] * 256
        if self._classes.background is not None:
            opacities[self._classes.background] = 0
        colours = indexed(mask, self._palette).convert("RGB")
        return png(Image.composite(colours, picture, Image.fromarray(mask).point(opacities)))

    def _run_lengths(self, mask: Mask) -> list[RunLengthMask]:
        present = self._present(mask)
        encoded = rle.encode(mask, present, self._most_runs)
        return [
            RunLengthMask(label=self._labels[index], index=index, size=[each.height, each.width], counts=each.text)
            for index, each in zip(present, encoded, strict=True)
        ]

    def _outlines(self, mask: Mask) -> list[ClassOutline]:
        left = self._most_corners
        found = []
        for index in self._present(mask):
            if index == self._classes.background:
                continue
            try:
                outlines = polygons.outlines(mask == index, left)
            except InvalidArgument as error:
                raise InvalidArgument(
                    f"the outlines of the image's classes have more than {self._most_corners} corners, the most that "
                    "are answered as polygons; the other outputs are allowed"
                ) from error
            left -= sum(len(ring) for polygon in outlines for ring in polygon)
            coordinates = [Polygon(rings=[_ring(ring) for ring in polygon]) for polygon in outlines]
            found.append(ClassOutline(label=self._labels[index], index=index, coordinates=coordinates))
        return found

    def _instances(self, mask: Mask, index: int) -> ClassInstances:
        found = connected(mask == index)
        largest = found.largest(MOST_OBJECTS)
        objects = [
            Instance(box=box, pixels=pixels)
            for box, pixels in zip(found.boxes[largest].tolist(), found.areas[largest].tolist(), strict=True)
        ]
        return ClassInstances(label=self._labels[index], index=index, count=len(found), objects=objects)

    def _present(self, mask: Mask) -> list[int]:
        """The classes of which there are pixels."""
        return np.flatnonzero(np.bincount(mask.ravel(), minlength=len(self._labels))).tolist()


def _ring(corners: polygons.Ring) -> Ring:
    return Ring(points=[number for corner in corners for number in corner])
