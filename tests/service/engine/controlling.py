"""Engines whose models are loaded and unloaded on request."""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from service.engine import Engine
from service.errors import InvalidPackage
from tests.packages import replace_file, write_package
from tests.service.engine.asking import serving


def controlled(repository: Path, **settings: Any) -> Engine:
    """An engine to enter."""
    return serving(repository, model_control="explicit", **settings)


def versions(engine: Engine, name: str = "tiny") -> list[str]:
    """Those of the model that are served."""
    return [model.version for model in engine.repository if model.name == name]


async def reason(engine: Engine, name: str = "tiny", version: str = "1") -> str:
    """What the index says of one version."""
    (row,) = [row for row in await engine.control.index() if (row.name, row.version) == (name, version)]
    return row.reason


async def refusal(engine: Engine) -> str:
    """Why the engine does not start; it leaves no thread behind."""
    with pytest.raises(InvalidPackage) as refused:
        await engine.__aenter__()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loader")]
    return str(refused.value)


def retrain(folder: Path, seed: int) -> None:
    """Have the tiny package in ``folder`` answer as version ``seed`` does."""
    with TemporaryDirectory() as elsewhere:
        other = write_package(Path(elsewhere), "tiny", seed)
        for file in ("model.onnx", "golden.npz"):
            replace_file(folder, file, (other / file).read_bytes())


def other_golden(package: Path) -> None:
    """Give the package another graph than the one its golden example is of."""
    golden = (package / "golden.npz").read_bytes()
    retrain(package, 9)
    replace_file(package, "golden.npz", golden)
