"""`lectorium find-rate`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import plain_errors
from training.commands.recipe_options import recipe_options

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("find-rate")
@recipe_options
@click.option("--lowest", type=float, default=1e-6, show_default=True, help="The rate of the first step.")
@click.option("--highest", type=float, default=1.0, show_default=True, help="The rate of the last one.")
@click.option("--steps", type=int, default=100, show_default=True)
@click.option("--part", default="", help="The part of a network that is trained in parts, such as a generator.")
@click.option("--output", type=FILE, help="The picture. [default: runs/<name of the recipe>[-<part>]-rate.png]")
def find_rate(
    recipe: str,
    changes: tuple[str, ...],
    data: Path | None,
    lowest: float,
    highest: float,
    steps: int,
    part: str,
    output: Path | None,
) -> None:
    """Train RECIPE for some steps at rising learning rates, and suggest the rate at which the loss falls fastest.

    The picture shows the loss over the rate.
    """
    with plain_errors():
        from models.registry import find
        from training.recipe import load_recipe
        from training.search.rate_finder import draw
        from training.search.rate_finder import find_rate as rise

        settings = load_recipe(recipe, changes, data)
        curve = rise(settings, load_config().data, lowest=lowest, highest=highest, steps=steps, part=part)
        optimiser = settings.descent(part).optimiser
        picture = output or Path("runs") / f"{'-'.join(filter(None, (settings.name, part)))}-rate.png"
        picture.parent.mkdir(parents=True, exist_ok=True)
        draw(curve, f"{find(settings.model).title}, {optimiser.name}", picture)
        click.echo(f"{picture}: {len(curve.losses)} of {steps} steps, up to a rate of {curve.rates[-1]:.2g}")
        key = f"parts.{part}.optimiser" if part else "optimiser"
        has = optimiser.learning_rate
        click.echo(f"suggested: --set {key}.learning_rate={curve.suggestion:.2g}; the recipe has {has:.2g}")
