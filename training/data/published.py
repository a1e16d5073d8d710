"""Data sets that their authors publish as files with a checksum."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from service.package import Preprocessing
from training.data.files import Published, read_file
from training.data.idx import parse_idx
from training.data.image_archive import parse_images
from training.data.source import Shape, preprocessing
from training.data.split import Split
from training.errors import DataError

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True)
class PublishedSource(ABC):
    """A `Source` of the images as published, read from ``<folder>/<name>/``, where missing files are downloaded to.

    ``files`` maps the name of each file, without its compression, to the sha256 of its decompressed content: the
    compressed bytes may differ from mirror to mirror.
    """

    name: str
    title: str
    licence: str
    homepage: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]
    labels: tuple[str, ...]
    shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    folder: Path | None = None

    suffix: ClassVar[str]
    contents: ClassVar[str]
    fit: ClassVar[Literal["crop", "pad"]]

    @abstractmethod
    def training(self) -> Split:
        """The official training examples."""

    @abstractmethod
    def test(self) -> Split:
        """The official test examples."""

    def validation(self) -> Split | None:
        """None: these data sets have no official validation split."""
        return None

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Fits images to the published size."""
        return preprocessing(self.shape, tensor, self.fit)

    def read(self, name: str) -> bytes:
        """The decompressed, verified content of the published file ``name``.

        Raises:
            DataError: it cannot be obtained, or has another checksum.
        """
        file = Published(self.name, self.title, self.mirrors, name, self.suffix, self.contents, self.files[name])
        return read_file(file, self.folder)

    def checked(self, split: Split, name: str) -> Split:
        """``split``, if its images have the ``shape`` of the data set.

        Raises:
            DataError: they have another shape; the message begins with the file's ``name``.
        """
        channels, height, width = self.shape
        wanted = (height, width) if channels == 1 else (height, width, channels)
        if split.images.shape[1:] != wanted:
            raise DataError(f"{name}: its images are {split.images.shape[1:]}; {self.title} has {wanted}")
        return split


class IdxSource(PublishedSource):
    """Grey images in MNIST's four idx files."""

    suffix = ".gz"
    contents = "an idx file"
    fit = "pad"  # the images are on black, so black borders look the same

    def training(self) -> Split:  # noqa: D102
        return self._split(TRAIN)

    def test(self) -> Split:  # noqa: D102
        return self._split(TEST)

    def _split(self, names: tuple[str, str]) -> Split:
        images, labels = (parse_idx(self.read(name), f"{name}{self.suffix}") for name in names)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{names[0]} is {images.shape} and {names[1]} is {labels.shape}: not images and their labels"
            )
        if labels.size and labels.max() >= len(self.labels):
            raise DataError(f"{names[1]}: label {labels.max()}; {self.title} has {len(self.labels)} classes")
        # A copy, because torch needs a writable array.
        return self.checked(Split(images.copy(), labels.astype(np.int64)), names[0])


class ArchiveSource(PublishedSource):
    """Colour images in one tar archive per split, ``train.tar`` and ``test.tar``, with a folder per class."""

    suffix = ".xz"
    contents = "a tar archive of <split>/<class>/<number>.jpg"
    fit = "crop"  # photographs have no borders in training, so none are added

    def training(self) -> Split:  # noqa: D102
        return self._split("train.tar")

    def test(self) -> Split:  # noqa: D102
        return self._split("test.tar")

    def _split(self, name: str) -> Split:
        return self.checked(parse_images(self.read(name), self.labels, name), name)
