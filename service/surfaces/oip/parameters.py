"""The parameters of a request: the schedule policy extension's, and those of a loop."""

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any

from service.deadline import Deadline
from service.engine import DecodingOptions, Model, Options
from service.engine.options import DEFAULTS
from service.errors import InvalidArgument
from service.surfaces.json_fields import shown
from service.tasks.detokenizer import read_words

# Clients of servers that keep state send these with every request; only a value that names a sequence is refused.
_SEQUENCE = ("sequence_id", "sequence_start", "sequence_end")
_MAX_DIGITS = 9  # of a token
_MAX_TOKENS = 1 << 16  # of a prefix


def read_options(parameters: Mapping[str, Any], model: Model, deadline: Deadline | None = None) -> Options:
    """What ``parameters`` ask of the engine for ``model``; unknown names are ignored.

    Args:
        parameters: by name, as whole numbers, numbers, texts and truth values: ``priority`` (0: the default level),
            ``timeout`` in microseconds (the longest wait in the queue; 0: the model's), ``steps``, ``seed`` and
            ``emit_every`` (the steps of a loop from one emission to the next); of a loop that leaves a choice of
            tokens, each field of `DecodingOptions`, with its ``prefix`` as a text of the vocabulary's words or, as
            ``prefix_tokens``, in tokens: a list of them, or ``"5,7"``.
        model: whose vocabulary a prefix is read by.
        deadline: when the request must be answered; None where only the engine's limit holds.

    Raises:
        InvalidArgument: a value of another type, a prefix that cannot be read, or a sequence.
    """
    if not parameters:
        return DEFAULTS if deadline is None else Options(deadline=deadline)
    given: dict[str, Any] = {}
    for name, value in parameters.items():
        if name in _READERS:
            given[name] = _READERS[name](name, value)
        elif name in _SEQUENCE and value:
            raise InvalidArgument(f"request parameter {name!r} is set; no model here keeps sequences")
    timeout = given.get("timeout", 0)
    return Options(
        priority=given.get("priority", 0),
        queue_timeout_s=timeout / 1e6 if timeout else None,
        steps=given.get("steps"),
        seed=given.get("seed"),
        emit_every=given.get("emit_every"),
        decoding=_decoding(given, model) if given.keys() & _DECODING else None,
        deadline=deadline,
    )


def _decoding(given: dict[str, Any], model: Model) -> DecodingOptions:
    if "prefix" in given and "prefix_tokens" in given:
        raise InvalidArgument("request parameters 'prefix' and 'prefix_tokens' are both set; one of them is allowed")
    prefix = given.get("prefix_tokens", ()) or read_words(model, given.get("prefix", ""))
    return DecodingOptions(prefix=prefix, **{name: given[name] for name in given.keys() & _CHOICES})


def _whole_number(name: str, value: Any) -> int:
    if type(value) is not int or value < 0:
        raise _refusal(name, value, "a whole number from 0")
    return value


def _number(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not isfinite(value):
        raise _refusal(name, value, "a number")
    return float(value)


def _text(name: str, value: Any) -> str:
    if type(value) is not str:
        raise _refusal(name, value, "a text")
    return value


def _tokens(name: str, value: Any) -> tuple[int, ...]:
    """The tokens of a list, a text, or a single number: a parameter over gRPC cannot be a list."""
    count = value.count(",") + 1 if type(value) is str else len(value) if type(value) is list else 1
    if count > _MAX_TOKENS:
        raise InvalidArgument(f"request parameter {name!r} has {count} tokens; at most {_MAX_TOKENS} are allowed")
    found = value.split(",") if type(value) is str else value if type(value) is list else [value]
    tokens = [_token(token) for token in found]
    if -1 in tokens:
        raise _refusal(name, value, "a list of whole numbers from 0, as [5, 7] or '5,7'")
    return tuple(tokens)


def _token(value: Any) -> int:
    """The token; -1 where the value is not one."""
    if type(value) is str and value.isascii() and value.strip().isdigit() and len(value) <= _MAX_DIGITS:
        return int(value)
    return value if type(value) is int and value >= 0 else -1


def _refusal(name: str, value: Any, allowed: str) -> InvalidArgument:
    return InvalidArgument(f"request parameter {name!r} is {shown(value)}; it must be {allowed}")


# The fields of `DecodingOptions` that are parameters by the same names.
_CHOICES: dict[str, Callable[[str, Any], Any]] = {
    "strategy": _text,
    "temperature": _number,
    "top_k": _whole_number,
    "top_p": _number,
    "beam_width": _whole_number,
    "length_penalty": _number,
    "n_best": _whole_number,
}
_DECODING = {**_CHOICES, "prefix": _text, "prefix_tokens": _tokens}
_READERS = {**dict.fromkeys(("priority", "timeout", "steps", "seed", "emit_every"), _whole_number), **_DECODING}
