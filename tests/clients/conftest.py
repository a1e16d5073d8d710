"""Real clients against a real server; run in a process of its own, for tritonclient brings protos like ours."""

from collections.abc import Iterator

import pytest

from tests.bare_packages import adder, text_doubler, write_bare
from tests.embedding_packages import write_embedding_package
from tests.explaining_packages import write_explaining_package
from tests.generate_packages import write_generate_package
from tests.needs import needs
from tests.search_indexes import indexes_of, write_index
from tests.segment_packages import write_segment_package
from tests.serving import Server, write_zoo
from tests.step_packages import write_captioner
from tests.text_packages import write_text_package


@pytest.fixture(scope="session")
@needs("server")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    write_explaining_package(write_zoo(folder / "zoo"))
    write_text_package(folder / "zoo")
    write_embedding_package(folder / "zoo")
    write_segment_package(folder / "zoo")
    write_bare(folder / "zoo", text_doubler(), "doubler")
    with Server(folder / "zoo", folder / "home") as server:
        yield server


@pytest.fixture(scope="session")
@needs("server")
def every_task(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """It has a model of every task."""
    folder = tmp_path_factory.mktemp("every_task")
    write_explaining_package(write_zoo(folder / "zoo"))
    for write in (
        write_text_package,
        write_embedding_package,
        write_segment_package,
        write_generate_package,
        write_captioner,
    ):
        write(folder / "zoo")
    write_bare(folder / "zoo", adder(), "own")
    write_index(indexes_of(folder / "zoo"), folder / "zoo")
    with Server(folder / "zoo", folder / "home", indexes=indexes_of(folder / "zoo"), index_writes=True) as server:
        yield server
