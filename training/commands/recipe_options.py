"""How a command that trains is told what: a recipe, changes of it, another data set."""

from collections.abc import Callable
from typing import TypeVar

import click

from training.commands.frame import FOLDER

Command = TypeVar("Command", bound=Callable[..., object])


def recipe_options(command: Command) -> Command:
    """Give ``command`` the argument ``recipe`` and the options ``changes`` and ``data``, for `load_recipe`."""
    data = click.option("--data", type=FOLDER, help="Take this folder of images by class, and its name.")
    change = click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value, as in epochs=3."
    )
    return click.argument("recipe")(change(data(command)))
