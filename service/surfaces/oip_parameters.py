"""The parameters of a request on both transports: the schedule policy extension's, and what a loop may be asked."""

from collections.abc import Collection, Mapping
from typing import Any

from service.engine import Options
from service.errors import InvalidArgument

_NUMBERS = ("priority", "timeout", "steps", "seed")
# Clients of servers that keep state send these; they say nothing here unless they say that there is a sequence.
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")


def read_options(parameters: Mapping[str, Any], others: Collection[str] = ()) -> Options:
    """What ``parameters`` ask of the engine.

    Args:
        parameters: by name, as whole numbers, texts and truth values: ``priority`` (0: the default level),
            ``timeout`` in microseconds (the longest wait in the queue; 0: the model's), ``steps`` and ``seed``.
        others: names that are known beside these, and not read here.

    Raises:
        InvalidArgument: an unknown name, a value of another kind, or a sequence.
    """
    given: dict[str, int] = {}
    for name, value in parameters.items():
        if name in _NUMBERS:
            given[name] = _whole_number(name, value)
        elif name in _SEQUENCE:
            if value:
                raise InvalidArgument(f"request parameter {name!r} came; no model here keeps sequences")
        elif name not in others:
            raise InvalidArgument(f"request: unknown parameter {name[:80]!r}; known are {[*_NUMBERS, *others]}")
    timeout = given.get("timeout", 0)
    return Options(
        priority=given.get("priority", 0),
        queue_timeout_s=timeout / 1e6 if timeout else None,
        steps=given.get("steps"),
        seed=given.get("seed"),
    )


def _whole_number(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise InvalidArgument(f"request parameter {name!r} is {str(value)[:40]!r}; a whole number from 0 is wanted")
    return value
