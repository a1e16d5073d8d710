"""ResNet-50 at 224 with random weights in float16, as a package."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from deploy.bench.gpu.bare import write_float16
from deploy.bench.graphs import card, write_logits, written

NAME = "resnet50"


def resnet50(repository: Path, config: Mapping[str, Any] | None = None) -> Path:
    """The folder of the package in ``repository``, which is written unless it exists and is valid."""
    return written(repository / NAME / "1", partial(_write_onnx, config), card)


def _write_onnx(config: Mapping[str, Any] | None, path: Path) -> None:
    whole = path.with_name("float32.onnx")
    write_logits(NAME, whole, config)
    write_float16(whole, path)
    whole.unlink()
