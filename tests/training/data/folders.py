"""Folders of small images by class."""

from pathlib import Path

import numpy as np

from tests.training.tiny import encoded


def write(path: Path, level: int = 0) -> None:
    """An 8x8 image that no other level gives, with noise so that it is a picture and not a plain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(level).integers(0, 256, (8, 8), np.uint8)
    path.write_bytes(encoded(pixels))


def make_splits(root: Path, **counts: int) -> Path:
    """``<root>/<split>/<a, b or c>/<number>.png``, so many of each class."""
    level = 0
    for split, count in counts.items():
        for label in "abc":
            (root / split / label).mkdir(parents=True)
            for number in range(count):
                write(root / split / label / f"{number}.png", level)
                level += 1
    return root
