"""The labels of an answer: how many, and which."""

from typing import Any

from numpy.typing import NDArray

from service.engine import Model
from service.errors import InvalidArgument
from service.package import ClassifyCard, TextClassifyCard
from service.tasks.classification import Label


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


def most_probable(model: Model, probabilities: NDArray[Any], count: int) -> list[Label]:
    """The ``count`` most probable labels of ``model``, the most probable first; ``probabilities`` is (classes,)."""
    names = model.package.labels
    top = (-probabilities).argsort(kind="stable")[:count]
    # Converting all numbers at once is several times as quick as one by one.
    pairs = zip(top.tolist(), probabilities[top].tolist(), strict=True)
    return [Label(label=names[i], index=i, probability=probability) for i, probability in pairs]
