"""The parts of a network that are trained apart, such as a generator and a discriminator, as a recipe has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from training.craft.optimiser import Optimiser
from training.craft.schedule import Schedule
from training.craft.table import NonNegative, Table, plain
from training.recipe_problems import describe_problems

T = TypeVar("T", bound=Table)
Changes = Annotated[dict[str, Any], AfterValidator(plain)]


class Clipping(Table):
    """Bounds a step's gradient: each of its values, or its norm, is at most ``at`` (0: no bound)."""

    by: Literal["norm", "value"] = "norm"
    at: NonNegative = 0.0


class Part(Table):
    """What is different for one part of a network: keys of the recipe's own tables of these names.

    A part has the recipe's ``optimiser``, ``schedule`` and ``clipping``, with these keys changed. A table that names
    another optimiser or schedule than the recipe's takes over none of its keys.
    """

    optimiser: Changes = Field(default_factory=dict)
    schedule: Changes = Field(default_factory=dict)
    clipping: Changes = Field(default_factory=dict)


@dataclass(frozen=True)
class Descent:
    """How one part is trained: its optimiser, its schedule, and the bound of its steps' gradients."""

    optimiser: Optimiser
    schedule: Schedule
    clipping: Clipping

    def changed(self, part: Part, key: str) -> "Descent":
        """This one with the changes of ``part``; ``key`` is the part's place in the recipe.

        Raises:
            ValueError: a key is unknown or its value not allowed; the message names each.
        """
        return Descent(
            _changed(self.optimiser, part.optimiser, f"{key}.optimiser"),
            _changed(self.schedule, part.schedule, f"{key}.schedule"),
            _changed(self.clipping, part.clipping, f"{key}.clipping"),
        )


def _changed(table: T, changes: Mapping[str, Any], key: str) -> T:
    kept = table.model_dump()
    if changes.get("name", kept.get("name")) != kept.get("name"):
        kept = {}
    kind = type(table)
    try:
        return kind.model_validate({**kept, **changes})
    except ValidationError as error:
        raise ValueError(f"{key}: {describe_problems(kind, error.errors())}") from error
