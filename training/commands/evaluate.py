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
    from service.package.folder import read_card
    from training.errors import EvaluationError
    from training.packages import find_version
    from training.tasks import TASKS

    files = load_config().data
    version = find_version(repository, name, version)
    card = read_card(repository / name / str(version) / CARD)
    task = TASKS.get(card.task)
    if task is None:
        known = ", ".join(map(repr, TASKS))
        raise EvaluationError(f"{name}/{version}: its task is {card.task!r}; what can be evaluated is {known}")
    if data is not None and not task.measured_on_any:
        raise click.UsageError(f"{name} is measured on the data set that its card names; leave out --data")
    return task.evaluate(repository, name, version, files, data)
