"""Data sets: where they come from, what they must be, and how they are split.

A data set is a folder ``<data>/<name>/`` of the files its source publishes, where ``<data>`` is what LECTORIUM_DATA
names, or ``./data``. A file that is already there is taken as it is; one that is not is downloaded. Either way its
content must have the published checksum.
"""

import gzip
import hashlib
import os
import sys
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.errors import DataError
from training.idx import parse_idx

DEFAULT_FOLDER = Path("data")
READ_ONLY = "set LECTORIUM_DATA to a folder that can be written to, or that has the file"

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Source:
    """A data set of idx files as its official hosts publish it.

    ``files`` maps the stem of each ``.gz`` file to the sha256 of its decompressed content (the compressed
    bytes may differ from mirror to mirror). ``mean`` and ``std`` are the training pixels', scaled to 0..1.
    """

    name: str
    title: str
    licence: str
    homepage: str
    mirrors: tuple[str, ...]
    files: Mapping[str, str]
    labels: tuple[str, ...]
    mean: float
    std: float


@dataclass(frozen=True)
class Split:
    """Images (N, H, W) in uint8 and their classes (N,) in uint8."""

    images: Bytes
    labels: Bytes

    def __len__(self) -> int:
        return len(self.labels)


TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

SOURCES: Mapping[str, Source] = {
    "mnist": Source(
        name="mnist",
        title="MNIST",
        licence="CC BY-SA 3.0",
        homepage="http://yann.lecun.com/exdb/mnist/",
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        files={
            TRAIN[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST[0]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST[1]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        labels=tuple("0123456789"),
        mean=0.1307,
        std=0.3081,
    ),
}


def find_source(name: str) -> Source:
    """The data set called ``name``.

    Raises:
        DataError: there is none; the message lists those there are.
    """
    if name not in SOURCES:
        raise DataError(f"no data set {name!r}; there are {', '.join(SOURCES)}")
    return SOURCES[name]


def load_training(source: Source, folder: Path | None, validation: int, seed: int) -> tuple[Split, Split]:
    """The official training examples, shuffled by ``seed`` and cut in two: (training, validation).

    Raises:
        DataError: as `load_split`, or ``validation`` leaves nothing to train on.
    """
    whole = load_split(source, folder, TRAIN)
    if not 0 < validation < len(whole):
        raise DataError(f"{source.title}: {validation} of {len(whole)} examples cannot be held out")
    order = np.random.default_rng(seed).permutation(len(whole))
    held, kept = np.sort(order[:validation]), np.sort(order[validation:])
    return Split(whole.images[kept], whole.labels[kept]), Split(whole.images[held], whole.labels[held])


def load_test(source: Source, folder: Path | None) -> Split:
    """The official test examples: for `evaluate`, and for nothing that chooses weights or settings."""
    return load_split(source, folder, TEST)


def load_split(source: Source, folder: Path | None, names: tuple[str, str]) -> Split:
    """The images and labels in the two files ``names`` of ``<folder>/<source.name>/``.

    Raises:
        DataError: a file cannot be had, has another checksum, is no idx file, or the two do not match.
    """
    images, labels = (parse_idx(read_file(source, folder, name), f"{name}.gz") for name in names)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
        raise DataError(f"{names[0]} is {images.shape} and {names[1]} is {labels.shape}: not images and their labels")
    if labels.size and labels.max() >= len(source.labels):
        raise DataError(f"{names[1]}: label {labels.max()}, {source.title} has {len(source.labels)} classes")
    return Split(images, labels)


def read_file(source: Source, folder: Path | None, name: str) -> bytes:
    """The decompressed, verified content of a data file, downloaded first where it is not there.

    Raises:
        DataError: no host has it, or its content has another checksum; a bad download leaves nothing behind.
    """
    path = (folder or DEFAULT_FOLDER) / source.name / f"{name}.gz"
    if not path.is_file():
        _download(source, name, path)
    return _verified(path, source.files[name], str(path))


def _download(source: Source, name: str, path: Path) -> None:
    """Fetch into a temporary folder beside ``path``; only a file of the right content moves to its place."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".download-") as temporary:
            fetched = _fetch(source, path.name, Path(temporary) / path.name)
            _verified(Path(temporary) / path.name, source.files[name], fetched)
            os.replace(Path(temporary) / path.name, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written ({error}); {READ_ONLY}") from error


def _fetch(source: Source, file: str, path: Path) -> str:
    """Download ``file`` from the first host that answers; return its address."""
    import pooch
    import requests

    failures = []
    for mirror in source.mirrors:
        print(f"{source.title}: {mirror}{file}", file=sys.stderr)
        try:
            pooch.HTTPDownloader(progressbar=True)(mirror + file, path, None)
        except requests.RequestException as error:
            failures.append(f"{mirror + file}: {error}")
        else:
            return mirror + file
    raise DataError(f"{file} could not be downloaded. " + "; ".join(failures))


def _verified(path: Path, wanted: str, name: str) -> bytes:
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{name}: not a whole gzip file ({error})") from error
    if (found := hashlib.sha256(content).hexdigest()) != wanted:
        raise DataError(f"{name}: the content has sha256 {found}, wanted {wanted}")
    return content
