"""What takes a test long: a mark for each such need, which `make test-fast` leaves out.

A fixture that provides it says so, `@needs("server")`, and every test that uses the fixture, or one that uses it, gets
the mark; a test that does it by itself has `pytest.mark.server`. What is forgotten fails: the need is checked where it
is met, so a test without the mark cannot start a server, fit or export, and `make test-fast` stays what it says.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar

import pytest

Need = Literal["server", "fit", "export"]
F = TypeVar("F", bound=Callable[..., object])

_ATTRIBUTE = "needs_of_its_tests"
# A test with any of these is none of the fast ones.
_LEFT_OUT = ("server", "fit", "export", "slow")
_MEANS: dict[Need, str] = {"server": "starts a server", "fit": "fits a model", "export": "traces a model to ONNX"}
_running: pytest.Item | None = None


def needs(*what: Need) -> Callable[[F], F]:
    """Below `pytest.fixture`: the tests that use the fixture get these marks."""

    def mark(fixture: F) -> F:
        setattr(fixture, _ATTRIBUTE, what)
        return fixture

    return mark


def mark_by_fixtures(items: Iterable[pytest.Item]) -> None:
    """Give every test the marks of its fixtures."""
    for item in items:
        fixtures = getattr(item, "_fixtureinfo", None)
        for definitions in fixtures.name2fixturedefs.values() if fixtures else ():
            for what in getattr(definitions[-1].func, _ATTRIBUTE, ()):
                item.add_marker(what)


def now_running(item: pytest.Item | None) -> None:
    """Whose marks `met` looks at."""
    global _running
    _running = item


def met(what: Need) -> None:
    """The test that runs does this.

    Raises:
        AssertionError: it hasn't the mark, nor another that keeps it from being a fast one.
    """
    if _running is not None and not any(_running.get_closest_marker(mark) for mark in _LEFT_OUT):
        raise AssertionError(f"{_running.nodeid} {_MEANS[what]} without the mark {what!r}: see tests/needs.py")


def watch(owner: object, name: str, what: Need) -> None:
    """Whoever calls that function meets the need."""
    function: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        met(what)
        return function(*args, **kwargs)

    setattr(owner, name, watched)
