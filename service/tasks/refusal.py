"""The error for an option that a model does not allow."""

from collections.abc import Sequence

from service.errors import InvalidArgument

_ECHO = 80  # how many characters of the given text the message repeats


def refusal(model: str, option: str, given: str, allowed: Sequence[str]) -> InvalidArgument:
    """The error for ``given``, where ``model`` only allows ``allowed`` for that option."""
    allows = f"allows {list(allowed)}" if allowed else "allows none"
    return InvalidArgument(f"{option} is {given[:_ECHO]!r}; model {model!r} {allows}")
