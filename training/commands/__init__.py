"""`lectorium train`, `lectorium export`, `lectorium evaluate`.

Everything heavy is imported inside the commands, so that `lectorium --help` needs none of it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from service.config import load_config
from service.errors import LectoriumError
from training.errors import TrainingError

INSTALL = "pip install 'lectorium[train]' (in a checkout: pip install -e '.[train]')"
ZOO = Path("models/zoo")

_Folder = click.Path(path_type=Path, file_okay=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what a person can put right into one line and exit status 1; a fault of ours keeps its trace."""
    try:
        yield
    except (TrainingError, LectoriumError) as error:
        raise click.ClickException(str(error)) from error
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise click.ClickException(f"training needs {library}, which is not installed: {INSTALL}") from error


@click.command()
@click.argument("recipe")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value, as in epochs=3.")
@click.option("--output", type=_Folder, help="Folder of the run. [default: runs/<name of the recipe>]")
def train(recipe: str, changes: tuple[str, ...], output: Path | None) -> None:
    """Train RECIPE, a shipped one (lenet5) or a .toml file.

    The same command goes on with a run that was killed.
    """
    with plain_errors():
        from training.fit import fit
        from training.recipe import load_recipe

        settings = load_recipe(recipe, changes)
        run = output or Path("runs") / settings.name
        done = fit(settings, run, load_config().data)
        last = done.history[-1]
        click.echo(f"{run}: validation accuracy {last['validation_accuracy']:.4f} after {len(done.history)} epochs")
        click.echo(f"next: lectorium export {run}")


@click.command()
@click.argument("run", type=_Folder)
@click.option("--repository", type=_Folder, default=ZOO, show_default=True, help="Where packages live.")
@click.option("--version", type=click.IntRange(1), help="[default: the next free one]")
@click.option("--replace", is_flag=True, help="Replace the version if it exists.")
def export(run: Path, repository: Path, version: int | None, replace: bool) -> None:
    """Write the package of a finished RUN.

    Refuses where the graph differs from torch, or the package misses the accuracy gate.
    """
    with plain_errors():
        from training.export import export as export_run

        package = export_run(run, repository, version=version, replace=replace, data=load_config().data)
        provenance = package.classifier.provenance
        click.echo(f"{package.folder}: test accuracy {provenance.metrics['accuracy']:.4f} through the serving engine")
        worst = max(provenance.parity.values())
        click.echo(f"parity {worst:.1e}, {provenance.parameters:,} parameters, {provenance.macs:,} MACs")


@click.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="[default: the newest]")
@click.option("--repository", type=_Folder, default=ZOO, show_default=True, help="Where packages live.")
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
