"""Draws where a captioner looks for each word, the picture of CAPTIONING.md.

python -m training.pages.attention scenes-attention tests/data/scene.png
"""

import io
from pathlib import Path

import click
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from service.config import load_config
from service.imaging import decode, prepare
from service.tasks.picture import overlay
from training.captioning.evaluate import Caption, ask
from training.commands.frame import FOLDER, ZOO, plain_errors
from training.data import Bytes
from training.errors import EvaluationError
from training.evaluation import open_package

PICTURE = Path(__file__).parent / "attention.png"
INCHES = 1.4  # per word


def draw(image: Bytes, caption: Caption, path: Path) -> None:
    """Draw ``image``, (H, W) or (H, W, 3), with the attention of each word of ``caption``, as the PNG ``path``.

    Raises:
        EvaluationError: the caption has no word or no attention.
    """
    words = caption.text.split()
    if caption.attention is None or not words:
        raise EvaluationError(f"the caption is {caption.text!r}; it needs one word or more, and attention")
    figure = Figure(figsize=(INCHES * len(words), INCHES + 0.3), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, word, attention in zip(np.ravel(figure.subplots(1, len(words))), words, caption.attention, strict=True):
        axes.imshow(np.asarray(Image.open(io.BytesIO(overlay(image, attention)))))
        axes.set_title(word)
        axes.axis("off")
    figure.savefig(path, metadata={"Software": None})


@click.command()
@click.argument("name")
@click.argument("image", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--picture", type=click.Path(path_type=Path, dir_okay=False), default=PICTURE, show_default=True)
def main(name: str, image: Path, repository: Path, picture: Path) -> None:
    """Draw where the captioner NAME looks in IMAGE for each word, and write PICTURE."""
    with plain_errors():
        package = open_package(repository, name, None)
        # The network's input, which may be a part of the image.
        wanted = package.captioner.preprocessing
        pixels = prepare(decode(image.read_bytes(), load_config().max_image_pixels, wanted), wanted)
        (caption,) = ask(repository, package, pixels[np.newaxis])
        draw(pixels, caption, picture)
    click.echo(f"{picture}: {caption.text}")


if __name__ == "__main__":
    main()
