"""Flickr8k: 8,000 photographs with five captions each (Hodosh, Young and Hockenmaier 2013)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from service.package import Preprocessing
from training.data.captions import CaptionSplit, normalise
from training.data.files import Published, read_file
from training.data.image_archive import parse_named_images
from training.data.source import Shape, preprocessing
from training.errors import DataError

IMAGES, TOKENS = "Flicker8k_Dataset.tar", "Flickr8k.token.txt"
TRAINING, VALIDATION, TEST = (f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test"))
CONTENTS = {
    IMAGES: "a tar archive of the photographs at 128x128, Flicker8k_Dataset/<name>.jpg",
    TOKENS: "lines of <name>.jpg#<number>, a tab and a caption",
    **dict.fromkeys((TRAINING, VALIDATION, TEST), "lines of <name>.jpg"),
}


@dataclass(frozen=True)
class Flickr8k:
    """A `CaptionSource`, read from ``<folder>/flickr8k/``: the official layout, with the photographs at 128x128.

    ``files`` maps the name of each file to the sha256 of its content.
    """

    files: Mapping[str, str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    folder: Path | None = None

    name: ClassVar[str] = "flickr8k"
    title: ClassVar[str] = "Flickr8k"
    licence: ClassVar[str] = "photographs belong to Flickr users; research use"
    homepage: ClassVar[str] = "https://hockenmaier.cs.illinois.edu/8k-pictures.html"
    shape: ClassVar[Shape] = (3, 128, 128)
    # Few of the captions name left or right.
    mirrored: ClassVar[bool] = True
    shareable: ClassVar[bool] = False

    def training(self) -> CaptionSplit:
        """The official 6,000 training images."""
        return self._split(TRAINING)

    def validation(self) -> CaptionSplit:
        """The official 1,000 development images."""
        return self._split(VALIDATION)

    def test(self) -> CaptionSplit:
        """The official 1,000 test images."""
        return self._split(TEST)

    def preprocessing(self, tensor: str) -> Preprocessing:
        """Crops to the centre of a photograph, at the size of the published ones."""
        return preprocessing(self.shape, tensor, "crop")

    def _split(self, name: str) -> CaptionSplit:
        names = parse_names(self._read(name), name)
        captions = parse_captions(self._read(TOKENS), TOKENS)
        if missing := [image for image in names if image not in captions]:
            raise DataError(f"{TOKENS}: {len(missing)} images of {name} have no caption, the first is {missing[0]}")
        images = parse_named_images(self._read(IMAGES), names, IMAGES)
        _, height, width = self.shape
        if images.shape[1:] != (height, width, 3):
            raise DataError(f"{IMAGES}: its images are {images.shape[1:]}; expected {(height, width, 3)}")
        return CaptionSplit(images, tuple(captions[image] for image in names))

    def _read(self, name: str) -> bytes:
        file = Published(self.name, self.title, (), name, "", CONTENTS[name], self.files[name])
        return read_file(file, self.folder)


def parse_names(content: bytes, name: str) -> tuple[str, ...]:
    """The file names in ``content``, one per line, each once.

    Raises:
        DataError: the content is not text, has no name, or has a name twice; the message begins with ``name``.
    """
    names = tuple(line.strip() for line in _text(content, name).split("\n") if line.strip())
    if not names or len(set(names)) < len(names):
        raise DataError(f"{name}: has {len(names)} file names, {len(set(names))} different; it needs some, each once")
    return names


def parse_captions(content: bytes, name: str) -> dict[str, tuple[str, ...]]:
    """The normalised captions of each file name, in the order of their numbers; captions without a word are left out.

    Some names belong to no image: the published captions include photographs that are not published.

    Raises:
        DataError: the content is not text, or a line is not <name>#<number>, a tab and a caption; the message has
            ``name`` and the line.
    """
    found: dict[str, list[tuple[int, str]]] = {}
    for number, line in enumerate(_text(content, name).split("\n"), 1):
        if not line.strip():
            continue
        key, tab, caption = line.partition("\t")
        image, _, place = key.rpartition("#")
        if not (tab and image and place.isascii() and place.isdecimal()):
            raise DataError(f"{name}, line {number}: {line[:80]!r} is not <name>#<number>, a tab and a caption")
        found.setdefault(image, []).append((int(place), normalise(caption)))
    captions = {image: tuple(text for _, text in sorted(numbered) if text) for image, numbered in found.items()}
    return {image: texts for image, texts in captions.items() if texts}


def _text(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{name}: is not text in UTF-8 ({error})") from error
