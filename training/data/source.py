"""What every data set of images by class says of itself, whatever it lies in."""

from collections.abc import Mapping
from typing import Literal, Protocol

from service.package import Preprocessing
from training.data.split import Split
from training.errors import DataError

Shape = tuple[int, int, int]


class Origin(Protocol):
    """What the card says of a data set, whatever it holds."""

    @property
    def name(self) -> str:
        """What the card calls it."""

    @property
    def licence(self) -> str:
        """As its source states it."""

    @property
    def homepage(self) -> str:
        """Where it comes from."""

    @property
    def files(self) -> Mapping[str, str]:
        """Name of each file that was read and the sha256 of its content."""


class Source(Origin, Protocol):
    """A data set whose images come as a network of input ``shape`` (C, H, W) takes them, in uint8.

    ``files`` maps the name of each file that was read to the sha256 of its content. ``mean`` and ``std`` are the
    training pixels', scaled to 0..1, one for each channel. Everything that reads raises `DataError` where a file
    cannot be had or does not hold what it should.
    """

    @property
    def title(self) -> str:
        """What a person calls it."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names; a label in a `Split` is an index into them."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images."""

    @property
    def mean(self) -> tuple[float, ...]:
        """Of the training pixels."""

    @property
    def std(self) -> tuple[float, ...]:
        """Of the training pixels."""

    def training(self) -> Split:
        """The examples to learn from."""

    def validation(self) -> Split | None:
        """The examples that the source itself holds out to choose by; None where it leaves that to `cut`."""

    def test(self) -> Split:
        """The test examples: for `evaluate`, and for nothing that chooses weights or settings."""

    def preprocessing(self, tensor: str) -> Preprocessing:
        """How any image becomes the input ``tensor``; the training images became theirs the same way."""


def preprocessing(shape: Shape, tensor: str, fit: Literal["stretch", "crop", "pad"]) -> Preprocessing:
    """The card's word for images of ``shape`` (C, H, W).

    Raises:
        DataError: images have one channel or three.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"images of {channels} channels; grey ones have 1 and colour ones 3")
    return Preprocessing(
        tensor=tensor, colour="grey" if channels == 1 else "rgb", height=height, width=width, fit=fit, background=0
    )
