"""Checks that a segmenter's graph answers with what its card says; the card alone cannot."""

from collections.abc import Mapping

from service.engine.tensors import Tensor
from service.errors import InternalError
from service.tasks.mask_model import MaskModel

# Above 1: a mean of many probabilities, added up in half precision.
_ROUNDING = 0.01


def check_answer(model: MaskModel, images: Tensor, outputs: Mapping[str, Tensor]) -> None:
    """Check what the graph gave for ``images``, (N, H, W) or (N, H, W, 3), as far as it was asked for.

    Raises:
        InternalError: a mask or its probabilities are of another size, or have a class that the card has not; areas
            are not those of the image; or a mean probability is not one.
    """
    names, shape = model.classes, images.shape[:3]
    for name in (names.mask, names.probability):
        if name in outputs and outputs[name].shape != shape:
            sizes = (f"{each[2]}x{each[1]}" for each in (outputs[name].shape, shape))
            raise InternalError("model {!r} gave a {} of {} for an image of {}".format(model.name, name, *sizes))
    if names.mask in outputs:
        _check_classes(model, outputs[names.mask])
    if names.area in outputs:
        _check_areas(model, outputs[names.area], shape[1] * shape[2])
    if names.confidence in outputs:
        _check_confidence(model, outputs[names.confidence])


def _check_classes(model: MaskModel, mask: Tensor) -> None:
    most = len(model.classes.palette) - 1
    if (found := int(mask.max(initial=0))) > most:
        raise InternalError(f"model {model.name!r} gave a pixel the class {found}; its card has 0 to {most}")


def _check_areas(model: MaskModel, areas: Tensor, pixels: int) -> None:
    for area in areas:
        if area.min() < 0 or area.sum() != pixels:
            raise InternalError(
                f"model {model.name!r} gave areas from {area.min()} to {area.max()} that are {area.sum()} pixels "
                f"together; the image has {pixels}"
            )


def _check_confidence(model: MaskModel, confidence: Tensor) -> None:
    means = confidence.astype("f8")
    wrong = means[(means < 0) | (means > 1 + _ROUNDING)]
    if len(wrong):
        raise InternalError(f"model {model.name!r} gave the mean probability {wrong[0]:g}; 0 to 1 are possible")
