"""How an option that a model does not have is refused."""

from collections.abc import Sequence

from service.errors import InvalidArgument

_ECHO = 80  # characters of a stranger's text


def refusal(model: str, option: str, came: str, taken: Sequence[str]) -> InvalidArgument:
    """The error for ``came``, where ``model`` takes one of ``taken`` for that option."""
    takes = f"takes {list(taken)}" if taken else "has none"
    return InvalidArgument(f"{option} {came[:_ECHO]!r} came; model {model!r} {takes}")
