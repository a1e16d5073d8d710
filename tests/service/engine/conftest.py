import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.engine import steps
from service.engine.model import Model
from tests.packages import write_package
from tests.service.engine.queueing import Callers
from tests.service.engine.sums import sum_model
from tests.step_packages import write_chars, write_diffusion


@pytest.fixture(scope="session")
def loops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The loops `chars`, `diffusion`, `endless`, whose rows take all their steps, and `beside`, which is like it.

    `later` is like it, too, but others go before it; `tiny` runs once. Read it only.
    """
    folder = tmp_path_factory.mktemp("loops")
    write_chars(folder)
    write_chars(folder, "endless", ends=False)
    write_chars(folder, "beside", ends=False)
    write_chars(folder, "later", ends=False, serving={"priority": 2})
    write_diffusion(folder)
    write_package(folder)
    return folder


@pytest.fixture
def single_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loop gives its lane back after each step, however quick the step was."""
    monkeypatch.setattr(steps, "RUN_ON_S", -1.0)


@pytest.fixture(scope="session")
def sums(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model that adds and subtracts, loaded."""
    return sum_model(tmp_path_factory.mktemp("sums"))


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def callers(loop: asyncio.AbstractEventLoop, sums: Model) -> Callers:
    return Callers(loop, sums)
