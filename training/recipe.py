"""Recipes: everything that decides how a model is trained, as a small typed file (TOML)."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from service.package import Name
from training.augmentation import Augmentation
from training.errors import RecipeError
from training.loss import Loss
from training.optimiser import Optimiser
from training.schedule import Schedule
from training.table import Count, Fraction, Table

FOLDER = Path(__file__).parent / "recipes"


class Gate(Table):
    """What the package must reach on the test split, through the serving engine, to be exported at all."""

    accuracy: Annotated[float, Field(ge=0, le=1)]


class Recipe(Table):
    """One training run. ``name`` is also the package's; ``config`` replaces values of the model's row.

    ``validation`` is the number of training examples held out; ``ema`` the decay per step of an average of
    the weights, which is then what is validated and exported (0: the last weights themselves).
    """

    name: Name
    model: str
    config: dict[str, Any] = {}
    dataset: str
    validation: Count = 5_000
    epochs: Count
    batch_size: Count
    optimiser: Optimiser
    schedule: Schedule = Schedule()
    augmentation: Augmentation = Augmentation()
    loss: Loss = Loss()
    ema: Fraction = 0.0
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = "32-true"
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    gate: Gate


def load_recipe(name: str, changes: Iterable[str] = ()) -> Recipe:
    """The recipe in the file ``name``, or the shipped one of that name, changed as in ``gate.accuracy=0.9``.

    Raises:
        RecipeError: no such recipe, or naming each unknown key and each value of the wrong kind.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml")))
        raise RecipeError(f"no recipe {name!r}; give a .toml file or one of {shipped}")
    try:
        values = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path}: {error}") from error
    for change in changes:
        _change(values, change)
    return parse_recipe(values, str(path))


def parse_recipe(values: dict[str, Any], origin: str) -> Recipe:
    """The recipe that ``values`` describe.

    Raises:
        RecipeError: naming ``origin`` and each key that is unknown, missing or of the wrong kind.
    """
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecipeError(f"{origin}: {problems}") from error


def _change(values: dict[str, Any], change: str) -> None:
    """Apply one ``key.key=value``; the value is TOML, and plain text where it is not."""
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
