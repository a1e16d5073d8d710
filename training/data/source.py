"""What a data set says of itself, and reading it from the files that its source publishes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from training.data.files import Published, read_file
from training.data.idx import parse_idx
from training.data.image_archive import parse_images
from training.data.split import Split
from training.errors import DataError


@dataclass(frozen=True)
class Source(ABC):
    """A data set of images by class.

    ``files`` maps the name of each published file, without its compression, to the sha256 of its decompressed
    content (the compressed bytes may differ from mirror to mirror). ``mean`` and ``std`` are the training pixels',
    scaled to 0..1, one for each channel.
    """

    name: str
    title: str
    licence: str
    homepage: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @abstractmethod
    def training(self, folder: Path | None) -> Split:
        """The official training examples, from the files in ``<folder>/<name>/``.

        Raises:
            DataError: a file cannot be had, has another checksum, or does not hold what it should.
        """

    @abstractmethod
    def test(self, folder: Path | None) -> Split:
        """The official test examples: for `evaluate`, and for nothing that chooses weights or settings.

        Raises:
            DataError: as `training`.
        """

    def read(self, folder: Path | None, name: str, suffix: str) -> bytes:
        """The decompressed, verified content of the published file ``name + suffix``.

        Raises:
            DataError: it cannot be had, or has another checksum.
        """
        return read_file(Published(self.name, self.title, self.mirrors, name, suffix, self.files[name]), folder)


TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


class IdxSource(Source):
    """Grey images in MNIST's four idx files."""

    def training(self, folder: Path | None) -> Split:  # noqa: D102
        return self._split(folder, TRAIN)

    def test(self, folder: Path | None) -> Split:  # noqa: D102
        return self._split(folder, TEST)

    def _split(self, folder: Path | None, names: tuple[str, str]) -> Split:
        images, labels = (parse_idx(self.read(folder, name, ".gz"), f"{name}.gz") for name in names)
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise DataError(
                f"{names[0]} is {images.shape} and {names[1]} is {labels.shape}: not images and their labels"
            )
        if labels.size and labels.max() >= len(self.labels):
            raise DataError(f"{names[1]}: label {labels.max()}, {self.title} has {len(self.labels)} classes")
        return Split(images, labels)


class ArchiveSource(Source):
    """Colour images in a tar archive a split, ``train.tar`` and ``test.tar``, a folder a class."""

    def training(self, folder: Path | None) -> Split:  # noqa: D102
        return self._split(folder, "train.tar")

    def test(self, folder: Path | None) -> Split:  # noqa: D102
        return self._split(folder, "test.tar")

    def _split(self, folder: Path | None, name: str) -> Split:
        return parse_images(self.read(folder, name, ".xz"), self.labels, name)
