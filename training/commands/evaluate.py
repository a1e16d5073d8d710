"""`lectorium evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.config import load_config
from service.package import CARD
from training.commands.frame import FOLDER, ZOO, plain_errors

if TYPE_CHECKING:
    from training.captioning.evaluate import CaptionEvaluation
    from training.classification.evaluate import Evaluation


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--data", help="A folder of images by class, or a published set's name. [default: what its card names]")
def evaluate(name: str, version: int | None, repository: Path, data: str | None) -> None:
    """Measure the package NAME on the test split.

    It is served by the engine as for a caller; other metrics than the card's are an error.
    """
    with plain_errors():
        done = _evaluate(repository, name, version, data)
        click.echo(
            f"{done.card.name}/{done.card.version} on the {done.dataset} test split, {done.images:,} images; "
            f"{done.size:,} bytes"
        )
        for metric, value in done.metrics.items():
            said = (done.said or {}).get(metric)
            click.echo(f"  {metric:16} {value:.4f}" + ("" if said is None else f"   card {said:.4f}"))
        done.check()


def _evaluate(repository: Path, name: str, version: int | None, data: str | None) -> "CaptionEvaluation | Evaluation":
    from service.package import CaptionCard
    from service.package.folder import read_card
    from training.captioning.evaluate import evaluate as evaluate_captioner
    from training.classification.evaluate import evaluate as evaluate_classifier
    from training.packages import newest

    version = version or newest(repository, name)
    card = read_card(repository / name / str(version) / CARD)
    if not isinstance(card, CaptionCard):
        return evaluate_classifier(repository, name, version, load_config().data, data)
    if data is not None:
        raise click.UsageError("a captioner is measured on the set that its card names, without --data")
    return evaluate_captioner(repository, name, version, load_config().data)
