"""Recipes: everything that decides how a model is trained, as a small typed file (TOML)."""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.package import Name
from training.errors import RecipeError

FOLDER = Path(__file__).parent / "recipes"

Count = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0)]


class _Frozen(BaseModel):
    """Immutable, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Optimiser(_Frozen):
    """``sgd`` with Nesterov's ``momentum``, or ``adamw`` (I2DL V; decoupled decay: arXiv:1711.05101)."""

    name: Literal["sgd", "adamw"]
    learning_rate: Annotated[float, Field(gt=0)]
    momentum: Fraction = 0.9
    weight_decay: NonNegative = 0.0


class Schedule(_Frozen):
    """The learning rate: a linear rise over ``warmup`` epochs, then constant or a cosine to zero."""

    name: Literal["constant", "cosine"] = "constant"
    warmup: NonNegative = 0.0


class Augmentation(_Frozen):
    """Random distortions of each training image; 0 leaves one out.

    ``shift`` and ``elastic`` are in pixels, ``rotation`` and ``shear`` in degrees, ``scale`` is a fraction.
    All are the largest value of a uniform draw but ``elastic``, the deviation of a smooth displacement field.
    """

    shift: NonNegative = 0.0
    rotation: NonNegative = 0.0
    shear: NonNegative = 0.0
    scale: Fraction = 0.0
    elastic: NonNegative = 0.0


class Gate(_Frozen):
    """What the package must reach on the test split, through the serving engine, to be exported at all."""

    accuracy: Annotated[float, Field(ge=0, le=1)]


class Recipe(_Frozen):
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
    label_smoothing: Fraction = 0.0
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
