"""`lectorium folds`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, plain_errors
from training.commands.recipe_options import recipe_options


@click.command()
@recipe_options
@click.option("--folds", "of", type=click.IntRange(2), default=5, show_default=True)
@click.option("--output", type=FOLDER, help="Folder of the runs. [default: runs/<name of the recipe>-folds]")
def folds(recipe: str, of: int, changes: tuple[str, ...], data: Path | None, output: Path | None) -> None:
    """Cross-validate RECIPE: train it once for each fold of the training split, and measure it on that fold.

    If it was killed, the same command resumes it.
    """
    with plain_errors():
        from training.recipe import load_classifier
        from training.search.folds import cross_validate, spread

        settings = load_classifier(recipe, changes, data)
        folder = output or Path("runs") / f"{settings.name}-folds"
        held = []
        for each in cross_validate(settings, of, folder, load_config().data):
            click.echo(each)
            held.append(each)
        for metric, found in spread(held).items():
            click.echo(f"{metric.replace('_', ' ')} {found} over {of} folds")
