"""What reloading a model costs in memory: nothing that stays."""

import shutil
from contextlib import closing
from math import prod
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.service.surfaces.repository_calls import RestRepository
from tests.service.surfaces.transports import JSON_LENGTH, Rest, infer_path
from tests.serving import Server, eventually

ZOO = Path("models/zoo")
RELOADS, WARM_UP = 50, 10
# As much as 50 reloads may add to what is resident, of what was after the warm-up.
MORE = 1.10
# Threads and files that any request may open and keep.
FEW = 8


def largest(zoo: Path) -> Path:
    """The folder of the largest package."""
    return max(zoo.glob("*/*"), key=lambda folder: sum(file.stat().st_size for file in folder.iterdir()))


@pytest.mark.slow
def test_fifty_reloads_of_the_largest_package_leave_no_memory_behind(tmp_path: Path) -> None:
    package = largest(ZOO)
    name = package.parent.name
    shutil.copytree(package, tmp_path / "zoo" / name / package.name)
    server = Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit", max_request_bytes=16 << 20)
    with server, closing(Rest(server)) as rest:
        process = psutil.Process(server.process.pid)
        sizes = rest.model_metadata(name)["inputs"][0]
        image = bytes(prod(sizes["shape"][1:]))
        assert sizes["datatype"] == "UINT8"
        resident, threads, files = [], process.num_threads(), process.num_fds()
        for _ in range(RELOADS):
            RestRepository(rest).load(name)
            rest.post(infer_path(name), image, {JSON_LENGTH: "0"})
            resident.append(process.memory_info().rss)
        allowed = min(resident[:WARM_UP]) * MORE
        assert process.num_threads() <= threads + FEW
        assert process.num_fds() <= files + FEW
        # What the last one left is given back a moment later.
        assert eventually(lambda: process.memory_info().rss <= allowed), (resident[:: RELOADS // 10], allowed)
