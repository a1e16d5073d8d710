"""The options of a request for what a classifier locates, checked against its card."""

from collections.abc import Sequence
from typing import NamedTuple

from service.errors import InvalidArgument
from service.masks.activation import SHARE
from service.package import ClassifyCard, Output
from service.tasks.labels import found_label
from service.tasks.refusal import refusal
from service.tasks.segmentation import CAM, SegmentAsk

# The mask, and its parts with their boxes.
DEFAULT_OUTPUTS: tuple[Output, ...] = ("statistics", "mask", "instances")


class LocateOptions(NamedTuple):
    """The options of the method ``cam``.

    Attributes:
        label: the index of the class to locate; None for the most probable one.
        share: of the largest value of its class activation map, from which a pixel belongs to it.
    """

    label: int | None
    share: float

    @classmethod
    def of(cls, card: ClassifyCard, labels: Sequence[str], ask: SegmentAsk) -> "LocateOptions":
        """The options in ``ask`` for a classifier with class activation maps.

        Raises:
            InvalidArgument: an option is not allowed.
        """
        if ask.method not in ("", CAM):
            raise refusal(card.name, "method", ask.method, [CAM])
        if isinstance(ask, SegmentAsk) and (ask.tile or ask.overlap is not None):
            raise InvalidArgument(f"tile or overlap was given; model {card.name!r} allows neither, with method {CAM!r}")
        if ask.threshold is not None and not 0 < ask.threshold <= 1:
            raise InvalidArgument(f"threshold is {ask.threshold:.15g}; more than 0 and at most 1 are allowed")
        label = found_label(card.name, "label", ask.label, labels) if ask.label else None
        return cls(label, SHARE if ask.threshold is None else ask.threshold)


def refuse_locating(model: str, ask: SegmentAsk) -> None:
    """Refuse the options of the method ``cam`` for a segmenter.

    Raises:
        InvalidArgument: there is one.
    """
    if ask.method == CAM:
        raise InvalidArgument(
            f"method is {CAM!r}; it is for classifiers with class activation maps, and model {model!r} is a segmenter: "
            "name such a classifier as the model"
        )
    if ask.method:
        raise refusal(model, "method", ask.method, [])
    for option in ("label", "threshold"):
        if getattr(ask, option) not in ("", None):
            raise InvalidArgument(f"{option} was given; it is allowed with method {CAM!r} only")
