"""Real clients against a real server; run in a process of its own, for tritonclient brings protos like ours."""

from collections.abc import Iterator

import pytest

from tests.explaining_packages import write_explaining_package
from tests.serving import Server, write_zoo
from tests.text_packages import write_text_package


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    write_explaining_package(write_zoo(folder / "zoo"))
    write_text_package(folder / "zoo")
    with Server(folder / "zoo", folder / "home") as server:
        yield server
