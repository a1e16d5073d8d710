"""The options of commands that train: a recipe, changes to it, another data set."""

from collections.abc import Callable
from typing import TypeVar

import click

from training.commands.frame import FOLDER

Command = TypeVar("Command", bound=Callable[..., object])


def recipe_options(command: Command) -> Command:
    """Give ``command`` the argument ``recipe`` and the options ``changes`` and ``data``, for `load_recipe`."""
    data = click.option("--data", type=FOLDER, help="Train on this folder of images by class, and take its name.")
    change = click.option(
        "--set", "changes", multiple=True, metavar="KEY=VALUE", help="Change a value, such as epochs=3."
    )
    return click.argument("recipe")(change(data(command)))
