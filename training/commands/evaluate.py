"""`lectorium evaluate`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, ZOO, plain_errors


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--data", help="A folder of images by class, or a published set's name. [default: what its card names]")
def evaluate(name: str, version: int | None, repository: Path, data: str | None) -> None:
    """Measure the package NAME on the test split.

    It is served by the engine as for a caller; another accuracy or calibration error than the card's is an error.
    """
    with plain_errors():
        from training.classification.evaluate import evaluate as evaluate_package

        done = evaluate_package(repository, name, version, load_config().data, data)
        click.echo(
            f"{done.card.name}/{done.card.version} on the {done.dataset} test split, {done.images:,} images; "
            f"{done.size:,} bytes"
        )
        for metric, value in done.metrics.items():
            said = (done.said or {}).get(metric)
            click.echo(f"  {metric:16} {value:.4f}" + ("" if said is None else f"   card {said:.4f}"))
        done.check()
