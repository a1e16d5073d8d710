"""Data sets of images with masks that are published as one archive with a checksum."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from service.package import Preprocessing
from training.data.files import Published, read_file
from training.data.image_archive import parse_masked_images
from training.data.masks import IGNORE, MaskSplit
from training.data.source import Part, Shape, preprocessing
from training.errors import DataError


@dataclass(frozen=True)
class PublishedMasks(ABC):
    """A `MaskSource`, read from ``<folder>/<name>/``.

    ``files`` has one file, the archive, without its compression, and the sha256 of its decompressed content. ``void``
    is the value in the published masks of pixels without a class.
    """

    name: str
    title: str
    licence: str
    homepage: str
    files: Mapping[str, str]
    labels: tuple[str, ...]
    palette: tuple[str, ...]
    shape: Shape
    mean: tuple[float, ...]
    std: tuple[float, ...]
    shareable: bool
    void: int | None = None
    background: int | None = None
    countable: tuple[int, ...] = ()
    folder: Path | None = None

    suffix: ClassVar[str]
    contents: ClassVar[str]
    mirrored: ClassVar[bool] = True

    @abstractmethod
    def split(self, part: Part) -> MaskSplit:
        """The examples of ``part``."""

    def training(self) -> MaskSplit:
        """The examples to train on."""
        return self.split("training")

    def validation(self) -> MaskSplit:
        """The examples to validate on."""
        return self.split("validation")

    def test(self) -> MaskSplit:
        """The test examples, for `evaluate` and cards."""
        return self.split("test")

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Stretches an image to the size of the published ones, so that no part of it is without a class."""
        return preprocessing(self.shape, tensor, "stretch")

    def read(self, images: str, masks: str) -> tuple[tuple[str, ...], MaskSplit]:
        """The names, images and masks in two folders of the archive, verified and checked.

        Raises:
            DataError: the archive cannot be obtained, has another checksum, or holds something else.
        """
        ((name, checksum),) = self.files.items()
        file = Published(self.name, self.title, (), name, self.suffix, self.contents, checksum)
        names, found = parse_masked_images(read_file(file, self.folder), images, masks, name)
        _, height, width = self.shape
        if found.masks.shape[1:] != (height, width):
            raise DataError(f"{name}: its images are {found.masks.shape[1:]}; {self.title} has {(height, width)}")
        return names, MaskSplit(found.images, self._classes(found, f"{name}: {masks}/"))

    def _classes(self, found: MaskSplit, where: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        """The masks with `IGNORE` for what has no class."""
        place = np.full(256, IGNORE, np.uint8)
        place[: len(self.labels)] = np.arange(len(self.labels))
        known = np.arange(256) < len(self.labels)
        if self.void is not None:
            known[self.void] = True
        if not known[found.masks].all():
            strange = int(found.masks[~known[found.masks]].max())
            void = "" if self.void is None else f" and {self.void} for none"
            raise DataError(f"{where} a pixel's class is {strange}; allowed are 0 to {len(self.labels) - 1}{void}")
        return place[found.masks]


class SplitFolders(PublishedMasks):
    """A tar archive with folders for each split, ``train`` and ``trainannot``, ``val``, ``test``: SegNet's layout."""

    suffix = ""
    contents = "a tar archive of {train,val,test}/<name>.webp and {train,val,test}annot/<name>.png"
    folders: ClassVar[Mapping[Part, str]] = {"training": "train", "validation": "val", "test": "test"}

    def split(self, part: Part) -> MaskSplit:
        """The official examples of ``part``."""
        folder = self.folders[part]
        return self.read(folder, f"{folder}annot")[1]


class HashedNames(PublishedMasks):
    """A tar archive of ``images/`` and ``masks/`` without official splits: a salted hash of a name decides."""

    suffix = ".xz"
    contents = "a tar archive of images/<name>.png and masks/<name>.png"
    test_share: ClassVar[float] = 0.15
    validation_share: ClassVar[float] = 0.15

    def split(self, part: Part) -> MaskSplit:
        """The examples whose names belong to ``part``: about 15 % are test, 15 % validation."""
        names, found = self._whole
        return found[np.array([row for row, name in enumerate(names) if self.part(name) == part], np.intp)]

    def part(self, name: str) -> Part:
        """The split of the image ``name``."""
        digest = hashlib.sha256(f"lectorium {self.name} {name}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / (1 << 64)  # evenly distributed in 0..1
        if place < self.test_share:
            return "test"
        return "validation" if place < self.test_share + self.validation_share else "training"

    @cached_property
    def _whole(self) -> tuple[tuple[str, ...], MaskSplit]:
        return self.read("images", "masks")
