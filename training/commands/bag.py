"""`lectorium bag`."""

from pathlib import Path

import click

from service.config import load_config
from training.commands.frame import FOLDER, plain_errors
from training.commands.recipe_options import recipe_options


@click.command()
@recipe_options
@click.option("--members", type=click.IntRange(2), default=5, show_default=True)
@click.option("--output", type=FOLDER, default=Path("runs"), show_default=True, help="Folder of the runs' folders.")
def bag(recipe: str, members: int, changes: tuple[str, ...], data: Path | None, output: Path) -> None:
    """Train RECIPE several times, each on examples drawn with replacement.

    If it was killed, the same command resumes it. Exporting all the runs together makes one package, which answers
    with the members' mean.
    """
    with plain_errors():
        from training.recipe import load_classifier
        from training.search.bagging import bag as train_members

        settings = load_classifier(recipe, changes, data)
        runs = []
        for member in train_members(settings, members, output, load_config().data):
            click.echo(member)
            runs.append(str(member.run))
        click.echo(f"next: lectorium export {' '.join(runs)} --name {settings.name}-bag")
