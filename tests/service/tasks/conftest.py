from pathlib import Path

import pytest

from tests.explaining_packages import write_explaining_package
from tests.packages import write_package


@pytest.fixture(scope="session")
def explaining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`seeing`, which explains itself both ways; `mapping` and `projecting`, each in one; `tiny` in none. Read it only.

    `narrow` takes no ten crops, and two views where none are named; `fragile` fails to project a white pixel back.
    """
    folder = tmp_path_factory.mktemp("explaining")
    write_explaining_package(folder)
    write_explaining_package(folder, "mapping", deconv=False)
    write_explaining_package(folder, "projecting", cam=False)
    write_explaining_package(folder, "fragile", fails_at=255)
    write_package(folder)
    top_k = {"default": 2, "minimum": 1, "maximum": 3}
    views = {"default": "flip", "allowed": ["single", "flip"]}
    write_package(folder, "narrow", parameters={"top_k": top_k, "views": views})
    return folder
