"""Draws the best, the middle and the worst masks of a segmenter, the pictures of SEGMENTATION.md.

python -m training.pages.masks nuclei-unet

The images are validation images; of a data set whose images may not be redistributed, only the masks are drawn.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from service.config import load_config
from training.commands.frame import FOLDER, ZOO, plain_errors
from training.data import Bytes, MaskSource, find_masks
from training.data.masks import IGNORE
from training.evaluation import named_source, open_package
from training.packages import shrink
from training.segmentation.evaluate import ask
from training.segmentation.metrics import confusion, mean_iou

PAGES = Path(__file__).parent
SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)  # of the images are worse than the one that is drawn
INCHES = 1.5  # of an image
COLOURS = 128  # enough for photographs of this size
NOTHING = (0, 0, 0)  # the colour of pixels without a class


def ranked(masks: Bytes, predicted: Bytes, classes: int) -> list[tuple[int, float]]:
    """Some images from the best mask to the worst, as `SHARES` says: the number and the mean IoU of each."""
    scores = np.array([mean_iou(counts) for counts in confusion(masks, predicted, classes)])
    order = scores.argsort()
    numbers = [int(order[round(share * (len(order) - 1))]) for share in SHARES]
    return [(number, float(scores[number])) for number in numbers]


def coloured(mask: Bytes, palette: Sequence[str]) -> Bytes:
    """The mask (H, W) in the classes' colours, (H, W, 3)."""
    colours = np.full((IGNORE + 1, 3), NOTHING, np.uint8)
    colours[: len(palette)] = [tuple(bytes.fromhex(colour[1:])) for colour in palette]
    found: Bytes = colours[mask]
    return found


def draw(source: MaskSource, images: Bytes, masks: Bytes, predicted: Bytes, title: str, path: Path) -> None:
    """Draw a column for each ranked image: itself if it may be shown, its mask, and the mask that was ``predicted``."""
    chosen = ranked(masks, predicted, len(source.labels))
    rows: dict[str, npt.NDArray[Any]] = {"image": images} if source.shareable else {}
    rows |= {"true": masks, "predicted": predicted}
    height, width = masks.shape[1:]
    size = (INCHES * len(chosen), INCHES * height / width * len(rows) + 0.6)
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize="small")
    grid = figure.subplots(len(rows), len(chosen), squeeze=False)
    for line, (name, pictures) in zip(grid, rows.items(), strict=True):
        for axes, (number, score) in zip(line, chosen, strict=True):
            picture = pictures[number]
            axes.imshow(picture if name == "image" else coloured(picture, source.palette), cmap="gray")
            axes.set(xticks=[], yticks=[])
            if name == "predicted":
                axes.set_xlabel(f"IoU {score:.2f}", fontsize="x-small")
        line[0].set_ylabel(name, fontsize="x-small")
    figure.savefig(path, metadata={"Software": None})
    shrink(path, COLOURS)


@click.command()
@click.argument("name")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), help="[default: its name, beside the page]")
def main(name: str, repository: Path, picture: Path | None) -> None:
    """Draw masks of the segmenter NAME."""
    with plain_errors():
        package = open_package(repository, name, None)
        source, _ = named_source(package, lambda dataset: find_masks(dataset, load_config().data))
        examples = source.validation()
        predicted = ask(repository, package, examples.images)
        path = picture or PAGES / f"{name}.png"
        title = f"{package.segmenter.title}: validation images, from the best mask to the worst"
        draw(source, examples.images, examples.masks, predicted, title, path)
    click.echo(str(path))


if __name__ == "__main__":
    main()
