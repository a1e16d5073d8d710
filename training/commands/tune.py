"""`lectorium tune`."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from service.config import load_config
from training.commands.frame import FOLDER, plain_errors
from training.commands.recipe_options import recipe_options

if TYPE_CHECKING:
    from training.search.tune import Sampler

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@recipe_options
@click.option("--space", type=FILE, help="A .toml file: a recipe with ranges in place of values.")
@click.option(
    "--set-range", "ranges", multiple=True, metavar="KEY=RANGE", help="Search a key, such as 'batch_size=[32, 64]'."
)
@click.option("--sampler", type=click.Choice(["grid", "random", "tpe"]), default="tpe", show_default=True)
@click.option("--trials", type=click.IntRange(1), default=20, show_default=True, help="The number of trials in all.")
@click.option(
    "--metric",
    default="",
    help="Search by this column of the history, such as validation_loss. [default: the task's main metric]",
)
@click.option("--prune/--no-prune", default=True, show_default=True, help="End trials that are below the median.")
@click.option("--output", type=FOLDER, help="Folder of the search. [default: runs/<name of the recipe>-tune]")
def tune(
    recipe: str,
    changes: tuple[str, ...],
    data: Path | None,
    space: Path | None,
    ranges: tuple[str, ...],
    sampler: "Sampler",
    trials: int,
    metric: str,
    prune: bool,
    output: Path | None,
) -> None:
    """Search for the values of RECIPE that are best on the validation split.

    A range is {low = 1e-4, high = 0.1, log = true}, of whole numbers if both ends are whole, or a list of values.
    If the search was killed, the same command resumes it. The best recipe is best.toml, for `lectorium train`.
    """
    with plain_errors():
        from training.errors import RunError
        from training.recipe import load_recipe
        from training.search.space import load_space
        from training.search.trials import best
        from training.search.tune import BEST, Search, results
        from training.search.tune import tune as run_trials

        settings = load_recipe(recipe, changes, data)
        search = Search(settings, load_space(space, ranges), sampler, metric, prune)
        folder = output or Path("runs") / f"{settings.name}-tune"
        for result in run_trials(search, trials, folder, load_config().data):
            click.echo(result)
        winner = best(results(search, folder), search.judged)
        if winner is None:
            raise RunError(
                f"{folder}: none of {trials} trials is complete; {folder / 'trials.csv'} says how they ended"
            )
        click.echo(f"best: {winner}")
        click.echo(f"next: lectorium train {folder / BEST}")
