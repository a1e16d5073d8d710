"""`lectorium evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.config import load_config
from service.package import CARD
from training.commands.frame import FOLDER, ZOO, plain_errors

if TYPE_CHECKING:
    from training.evaluation import Evaluation


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--data", help="A folder of images by class, or a published set's name. [default: what its card names]")
def evaluate(name: str, version: int | None, repository: Path, data: str | None) -> None:
    """Measure the package NAME on the test split.

    It is measured through the serving engine; metrics that differ from the card's are an error.
    """
    with plain_errors():
        done = _evaluate(repository, name, version, data)
        click.echo(
            f"{done.card.name}/{done.card.version} on the {done.dataset} test split, {done.count:,} examples; "
            f"{done.size:,} bytes"
        )
        for metric, value in done.metrics.items():
            said = (done.said or {}).get(metric)
            click.echo(f"  {metric:16} {value:.4f}" + ("" if said is None else f"   card {said:.4f}"))
        done.check()


def _evaluate(repository: Path, name: str, version: int | None, data: str | None) -> "Evaluation":
    from service.package import CaptionCard, TextClassifyCard
    from service.package.folder import read_card
    from training.packages import find_version

    files = load_config().data
    version = find_version(repository, name, version)
    card = read_card(repository / name / str(version) / CARD)
    if data is not None and isinstance(card, CaptionCard | TextClassifyCard):
        raise click.UsageError(f"{name} is measured on the data set that its card names; leave out --data")
    match card:
        case CaptionCard():
            from training.captioning.evaluate import evaluate as evaluate_captioner

            return evaluate_captioner(repository, name, version, files)
        case TextClassifyCard():
            from training.language.evaluate import evaluate as evaluate_recogniser

            return evaluate_recogniser(repository, name, version)
    from training.classification.evaluate import evaluate as evaluate_classifier

    return evaluate_classifier(repository, name, version, files, data)
