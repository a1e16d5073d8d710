"""The interfaces of data sets: of any, of any with images, of images by class, and of images with what is in them."""

from collections.abc import Mapping
from typing import Literal, Protocol, TypeVar

from service.package import Preprocessing
from training.data.split import Split
from training.errors import DataError

Shape = tuple[int, int, int]
Part = Literal["training", "validation", "test"]
S_co = TypeVar("S_co", covariant=True)


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


class ImageSource(Origin, Protocol[S_co]):
    """A data set of images in uint8, prepared for a network of input ``shape`` (C, H, W), in splits of type ``S_co``.

    ``mean`` and ``std`` are the training pixels', scaled to 0..1, one for each channel. Every method that reads raises
    `DataError` if a file cannot be obtained or does not hold what it should.
    """

    @property
    def title(self) -> str:
        """Its name for people."""

    @property
    def shape(self) -> Shape:
        """Channels, height and width of the images."""

    @property
    def mean(self) -> tuple[float, ...]:
        """The mean of the training pixels."""

    @property
    def std(self) -> tuple[float, ...]:
        """The standard deviation of the training pixels."""

    def training(self) -> S_co:
        """The examples to train on."""

    def test(self) -> S_co:
        """The test examples: only for `evaluate` and cards, never to choose weights or settings."""

    def preprocessing(self, tensor: str) -> Preprocessing:
        """How any image becomes the input ``tensor``, as the training images did."""


class Source(ImageSource[Split], Protocol):
    """A data set of images by class."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes' names; a label in a `Split` is an index into them."""

    def validation(self) -> Split | None:
        """The examples that the data set itself holds out for validation; None if `split` must choose them."""


class DescribedSource(ImageSource[S_co], Protocol[S_co]):
    """A data set of images with what is in each, in words or pixel by pixel, and official splits."""

    @property
    def mirrored(self) -> bool:
        """Whether what is said of an image still holds for the mirrored one; false if it names left or right."""

    @property
    def shareable(self) -> bool:
        """Whether an image may be redistributed, as in a package's golden example or on a page."""

    def validation(self) -> S_co:
        """The examples to validate on."""


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
