"""The search space of a recipe: for each key to change, a list of values or a range of numbers."""

import copy
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

from pydantic import Field, StrictFloat, StrictInt, ValidationError, model_validator

from service.nearest import did_you_mean
from training.craft.recipe import Recipe
from training.craft.table import Table
from training.errors import RecipeError
from training.recipe import parse_recipe

if TYPE_CHECKING:
    from optuna.trial import Trial

SomeRecipe = TypeVar("SomeRecipe", bound=Recipe)
Number = Annotated[StrictInt | StrictFloat, Field(allow_inf_nan=False)]
EXAMPLE = "{low = 1e-4, high = 0.1, log = true} or [32, 64]"
MOST_POINTS = 10_000  # in a grid: more runs than anybody would train


class Range(Table):
    """Numbers from ``low`` to ``high``, both included; whole numbers if both are whole.

    ``log`` draws them evenly in the logarithm, as learning rates need (I2DL VI.3); ``step`` allows only ``low`` plus
    its multiples; ``points`` is how many numbers a grid tries.
    """

    low: Number
    high: Number
    log: bool = False
    step: Annotated[Number, Field(gt=0)] | None = None
    points: Annotated[int, Field(ge=2)] | None = None

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low is {self.low}; it must be below high, {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low is {self.low}; with log it must be above 0")
        if self.step is not None and (self.log or self.points is not None):
            raise ValueError(f"step and {'log' if self.log else 'points'} exclude each other")
        if self.whole and isinstance(self.step, float):
            raise ValueError(f"step is {self.step}; between whole numbers it must be a whole number")
        return self

    @property
    def whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def ends(self) -> tuple[Any, ...]:
        """Its lowest and highest number."""
        return self.low, self.high

    def draw(self, key: str, trial: "Trial") -> Any:
        """The number of ``trial`` for ``key``, drawn now if it has none yet."""
        if self.whole:
            return trial.suggest_int(key, int(self.low), int(self._top), step=int(self.step or 1), log=self.log)
        return trial.suggest_float(key, self.low, self._top, step=self.step, log=self.log)

    def grid(self) -> list[Any]:
        """The numbers that a grid tries: ``points`` numbers from end to end, every step, or every whole number.

        Raises:
            ValueError: it is a range of fractions with neither ``points`` nor ``step``.
        """
        if self.points is not None:
            return self._spaced(self.points)
        if self.step is None and not self.whole:
            raise ValueError("a grid needs points or a step")
        return [self.low + i * (self.step or 1) for i in range(self._steps + 1)]

    @property
    def _steps(self) -> int:
        # The small addition lets ten steps of 0.1 reach 1.
        return math.floor((self.high - self.low) / (self.step or 1) + 1e-9)

    @property
    def _top(self) -> int | float:
        return self.high if self.step is None else min(self.low + self._steps * self.step, self.high)

    def _spaced(self, points: int) -> list[Any]:
        low, high = (math.log(end) if self.log else end for end in (self.low, self.high))
        between = [low + (high - low) * i / (points - 1) for i in range(1, points - 1)]
        numbers = [self.low, *(math.exp(value) if self.log else value for value in between), self.high]
        return list(dict.fromkeys(round(number) for number in numbers)) if self.whole else numbers

    def stored(self, value: Any) -> Any:
        """``value`` as the study stores it: unchanged."""
        return value

    def plain(self, value: Any) -> Any:
        """The value that the study stores as ``value``."""
        return value


class Choice(Table):
    """One of ``values``, which may be any values that a recipe may have."""

    values: Annotated[tuple[Any, ...], Field(min_length=1)]

    @property
    def ends(self) -> tuple[Any, ...]:
        """All the values."""
        return self.values

    def draw(self, key: str, trial: "Trial") -> Any:
        """The value of ``trial`` for ``key``, drawn now if it has none yet."""
        return self.plain(trial.suggest_categorical(key, [self.stored(value) for value in self.values]))

    def grid(self) -> list[Any]:
        """All the values."""
        return list(self.values)

    def stored(self, value: Any) -> Any:
        """``value`` as JSON: a study cannot store lists."""
        return json.dumps(value)

    def plain(self, value: Any) -> Any:
        """The value that the study stores as ``value``."""
        return json.loads(value)


Space = Mapping[str, Range | Choice]


def load_space(path: Path | None, ranges: Iterable[str] = ()) -> Space:
    """The space that the file ``path`` describes; ``ranges``, each ``key=range``, add keys or replace the file's.

    A space looks like a recipe: ``epochs = { low = 5, high = 20 }``, ``batch_size = [64, 128]``, and under
    ``[optimiser]`` ``learning_rate = { low = 1e-4, high = 1e-1, log = true }``.

    Raises:
        RecipeError: there is no such file, it is not TOML, there is no range, or a range is invalid; the message names
            each such key.
    """
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise RecipeError(f"{path}: {error}") from error
    space = _flat(values, "", str(path))
    for text in ranges:
        key, _, written = text.partition("=")
        try:
            value = tomllib.loads(f"value = {written}")["value"]
        except tomllib.TOMLDecodeError as error:
            raise RecipeError(f"{text!r}: a range is written key={EXAMPLE}") from error
        space[key.strip()] = _range(key.strip(), value, repr(text))
    if not space:
        raise RecipeError(f"there is no range to search; a range is written {EXAMPLE}")
    return space


def changed(recipe: SomeRecipe, changes: Mapping[str, Any]) -> SomeRecipe:
    """``recipe`` with the values of ``changes``, by dotted key.

    Raises:
        RecipeError: a key is unknown, or its value is of the wrong kind; the message names each.
    """
    values = copy.deepcopy(recipe.model_dump(mode="json"))
    for key, value in changes.items():
        *tables, last = key.split(".")
        table = values
        for name in tables:
            if not isinstance(table.get(name), dict):
                table[name] = {}
            table = table[name]
        table[last] = value
    found = parse_recipe(values, f"recipe {recipe.name!r}")
    if not isinstance(found, type(recipe)):
        raise RecipeError(f"recipe {recipe.name!r}: its task is {recipe.task!r}, not {found.task!r}")
    return found


def grid(space: Space) -> list[dict[str, Any]]:
    """Every combination, the last key's value changing first.

    Raises:
        RecipeError: a range has no grid, or there are more than 10,000 combinations; the message names the key.
    """
    points: list[dict[str, Any]] = [{}]
    for key, range_ in space.items():
        try:
            values = range_.grid()
        except ValueError as error:
            raise RecipeError(f"{key}: {error}") from error
        if len(points) * len(values) > MOST_POINTS:
            raise RecipeError(f"{key}: with it the grid has more than {MOST_POINTS:,} points, the most allowed")
        points = [{**point, key: value} for point in points for value in values]
    return points


def _flat(values: Mapping[str, Any], prefix: str, origin: str) -> dict[str, Range | Choice]:
    space: dict[str, Range | Choice] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, dict) and not value.keys() & {"low", "high"}:
            space |= _flat(value, f"{key}.", origin)
        else:
            space[key] = _range(key, value, origin)
    return space


def _range(key: str, value: Any, origin: str) -> Range | Choice:
    try:
        return Range.model_validate(value) if isinstance(value, dict) else Choice.model_validate({"values": value})
    except ValidationError as error:
        problems = "; ".join(_problem(key, found) for found in error.errors())
        raise RecipeError(f"{origin}: {problems}; a range is written {EXAMPLE}") from error


def _problem(key: str, found: Any) -> str:
    where = ".".join([key, *(str(part) for part in found["loc"][:1] if part != "values")])
    if found["type"] == "extra_forbidden":
        return f"{where}: unknown key{did_you_mean(str(found['loc'][-1]), Range.model_fields)}"
    return f"{where}: {found['msg'].removeprefix('Value error, ')}"
