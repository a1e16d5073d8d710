"""The labels of an answer: how many, and which."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from service.engine import Model
from service.errors import InvalidArgument
from service.package import ClassifyCard, TextClassifyCard
from service.tasks.classification import Label
from service.tasks.refusal import refusal

_MAX_DIGITS = 9
_LISTED = 20


def checked_top_k(card: ClassifyCard | TextClassifyCard, given: int | None) -> int:
    """How many labels to answer: ``given``, or the card's default.

    Raises:
        InvalidArgument: the card does not allow this number.
    """
    allowed = card.parameters.top_k
    if given is None:
        return allowed.default
    if not allowed.minimum <= given <= allowed.maximum:
        raise InvalidArgument(f"top_k is {given}; model {card.name!r} allows {allowed.minimum} to {allowed.maximum}")
    return given


def found_label(model: str, option: str, given: str, labels: Sequence[str]) -> int:
    """The index of the label ``given`` in an option, or the index that it is.

    Raises:
        InvalidArgument: the model has no such label.
    """
    if given in labels:
        return labels.index(given)
    if given.isascii() and given.isdigit() and len(given) <= _MAX_DIGITS and int(given) < len(labels):
        return int(given)
    raise refusal(model, option, given, [*labels[:_LISTED], f"0..{len(labels) - 1}"])


def most_probable(model: Model, probabilities: NDArray[Any], count: int) -> list[Label]:
    """The ``count`` most probable labels of ``model``, the most probable first; ``probabilities`` is (classes,)."""
    names = model.package.labels
    top = (-probabilities).argsort(kind="stable")[:count]
    # Converting all numbers at once is several times as quick as one by one.
    pairs = zip(top.tolist(), probabilities[top].tolist(), strict=True)
    return [Label(label=names[i], index=i, probability=probability) for i, probability in pairs]
