"""Draws good and bad masks of a segmentation network: of validation images, those it gets most and least right.

python -m training.pages.masks camvid-context

An image that may not be redistributed is left out: its row has only its masks.
"""

from collections.abc import Sequence
from pathlib import Path

import click
import numpy as np
from PIL import Image, ImageColor

from service.config import load_config
from training.commands.frame import FOLDER, ZOO, plain_errors
from training.data import Bytes, MaskSource, MaskSplit, find_masks
from training.data.masks import IGNORE
from training.evaluation import named_source, open_package
from training.segmentation.evaluate import ask
from training.segmentation.metrics import confusion, mean_iou

COUNT = 2  # images of either kind
BETWEEN = 4  # white pixels
COLOURS = 128  # enough for small photographs, in a third of the bytes


def draw(examples: MaskSplit, predicted: Bytes, source: MaskSource, path: Path, count: int = COUNT) -> list[float]:
    """Draw the ``count`` best and the ``count`` worst ``predicted`` masks (N, H, W), a row each, as the PNG ``path``.

    ``examples`` are of ``source``. A row has the image, if it may be redistributed, its mask, black where it says
    nothing, and the predicted one. Returns each row's mean IoU.
    """
    palette = source.palette
    counts = confusion(examples.masks, predicted, len(palette))
    scores = np.array([mean_iou(each) for each in counts])
    order = np.argsort(-scores, kind="stable")
    chosen = [*order[:count], *order[len(order) - count :]]
    rows = []
    for row in chosen:
        image = [_colour(examples.images[row])] if source.shareable else []
        rows.append(_beside([*image, _paint(examples.masks[row], palette), _paint(predicted[row], palette)]))
    picture = Image.fromarray(np.concatenate([_with_space(row, 0) for row in rows])[:-BETWEEN])
    picture.quantize(COLOURS).save(path, "PNG", optimize=True)
    return [float(scores[row]) for row in chosen]


def _colour(image: Bytes) -> Bytes:
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, 2)


def _paint(mask: Bytes, palette: Sequence[str]) -> Bytes:
    """The colours (H, W, 3) of the classes in ``mask``, black for none."""
    colours = np.zeros((IGNORE + 1, 3), np.uint8)
    colours[: len(palette)] = [ImageColor.getrgb(colour) for colour in palette]
    painted: Bytes = colours[mask]
    return painted


def _beside(pictures: Sequence[Bytes]) -> Bytes:
    return np.concatenate([_with_space(each, 1) for each in pictures], 1)[:, :-BETWEEN]


def _with_space(picture: Bytes, axis: int) -> Bytes:
    """``picture`` (H, W, 3) with white pixels below it (0) or to its right (1)."""
    space = [(0, BETWEEN if side == axis else 0) for side in range(3)]
    return np.pad(picture, space, constant_values=255)


@click.command()
@click.argument("name")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="[default: beside this page]")
def main(name: str, repository: Path, picture: Path | None) -> None:
    """Draw good and bad masks of the segmenter NAME, and write PICTURE."""
    picture = picture or Path(__file__).parent / f"masks-{name}.png"
    with plain_errors():
        package = open_package(repository, name, None)
        source, _ = named_source(package, lambda dataset: find_masks(dataset, load_config().data))
        examples = source.validation()
        scores = draw(examples, ask(repository, package, examples.images), source, picture)
    without = "" if source.shareable else f"; masks only, because the licence of {source.title} is {source.licence}"
    click.echo(f"{picture}: mean IoU {', '.join(f'{score:.3f}' for score in scores)}{without}")


if __name__ == "__main__":
    main()
