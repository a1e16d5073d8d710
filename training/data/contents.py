"""Decisions by files' content: a test split for a folder without one, and warnings of repeated images."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

from training.data.class_folders import ImageFile
from training.errors import DataError

SHARE = 0.15
SALT = b"lectorium test split\n"

Contents = tuple[tuple[ImageFile, str], ...]


def choose_test(files: Contents, labels: Sequence[str]) -> tuple[Contents, Contents]:
    """Divide ``files``, each with its content's sha256, into (training, test): about `SHARE` of each class is test.

    A salted hash of a file's content alone decides, not its name or a run's seed: a file keeps its split when others
    are added, and copies of an image are in the same split. Only if a class would have no test or no training images,
    the image nearest to the limit changes splits.

    Raises:
        DataError: a class has fewer than two different images.
    """
    places: list[dict[str, float]] = [{} for _ in labels]
    for file, content in files:
        places[file.label][content] = _place(content)
    chosen = [_chosen(place, label) for place, label in zip(places, labels, strict=True)]
    test = tuple(pair for pair in files if pair[1] in chosen[pair[0].label])
    return tuple(pair for pair in files if pair[1] not in chosen[pair[0].label]), test


def _place(content: str) -> float:
    """The hash of ``content`` as a number from 0 to 1, evenly distributed."""
    return int.from_bytes(hashlib.sha256(SALT + content.encode()).digest()[:8], "big") / (1 << 64)


def _chosen(places: dict[str, float], label: str) -> set[str]:
    """The contents of one class that are test: at least one, and not all."""
    if len(places) < 2:
        raise DataError(f"class {label!r} has {len(places)} image; it needs two different ones, one of them to test on")
    ordered = sorted(places, key=places.__getitem__)
    below = sum(place < SHARE for place in places.values())
    return set(ordered[: min(max(below, 1), len(ordered) - 1)])


def describe_repeats(training: Contents, validation: Contents, test: Contents) -> Iterator[str]:
    """Warnings: validation or test images that are also training images, and images of more than one class."""
    learnt = {content for _, content in training}
    for name, split in (("validation", validation), ("test", test)):
        if repeated := sum(content in learnt for _, content in split):
            yield f"{repeated} of {len(split)} {name} images are also training images: the {name} accuracy is too high"
    classes: dict[str, set[int]] = {}
    for file, content in chain(training, validation, test):
        classes.setdefault(content, set()).add(file.label)
    if torn := sum(len(labels) > 1 for labels in classes.values()):
        yield f"{torn} images are in more than one class"
