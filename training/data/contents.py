"""Files by their content: a test split where there is none, and images that lie where they should not."""

import hashlib
from collections.abc import Iterator, Sequence
from itertools import chain

from training.data.class_folders import ImageFile
from training.errors import DataError

SHARE = 0.15
SALT = b"lectorium test split\n"

Contents = tuple[tuple[ImageFile, str], ...]


def choose_test(files: Contents, labels: Sequence[str]) -> tuple[Contents, Contents]:
    """``files``, each with its content's sha256, as (training, test): about `SHARE` of each class is test.

    A file's content alone decides, by a seeded hash: neither a name nor a seed of a run has a say, a file stays on
    its side when others are added, and copies of an image lie on one side. Only where that would leave a class
    without test or training images does the nearest one change sides.

    Raises:
        DataError: a class has fewer than two images that differ.
    """
    places: list[dict[str, float]] = [{} for _ in labels]
    for file, content in files:
        places[file.label][content] = _place(content)
    chosen = [_chosen(place, label) for place, label in zip(places, labels, strict=True)]
    test = tuple(pair for pair in files if pair[1] in chosen[pair[0].label])
    return tuple(pair for pair in files if pair[1] not in chosen[pair[0].label]), test


def _place(content: str) -> float:
    """Of a content among all there could be, from 0 to 1."""
    return int.from_bytes(hashlib.sha256(SALT + content.encode()).digest()[:8], "big") / (1 << 64)


def _chosen(places: dict[str, float], label: str) -> set[str]:
    """The contents of one class that are test: one at the least, and not all."""
    if len(places) < 2:
        raise DataError(f"class {label!r} has {len(places)} image; two that differ are wanted, one to test with")
    ordered = sorted(places, key=places.__getitem__)
    below = sum(place < SHARE for place in places.values())
    return set(ordered[: min(max(below, 1), len(ordered) - 1)])


def describe_repeats(training: Contents, validation: Contents, test: Contents) -> Iterator[str]:
    """Warnings: images to be measured on that are also trained on, and images of more than one class."""
    learnt = {content for _, content in training}
    for name, split in (("validation", validation), ("test", test)):
        if repeated := sum(content in learnt for _, content in split):
            yield f"{repeated} of {len(split)} {name} images are also training images: the {name} accuracy flatters"
    classes: dict[str, set[int]] = {}
    for file, content in chain(training, validation, test):
        classes.setdefault(content, set()).add(file.label)
    if torn := sum(len(labels) > 1 for labels in classes.values()):
        yield f"{torn} images lie in more than one class"
