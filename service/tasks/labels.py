"""A classifier's labels: how many are answered, and which."""

from typing import Any

from numpy.typing import NDArray

from service.engine import Model
from service.errors import InvalidArgument
from service.package import ClassifyCard, TextClassifyCard
from service.tasks.classification import Label


def checked_top_k(card: ClassifyCard | TextClassifyCard, came: int | None) -> int:
    """How many labels are answered: so many as came, or the card's default.

    Raises:
        InvalidArgument: the model does not take so many, or so few.
    """
    allowed = card.parameters.top_k
    if came is None:
        return allowed.default
    if not allowed.minimum <= came <= allowed.maximum:
        raise InvalidArgument(f"top_k is {came}; model {card.name!r} allows {allowed.minimum} to {allowed.maximum}")
    return came


def most_probable(model: Model, probabilities: NDArray[Any], count: int) -> list[Label]:
    """So many labels of ``model`` by their ``probabilities``, (classes,), the most probable first."""
    names = model.package.labels
    top = (-probabilities).argsort(kind="stable")[:count]
    # Python's numbers at once: taking numpy's out one by one is several times as slow.
    pairs = zip(top.tolist(), probabilities[top].tolist(), strict=True)
    return [Label(label=names[i], index=i, probability=probability) for i, probability in pairs]
