"""Where a captioner looks for each word, as one picture: draws that of CAPTIONING.md.

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
INCHES = 1.4  # a word


def draw(image: Bytes, caption: Caption, path: Path) -> None:
    """Write the ``image``, (H, W) or (H, W, 3), under the attention of each word of ``caption`` into ``path``, as PNG.

    Raises:
        EvaluationError: the caption has no word, or came without attention.
    """
    words = caption.text.split()
    if caption.attention is None or not words:
        raise EvaluationError(f"{caption.text!r}: wanted a caption of one word or more, with attention")
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
    """Draw where the captioner NAME looks in IMAGE, and write PICTURE."""
    with plain_errors():
        package = open_package(repository, name, None)
        # What the network sees: of a photograph that is no square, a part.
        pixels = prepare(decode(image.read_bytes(), load_config().max_image_pixels), package.captioner.preprocessing)
        (caption,) = ask(repository, package, pixels[np.newaxis])
        draw(pixels, caption, picture)
    click.echo(f"{picture}: {caption.text}")


if __name__ == "__main__":
    main()
