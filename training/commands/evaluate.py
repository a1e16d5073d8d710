"""`lectorium evaluate`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, ZOO, plain_errors


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--repository", type=FOLDER, default=ZOO, show_default=True, help="Where packages live.")
def evaluate(name: str, version: int | None, repository: Path) -> None:
    """Measure the package NAME on the test split.

    It is served by the engine as for a caller; another accuracy than the card's is an error.
    """
    with plain_errors():
        from training.evaluate import evaluate as evaluate_package

        done = evaluate_package(repository, name, version, load_config().data)
        click.echo(f"{done.card.name}/{done.card.version} on the {done.card.provenance.dataset.name} test split")
        for metric, value in done.metrics.items():
            click.echo(f"  {metric:14} {value:.4f}   card {done.card.provenance.metrics[metric]:.4f}")
        done.check()
