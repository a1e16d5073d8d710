"""`lectorium train`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, plain_errors


@click.command()
@click.argument("recipe")
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value, as in epochs=3.")
@click.option("--output", type=FOLDER, help="Folder of the run. [default: runs/<name of the recipe>]")
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
