"""A tiny MNIST of 300 real digits, in the layout and format of the real one: tests need no download."""

import gzip
import hashlib
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data import SOURCES, TEST, TRAIN, Bytes, Source
from training.recipe import Recipe, load_recipe

DIGITS = Path(__file__).parent.parent / "data" / "digits.npz"
TRAINING = 220


@dataclass(frozen=True)
class Tiny:
    """A source and the data folder that holds its files, whose raw contents are ``files``."""

    source: Source
    folder: Path
    files: dict[str, bytes]


def digits() -> tuple[Bytes, Bytes]:
    """300 images (300, 28, 28) of MNIST's test split, 30 of each class in turn, and their classes (300,)."""
    with np.load(DIGITS) as file:
        return file["images"], file["labels"]


def idx(array: Bytes) -> bytes:
    """The array as an idx file."""
    header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.tobytes()


def make_tiny(folder: Path) -> Tiny:
    """Write ``<folder>/mnist/*.gz``: 220 digits to train on, 80 to test on."""
    images, labels = digits()
    arrays = (images[:TRAINING], labels[:TRAINING], images[TRAINING:], labels[TRAINING:])
    files = {name: idx(array) for name, array in zip((*TRAIN, *TEST), arrays, strict=True)}
    (folder / "mnist").mkdir(parents=True)
    for name, content in files.items():
        (folder / "mnist" / f"{name}.gz").write_bytes(gzip.compress(content))
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return Tiny(replace(SOURCES["mnist"], files=checksums, mirrors=()), folder, files)


def tiny_recipe(*changes: str, model: str = "softmax") -> Recipe:
    """A shipped recipe, shrunk to a second of training on the tiny set."""
    small = ("epochs=3", "batch_size=32", "validation=40", "ema=0", "schedule.warmup=0", "gate.accuracy=0.5")
    return load_recipe(model, (*small, "optimiser.learning_rate=0.01", *changes))
