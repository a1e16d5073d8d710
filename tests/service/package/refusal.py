"""How a package that may not be served is refused."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from service.errors import InvalidPackage
from service.package import read_package


def refused(folder: Path, naming: str) -> None:
    """The package must be refused with an error that names its folder and what is wrong."""
    with pytest.raises(InvalidPackage, match=f"(?s){re.escape(str(folder))}.*{naming}"):
        read_package(folder)


def refused_in_time(opens: Callable[[], object], within_s: float = 10) -> str:
    """With which error ``opens`` refuses a package; it may not block."""
    errors: list[str] = []

    def run() -> None:
        try:
            opens()
        except InvalidPackage as error:
            errors.append(str(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(within_s)
    assert not thread.is_alive(), "it blocks"
    (error,) = errors
    return error
