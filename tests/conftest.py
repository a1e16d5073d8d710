"""What every room's tests share: `async def` tests, and a repository of tiny packages."""

import asyncio
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from hypothesis import HealthCheck, settings

from tests.needs import mark_by_fixtures, now_running
from tests.packages import write_package

# A busy machine is no failure: hypothesis times its examples otherwise. CI searches longer than a developer waits.
_UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("local", _UNHURRIED, max_examples=25)
settings.register_profile("ci", _UNHURRIED, max_examples=200, derandomize=False)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A test that waits for an answer which never comes fails instead of hanging.
TEST_TIMEOUT_S = 30


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Before ``-m`` chooses among them."""
    mark_by_fixtures(items)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    now_running(item)
    result = yield
    now_running(None)
    return result


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run an ``async def`` test on the loop that serves in production."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    test = pyfuncitem.obj(**{name: value for name, value in pyfuncitem.funcargs.items() if name in wanted})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test, TEST_TIMEOUT_S))
    return True


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`tiny` in two versions, `other`, and `fragile`, which fails on a white pixel; read it only."""
    folder = tmp_path_factory.mktemp("repository")
    write_package(folder, "tiny", 1)
    write_package(folder, "tiny", 2)
    write_package(folder, "other", 3)
    write_package(folder, "fragile", 1, fails_at=255)
    return folder
