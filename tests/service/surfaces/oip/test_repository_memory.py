"""What reloading a model costs in memory: nothing that stays."""

import shutil
from contextlib import closing
from math import prod
from pathlib import Path

import numpy as np
import psutil  # type: ignore[import-untyped]
import pytest

from service.package import Loop, read_package
from tests.service.surfaces.oip.repository_calls import RestRepository
from tests.service.surfaces.transports import JSON_LENGTH, Rest, infer_path, model_path, refuse_unless_ok
from tests.serving import Server, eventually

pytestmark = pytest.mark.server

ZOO = Path("models/zoo")
RELOADS, WARM_UP = 50, 10
# As much as 50 reloads may add to the most that was resident while warming up: it varies by some pages either way.
MORE = 1.10
# Threads and files that any request may open and keep.
FEW = 8


def largest(*, steps: bool) -> Path:
    """The folder of the largest package that answers step by step, or of the largest that answers at once.

    It takes an image of one size, which a raw body can hold.
    """
    programs = {folder: read_package(folder).card.program for folder in ZOO.glob("*/*")}
    folders = [
        folder
        for folder, program in programs.items()
        if isinstance(program, Loop) == steps
        and program.inputs[0].datatype == "UINT8"
        and -1 not in program.inputs[0].shape[1:]
    ]
    return max(folders, key=lambda folder: sum(file.stat().st_size for file in folder.iterdir()))


def ask(rest: Rest, name: str, tensor: str, shape: list[int], *, steps: bool) -> None:
    """For the answer to a black image of this shape."""
    if steps:
        body = {tensor: np.zeros(shape, int).tolist()}
        refuse_unless_ok(rest.client.post(f"{model_path(name)}/generate", json=body))
    else:
        rest.post(infer_path(name), bytes(prod(shape)), {JSON_LENGTH: "0"})


@pytest.mark.slow
@pytest.mark.parametrize("steps", [False, True], ids=["at once", "step by step"])
def test_fifty_reloads_of_the_largest_package_leave_no_memory_behind(tmp_path: Path, steps: bool) -> None:
    package = largest(steps=steps)
    name = package.parent.name
    shutil.copytree(package, tmp_path / "zoo" / name / package.name)
    server = Server(tmp_path / "zoo", tmp_path / "home", model_control="explicit", max_request_bytes=16 << 20)
    with server, closing(Rest(server)) as rest:
        process = psutil.Process(server.process.pid)
        (image,) = rest.model_metadata(name)["inputs"]
        assert image["datatype"] == "UINT8"
        resident, threads, files = [], process.num_threads(), process.num_fds()
        for _ in range(RELOADS):
            RestRepository(rest).load(name)
            ask(rest, name, image["name"], image["shape"][1:], steps=steps)
            resident.append(process.memory_info().rss)
        allowed = max(resident[:WARM_UP]) * MORE
        assert process.num_threads() <= threads + FEW
        assert process.num_fds() <= files + FEW
        # What the last one left is given back a moment later.
        assert eventually(lambda: process.memory_info().rss <= allowed), (resident[:: RELOADS // 10], allowed)
