"""`lectorium train`."""

import json
from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, plain_errors


@click.command()
@click.argument("recipe", required=False)
@click.option("--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value, such as epochs=3.")
@click.option("--data", type=FOLDER, help="Train on this folder of images by class, and name the run after it.")
@click.option(
    "--weights", metavar="PATH", help="Start from the weights of a package's folder, a run's folder, or a file."
)
@click.option("--output", type=FOLDER, help="Folder of the run. [default: runs/<name of the recipe>]")
@click.option("--strict", is_flag=True, help="Stop if a sanity check fails.")
@click.option("--list", "listing", is_flag=True, help="List the shipped recipes.")
def train(
    recipe: str | None,
    changes: tuple[str, ...],
    data: Path | None,
    weights: str | None,
    output: Path | None,
    strict: bool,
    listing: bool,
) -> None:
    """Train RECIPE, a shipped one (lenet5) or a .toml file.

    If the run was killed, the same command resumes it.
    """
    with plain_errors():
        from training.fit import fit
        from training.recipe import load_recipe

        if listing:
            _list()
            return
        if recipe is None:
            raise click.UsageError("RECIPE is missing; --list names the shipped ones")
        start = [f"transfer.weights={json.dumps(weights)}"] if weights else []
        settings = load_recipe(recipe, (*start, *changes), data)
        run = output or Path("runs") / settings.name
        done = fit(settings, run, load_config().data, strict=strict, say=click.echo)
        last = done.history[-1]
        best = settings.headline.validation
        click.echo(f"{run}: {best.replace('_', ' ')} {last[best]:.4f} after {len(done.history)} epochs")
        click.echo(f"next: lectorium export {run}")


def _list() -> None:
    """Print a line per recipe: its name, the bounds of its metrics in validation, its model and its data set."""
    from models.registry import find
    from training.recipe import shipped

    for recipe in shipped():
        bounds = recipe.targets.items()
        target = ", ".join(f"{name.replace('_', '-')} {bound.sign} {bound.value:g}" for name, bound in bounds)
        start = f" from {recipe.transfer.weights}" if recipe.transfer else ""
        click.echo(f"{recipe.name:26} {target:54} {find(recipe.model).title} on {recipe.dataset}{start}")
