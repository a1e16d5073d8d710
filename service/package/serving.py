"""The serving section of a card: priorities, queues and versions, named as in Triton's model configuration."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.package.graph import Frozen

MAX_QUEUE_ROWS = 1_000_000
MAX_TIMEOUT_US = 24 * 3600 * 1_000_000
MAX_VERSION = 999_999_999
MAX_VERSIONS = 10_000

Version = Annotated[int, Field(gt=0, le=MAX_VERSION)]
Level = Annotated[int, Field(ge=1, le=64)]
_VERSION = "[1-9][0-9]{0,8}"


class QueuePolicy(Frozen):
    """How long a request, and how many rows, may wait in the queue."""

    max_queue_size: int = Field(
        0, ge=0, le=MAX_QUEUE_ROWS, description="Rows that may wait; 0: the server's max_queue_rows."
    )
    default_timeout_microseconds: int = Field(
        0, ge=0, le=MAX_TIMEOUT_US, description="Longest wait for a run; 0: no limit."
    )
    allow_timeout_override: bool = Field(True, description="Whether a request may set a shorter timeout.")
    timeout_action: Literal["reject", "continue"] = Field(
        "reject", description="After the timeout, a request is refused, or served after all that are in time."
    )


class DynamicBatching(Frozen):
    """The priority levels of requests. Level 1 is the highest; a request with 0 gets the default."""

    priority_levels: Level = 1
    default_priority_level: Level = 1
    default_queue_policy: QueuePolicy = QueuePolicy()

    @model_validator(mode="after")
    def _default_is_a_level(self) -> "DynamicBatching":
        if self.default_priority_level > self.priority_levels:
            raise ValueError(
                f"default_priority_level is {self.default_priority_level}; priority_levels is {self.priority_levels}"
            )
        return self


class Latest(Frozen):
    """Serve the highest versions."""

    num_versions: Version = 1


class Specific(Frozen):
    """Serve these versions."""

    versions: tuple[Version, ...] = Field(min_length=1, max_length=MAX_VERSIONS)


class All(Frozen):
    """Serve every version."""


class VersionPolicy(Frozen):
    """The policy for which versions of a model are served: one of the three."""

    latest: Latest | None = None
    specific: Specific | None = None
    all: All | None = None

    @model_validator(mode="after")
    def _one(self) -> "VersionPolicy":
        if sum(choice is not None for choice in (self.latest, self.specific, self.all)) != 1:
            raise ValueError("exactly one of 'latest', 'specific' and 'all' is required")
        return self

    @classmethod
    def parse(cls, text: str) -> "VersionPolicy":
        """The policy of ``all``, ``latest:2`` or ``specific:1,3``.

        Raises:
            ValueError: ``text`` has none of these forms.
        """
        kind, _, numbers = text.partition(":")
        if text == "all":
            return cls(all=All())
        if kind == "latest" and re.fullmatch(_VERSION, numbers):
            return cls(latest=Latest(num_versions=int(numbers)))
        if kind == "specific" and re.fullmatch(f"{_VERSION}(,{_VERSION})*", numbers):
            return cls(specific=Specific(versions=tuple(map(int, numbers.split(",")))))
        raise ValueError(
            f"the version policy is {text[:80]!r}; allowed are all, latest:<number> and specific:<version>,<version>"
        )

    def __str__(self) -> str:
        if self.latest is not None:
            return f"latest:{self.latest.num_versions}"
        return "all" if self.specific is None else f"specific:{','.join(map(str, self.specific.versions))}"

    def choose(self, versions: list[int]) -> list[int]:
        """The versions among ``versions`` to serve, in ascending order."""
        if self.latest is not None:
            return sorted(versions)[-self.latest.num_versions :]
        if self.specific is not None:
            return sorted(set(versions) & set(self.specific.versions))
        return sorted(versions)


class Serving(Frozen):
    """How a package is served; everything has a default.

    ``version_policy`` is read from the highest version's card; None for the server's. ``priority`` decides which
    of the models that wait for a lane gets it: 1 is the highest, and equal ones get it in rotation. ``default``, also
    read from the highest version's card, makes the model answer requests for its task that name none.
    """

    version_policy: VersionPolicy | None = None
    priority: Level = 1
    dynamic_batching: DynamicBatching = DynamicBatching()
    default: bool = False
