"""The interface of every data set, and of those of images by class."""

from collections.abc import Mapping
from typing import Literal, Protocol

from service.package import Preprocessing
from training.data.split import Split
from training.errors import DataError

Shape = tuple[int, int, int]


class Origin(Protocol):
    """What a card says about a data set of any kind."""

    @property
    def name(self) -> str:
        """Its name on a card."""

    @property
    def licence(self) -> str:
        """The licence that its source states."""

    @property
    def homepage(self) -> str:
        """The address it comes from."""

    @property
    def files(self) -> Mapping[str, str]:
        """The name of each file that was read and the sha256 of its content."""


class Source(Origin, Protocol):
    """A data set of images in uint8, prepared for a network of input ``shape`` (C, H, W).

    ``files`` maps the name of each file that was read to the sha256 of its content. ``mean`` and ``std`` are the
    training pixels', scaled to 0..1, one for each channel. Every method that reads raises `DataError` if a file cannot
    be obtained or does not hold what it should.
    """

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names; a label in a `Split` is an index into them."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images."""

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels."""

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of the training pixels."""

    def training(self) -> Split:
        """The examples to train on."""

    def validation(self) -> Split | None:
        """The examples that the data set itself holds out for validation; None if `split` must choose them."""

    def test(self) -> Split:
        """The test examples: only for `evaluate` and cards, never to choose weights or settings."""

    def preprocessing(self, tensor: str) -> Preprocessing:
        """How any image becomes the input ``tensor``, as the training images did."""


def preprocessing(shape: Shape, tensor: str, fit: Literal["stretch", "crop", "pad"]) -> Preprocessing:
    """The preprocessing on a card, for images of ``shape`` (C, H, W).

    Raises:
        DataError: the number of channels is neither 1 nor 3.
    """
    channels, height, width = shape
    if channels not in (1, 3):
        raise DataError(f"channels is {channels}; grey images have 1 and colour images 3")
    return Preprocessing(
        tensor=tensor, colour="grey" if channels == 1 else "rgb", height=height, width=width, fit=fit, background=0
    )
