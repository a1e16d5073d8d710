"""Packages for the tests of the contract to spoil."""

from pathlib import Path

import pytest

from tests.packages import write_package
from tests.step_packages import write_chars, write_diffusion


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right classifier."""
    return write_package(tmp_path)


@pytest.fixture
def chars_folder(tmp_path: Path) -> Path:
    """A right loop."""
    return write_chars(tmp_path)


@pytest.fixture
def diffusion_folder(tmp_path: Path) -> Path:
    """A right loop with an encoder."""
    return write_diffusion(tmp_path)
