"""Tiny sets of 300 real digits, in the layouts and formats of real ones: tests need no download."""

import gzip
import hashlib
import io
import lzma
import struct
import tarfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from training.classification.recipe import ClassifierRecipe
from training.data import Bytes, Labels
from training.data.image_sets import SOURCES
from training.data.published import TEST, TRAIN, PublishedSource
from training.recipe import load_classifier

DIGITS = Path(__file__).parent.parent / "data" / "digits.npz"
TRAINING = 220
# One good epoch, which is kept as the best, and then steps far too large.
BEST_IS_FIRST = (
    "keep=best",
    "early_stopping.metric=validation_accuracy",
    "schedule={name='table', table=[[0, 1], [1, 10000]]}",
    "optimiser={name='sgd', learning_rate=0.01}",
)


@dataclass(frozen=True)
class Tiny:
    """A source and the data folder that holds its files, whose raw contents are ``files``."""

    source: PublishedSource
    folder: Path
    files: dict[str, bytes]


def digits() -> tuple[Bytes, Labels]:
    """300 images (300, 28, 28) of MNIST's test split, 30 of each class in turn, and their classes (300,)."""
    with np.load(DIGITS) as file:
        return file["images"], file["labels"].astype(np.int64)


def coloured() -> tuple[Bytes, Labels]:
    """The digits in colour, (300, 28, 28, 3): each in a colour of its own on another."""
    images, labels = digits()
    inks = np.random.default_rng(0).integers(0, 256, (len(images), 2, 1, 1, 3)) / 255
    white = images[..., None] / 255  # (300, 28, 28, 1)
    return (255 * (white * inks[:, 0] + (1 - white) * inks[:, 1])).astype(np.uint8), labels


def idx(array: Bytes) -> bytes:
    """The array as an idx file."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def make_tiny(folder: Path) -> Tiny:
    """Write ``<folder>/mnist/*.gz``: 220 digits to train on, 80 to test on."""
    images, labels = digits()
    classes = labels.astype(np.uint8)
    arrays = (images[:TRAINING], classes[:TRAINING], images[TRAINING:], classes[TRAINING:])
    files = {name: idx(array) for name, array in zip((*TRAIN, *TEST), arrays, strict=True)}
    (folder / "mnist").mkdir(parents=True)
    for name, content in files.items():
        (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Tiny(replace(SOURCES["mnist"], files=checksums, mirrors=(), folder=folder), folder, files)


def archive(images: Bytes, labels: Labels, classes: tuple[str, ...], split: str) -> bytes:
    """A tar of ``<split>/<class>/<number>.png``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            file = encoded(image)
            member = tarfile.TarInfo(f"{split}/{classes[label]}/{number:05}.png")
            member.size = len(file)
            tar.addfile(member, io.BytesIO(file))
    return buffer.getvalue()


def make_tiny_colour(folder: Path) -> Tiny:
    """Write ``<folder>/cifar10-jpeg/*.xz``: coloured digits under CIFAR's labels, in archives like its own."""
    source = SOURCES["cifar10-jpeg"]
    images, labels = coloured()
    images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="edge")  # (300, 32, 32, 3)
    parts = {"train": slice(TRAINING), "test": slice(TRAINING, None)}
    files = {f"{name}.tar": archive(images[part], labels[part], source.labels, name) for name, part in parts.items()}
    (folder / source.name).mkdir(parents=True)
    for name, content in files.items():
        (folder / source.name / f"{name}.xz").write_bytes(lzma.compress(content, preset=0))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Tiny(replace(source, files=checksums, folder=folder), folder, files)


def encoded(image: Bytes, format_: str = "PNG") -> bytes:
    """The image, (H, W) or (H, W, 3), as a file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format_)
    return buffer.getvalue()


def make_folder(folder: Path, *, per_class: int = 30, classes: int = 10, colour: bool = False) -> Path:
    """Write ``<folder>/<digit>/<number>.png``, for the first ``per_class`` of each of the first ``classes`` digits."""
    images, labels = coloured() if colour else digits()
    for label in range(classes):
        (folder / str(label)).mkdir(parents=True)
        for number, image in enumerate(images[labels == label][:per_class]):
            (folder / str(label) / f"{number:02}.png").write_bytes(encoded(image))
    return folder


def tiny_recipe(*changes: str, model: str = "softmax") -> ClassifierRecipe:
    """A shipped recipe, shrunk to a second of training on the tiny set."""
    small = ("epochs=3", "batch_size=32", "validation=40", "ema=0", "schedule.warmup=0", "temperature=false")
    return load_classifier(model, (*small, "gate.accuracy=0.5", "optimiser.learning_rate=0.01", *changes))
