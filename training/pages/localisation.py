"""Measures how well a classifier's class activation maps find the digit of a scene, though no box was ever shown to it.

python -m training.pages.localisation single-digits-resnet14

The share of the map's maximum that counts as the digit is chosen on validation scenes, and measured once on test
scenes, each with its own digits.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import numpy.typing as npt

from service.config import load_config
from service.masks.activation import SHARE, strong
from service.masks.components import connected
from service.package import Package
from training.classification.evaluate import prepare_all
from training.commands.frame import FOLDER, ZOO, plain_errors
from training.data.catalogue import find_source
from training.data.scene_grammar import SIDE
from training.data.scenes import Box, Scenes
from training.data.single_digits import SingleDigits
from training.errors import EvaluationError
from training.evaluation import open_package, serving

SHARES = tuple(round(0.05 * step, 2) for step in range(1, 19))
ROWS = 256
GOOD = 0.5  # the least overlap at which a box counts as found

Maps = npt.NDArray[np.float32]


class Localisation(NamedTuple):
    """How the boxes overlap the digits' own: the mean intersection over union, and the share of at least `GOOD`."""

    mean_iou: float
    found: float


def overlap(one: Box, other: Box) -> float:
    """The intersection over union of two boxes, each left, top, right and bottom."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((right - left) * (bottom - top) for left, top, right, bottom in (one, other))
    return width * height / (areas - width * height)


def localise(activation: Maps, share: float) -> Box | None:
    """The box of the largest part of the map, (h, w), that is at least ``share`` of its maximum; None if there is none.

    In pixels of a scene.
    """
    found = connected(strong(activation, SIDE, SIDE, share))
    for left, top, width, height in found.boxes[found.largest(1)].tolist():
        return left, top, left + width, top + height
    return None


def measure(maps: Maps, boxes: Sequence[Box], share: float) -> Localisation:
    """The boxes of ``maps``, (N, h, w), compared with the digits' ``boxes``."""
    each = [
        0.0 if found is None else overlap(found, box)
        for found, box in zip((localise(activation, share) for activation in maps), boxes, strict=True)
    ]
    return Localisation(float(np.mean(each)), float(np.mean(np.array(each) >= GOOD)))


def best_share(maps: Maps, boxes: Sequence[Box]) -> float:
    """The one of `SHARES` with the highest mean overlap."""
    return max(SHARES, key=lambda share: measure(maps, boxes, share).mean_iou)


async def ask(repository: Path, package: Package, scenes: Scenes) -> Maps:
    """The activation map, (N, h, w), of the class that the package finds most probable in each scene.

    Raises:
        EvaluationError: the package has no class activation maps.
    """
    card = package.classifier
    if card.explain.cam is None:
        raise EvaluationError(f"{card.name}/{card.version} has no class activation maps")
    outputs, found = [card.classes.tensor, card.explain.cam.tensor], []
    async with serving(repository, package) as engine:
        for start in range(0, len(scenes), ROWS):
            images = np.stack([scenes[row].image for row in range(start, min(start + ROWS, len(scenes)))])
            inputs = {card.preprocessing.tensor: prepare_all(images, card.preprocessing)}
            probabilities, maps = (await engine.infer(card.name, str(card.version), inputs, outputs)).outputs.values()
            found.append(maps[np.arange(len(maps)), probabilities.argmax(1)])
    return np.concatenate(found)


@click.command()
@click.argument("name")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
def main(name: str, repository: Path) -> None:
    """Measure how well the class activation maps of the classifier NAME find the digit of a scene."""
    with plain_errors():
        package = open_package(repository, name, None)
        source = find_source("single-digits", folder=load_config().data)
        assert isinstance(source, SingleDigits)
        found = {}
        for part in ("validation", "test"):
            scenes = source.scenes(part)
            maps = asyncio.run(ask(repository, package, scenes))
            found[part] = maps, [scene.boxes[0] for scene in scenes]
    share = best_share(*found["validation"])
    for given in (SHARE, share):
        mean_iou, good = measure(*found["test"], given)
        click.echo(
            f"share {given:g}: mean IoU {mean_iou:.3f}, IoU of {GOOD:g} or more in {good:.1%} of the test scenes"
        )


if __name__ == "__main__":
    main()
