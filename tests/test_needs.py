"""The marks by which `make test-fast` chooses are those of what a test does."""

from pathlib import Path

import pytest

from tests.needs import met, needs
from tests.serving import Server


@pytest.fixture
@needs("fit", "export")
def package() -> None:
    """It would take long."""


@pytest.fixture
def of_a_package(package: None) -> None:
    """It rests upon another."""


def marks(request: pytest.FixtureRequest) -> set[str]:
    return {mark.name for mark in request.node.iter_markers()}


def test_a_fixture_marks_the_tests_that_use_it(package: None, request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"fit", "export"}


def test_a_fixture_marks_those_that_use_it_by_another(of_a_package: None, request: pytest.FixtureRequest) -> None:
    assert marks(request) == {"fit", "export"}


@pytest.mark.server
def test_with_its_mark_a_test_may_do_it() -> None:
    met("server")


def test_without_its_mark_a_test_starts_no_server(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    assert marks(request) == set()
    with pytest.raises(AssertionError, match="starts_no_server starts a server without the mark 'server'"):
        Server(tmp_path, tmp_path / "home").launch()
