"""How a package that may not be served is refused."""

import re
from pathlib import Path

import pytest

from service.errors import InvalidPackage
from service.package import read_package


def refused(folder: Path, naming: str) -> None:
    """The package must be refused with an error that names its folder and what is wrong."""
    with pytest.raises(InvalidPackage, match=f"(?s){re.escape(str(folder))}.*{naming}"):
        read_package(folder)
