"""How much of an image each class has, and how sure the model is of it."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine.tensors import Tensor
from service.errors import InternalError
from service.package import Segmentation
from service.tasks.fitted_image import FittedImage
from service.tasks.mask_model import MaskModel
from service.tasks.segmentation import SegmentClass

Numbers = tuple[NDArray[np.int64], NDArray[np.float64]]


def outputs_needed(names: Segmentation, images: Sequence[FittedImage]) -> list[str]:
    """The outputs of the graph that the statistics of these images need."""
    graphs_own = [names.area, names.confidence] if any(image.unchanged for image in images) else []
    return graphs_own if all(image.unchanged for image in images) else [*graphs_own, names.mask, names.probability]


def described(
    model: MaskModel, image: FittedImage, outputs: Mapping[str, Tensor], *, statistics: bool
) -> list[SegmentClass]:
    """All classes of the model, with their ``statistics`` in this image if they are wanted.

    Args:
        model: the model.
        image: the image.
        outputs: of the graph for this image, without the batch dimension.
        statistics: whether they are wanted.

    Raises:
        InternalError: the graph gave a confidence that is not finite.
    """
    classes = model.classes
    found = [
        SegmentClass(label=label, index=index, colour=colour, background=index == classes.background)
        for index, (label, colour) in enumerate(zip(model.labels, classes.palette, strict=True))
    ]
    if statistics:
        pixels, confidence = _of_graph(classes, outputs) if image.unchanged else _counted(classes, image, outputs)
        if not np.isfinite(confidence).all():
            raise InternalError(f"model {model.name!r} gave a confidence that is not finite")
        for each, count, mean in zip(found, pixels.tolist(), confidence.tolist(), strict=True):
            each.pixels, each.share, each.confidence = count, count / image.pixels, mean
    return found


def _of_graph(names: Segmentation, outputs: Mapping[str, Tensor]) -> Numbers:
    return outputs[names.area].astype("i8", copy=False), outputs[names.confidence].astype("f8")


def _counted(names: Segmentation, image: FittedImage, outputs: Mapping[str, Tensor]) -> Numbers:
    """The pixels and the mean probability of each class over the mask at the image's size, without making that mask."""
    counts = image.counts().ravel()
    mask, size = outputs[names.mask].ravel(), len(names.palette)
    pixels = np.bincount(mask, counts, size)  # exact: fewer than 2^53
    sums = np.bincount(mask, counts * outputs[names.probability].ravel().astype("f8"), size)
    cropped = image.pixels - counts.sum()
    if cropped:
        assert names.background is not None  # nobody sees those; a segmenter's images are not cropped
        pixels[names.background] += cropped
    return pixels.astype("i8"), sums / pixels.clip(1)
