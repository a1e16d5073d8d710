"""Recipes: everything that decides how a model is trained, as a small typed file (TOML)."""

import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from service.nearest import did_you_mean
from training.classification.recipe import ClassifierRecipe
from training.craft.recipe import Recipe
from training.data.folder import FolderSource
from training.errors import RecipeError
from training.recipe_problems import describe_problems, unknown_word
from training.tasks import TASKS

FOLDER = Path(__file__).parent / "recipes"
FOLDER_VALIDATION = 0.15  # of the examples in a user's folder

CLASSIFY = "classify"  # the task of a recipe that names none


def shipped() -> Iterator[Recipe]:
    """The recipes of this project, by name."""
    for name in sorted(path.stem for path in FOLDER.glob("*.toml")):
        yield load_recipe(name)


def load_recipe(name: str, changes: Iterable[str] = (), folder: Path | None = None) -> Recipe:
    """The recipe in the file ``name``, or the shipped one of that name, with ``changes`` such as ``epochs=3`` applied.

    With ``folder``, a classifier is trained on the images in it instead, and the recipe is named after it. The recipe's
    ``gate``, ``classes`` and ``examples`` held for the other data set and are dropped.

    Raises:
        RecipeError: there is no such recipe, a key is unknown or a value of the wrong kind (the message names each), or
            ``folder`` is given for another task.
        DataError: the folder holds no images by class.
    """
    values, origin = _read(name)
    if folder is not None:
        values = {key: value for key, value in values.items() if key not in ("gate", "classes", "examples")}
        title = FolderSource(folder, (1, 1, 1)).name
        values |= {"dataset": str(folder), "name": title, "validation": FOLDER_VALIDATION}
    for change in changes:
        apply(values, change)
    if folder is not None and values.get("task", CLASSIFY) != CLASSIFY:
        raise RecipeError(f"{origin}: its task is {values['task']!r}; a folder of images by class is for a classifier")
    return parse_recipe(values, origin)


def load_classifier(name: str, changes: Iterable[str] = (), folder: Path | None = None) -> ClassifierRecipe:
    """As `load_recipe`, with a RecipeError if the recipe is not a classifier's."""
    recipe = load_recipe(name, changes, folder)
    if not isinstance(recipe, ClassifierRecipe):
        raise RecipeError(f"recipe {recipe.name!r}: its task is {recipe.task!r}; expected a classifier's recipe")
    return recipe


def _read(name: str) -> tuple[dict[str, Any], str]:
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        names = sorted(file.stem for file in FOLDER.glob("*.toml"))
        known = did_you_mean(path.stem, names) or f"; give a .toml file or one of {', '.join(names)}"
        raise RecipeError(f"no recipe {name!r}{known}")
    try:
        return tomllib.loads(path.read_text("utf-8")), str(path)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error


def parse_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """The recipe that ``values`` describe.

    Raises:
        RecipeError: naming ``origin`` and each key that is unknown, missing or of the wrong kind.
    """
    name = values.get("task", CLASSIFY)
    if not isinstance(name, str) or name not in TASKS:
        raise RecipeError(f"{origin}: task: {unknown_word(name, TASKS)}")
    kind: type[Recipe] = TASKS[name].recipe
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {describe_problems(kind, error.errors())}") from error


def apply(values: dict[str, Any], change: str) -> None:
    """Make one ``change``, ``key.key=value``, in a recipe's ``values``; what is not TOML is taken as plain text.

    Raises:
        RecipeError: it is not written so, or a key on its way is not a table.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise RecipeError(f"{change!r}: a change is written key=value")
    *tables, last = key.strip().split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise RecipeError(f"{change!r}: {table!r} is a value, not a table")
    try:
        values[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        values[last] = text
