"""The image files to classify, and the models for it, each in a repository of its own."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from shutil import copytree
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image

from deploy.bench.graphs import HALF, random_weights
from deploy.bench.lenet import ZOO
from deploy.bench.subject import Array
from deploy.bench.table import Target, at_least, at_most
from service.errors import InvalidPackage
from service.package import read_package
from training.classification.package import write_package
from training.classification.weights_file import Weights, from_weights
from training.export.how import How

FOLDER = Path("build/bench/tasks")
HTTP, RAW, GRPC = "/v1/classify", "/v1/classify, raw body", "Vision/Classify"
RESNET18, CLASSES = "resnet18", 1000
OCTAVES = 7


class PictureFile(NamedTuple):
    """An image ``file`` for ``model``, the only one in ``repository``.

    ``targets`` are for the requests per second relative to a plain app's, ``alone`` for one caller's p50 relative to
    the plain app's. ``small`` means that the request's own cost is measured, not the model's; ``slow`` means that the
    model answers only few requests per second.
    """

    title: str
    repository: Path
    model: str
    file: bytes
    media_type: str
    targets: Mapping[str, Target]
    alone: Mapping[str, Target] = MappingProxyType({})
    small: bool = False
    slow: bool = False

    @property
    def package(self) -> Path:
        """The model's only version."""
        (version,) = (self.repository / self.model).iterdir()
        return version


def pictures() -> Iterator[PictureFile]:
    """A small PNG for LeNet-5, and a JPEG of a photograph's size for a small network and one of ImageNet's size."""
    photograph = encoded(noise(480, 640), "JPEG")
    digit = encoded(noise(28, 28)[..., 0], "PNG")
    targets = {HTTP: at_least(1.2), RAW: at_least(1.5)}
    small = PictureFile("LeNet-5, PNG of 28x28", alone("lenet5"), "lenet5", digit, "image/png", targets)
    yield small._replace(alone={HTTP: at_most(1.1), RAW: at_most(0.9)}, small=True)
    for title, model in (("ResNet-20", "cifar10-resnet20"), ("ResNet-18 at 224", RESNET18)):
        repository = alone(model) if model != RESNET18 else resnet18()
        targets = {HTTP: at_least(1.5), GRPC: at_least(1.5)}
        picture = PictureFile(f"{title}, JPEG of 640x480", repository, model, photograph, "image/jpeg", targets)
        yield picture._replace(slow=model == RESNET18)


def alone(model: str) -> Path:
    """A repository with only this model of the zoo."""
    repository = FOLDER / model
    if not repository.exists():
        copytree(ZOO / model, repository / model)
    return repository


def resnet18() -> Path:
    """A repository with a classifier of 1,000 classes with random weights, as `lectorium export` writes it."""
    repository = FOLDER / RESNET18
    try:
        read_package(repository / RESNET18 / "1")
    except InvalidPackage:
        FOLDER.mkdir(parents=True, exist_ok=True)
        file = FOLDER / f"{RESNET18}.pt"
        torch.save(random_weights(RESNET18).state_dict(), file)
        labels = tuple(f"class {number}" for number in range(CLASSES))
        subject = from_weights(Weights(RESNET18, file, labels, RESNET18, HALF, HALF), None, None, unmeasured=True)
        write_package(subject, repository, how=How("float32", False, False), version=1, replace=True)
    return repository


def noise(height: int, width: int) -> Array:
    """An image (H, W, 3) with detail of every size, like a photograph, so that its JPEG is about as large."""
    draw = np.random.default_rng(0)
    total = np.zeros((height, width, 3))
    for octave in range(OCTAVES):
        side = 2 << octave
        coarse = Image.fromarray(draw.integers(0, 256, (side, side, 3), "u1"))
        total += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), "f4") / (octave + 1)
    low, high = total.min(), total.max()
    pixels: Array = ((total - low) / (high - low) * 255).astype("u1")
    return pixels


def encoded(pixels: Array, kind: str) -> bytes:
    """The image file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
