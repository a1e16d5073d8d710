"""The command itself, in its shortest form: that every row can be measured, not how fast anything is."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.bench import __main__ as bench
from deploy.bench import bare, captions, generate, int8, resnet, tasks
from deploy.bench.plan import Plan
from deploy.bench.table import Row
from deploy.bench.throughput import GRPC, SLOW_REST
from tests.bench.tools import needs_generators

SHORTEST = Plan(rounds=1, block_s=1, slow_s=4, warm_s=0, calls=50, overload_s=6, hostile_s=1)
FEW = (1, 64)  # connections
ROWS = {
    "lenet": 14,
    "overhead": 7,
    # For each way to ask and each number of connections, over each that is installed; then what is asked of one caller,
    # and of two workers and gRPC at 64.
    "tasks": len(FEW) * (3 + 2 + 2 + 3 * (len(tasks.rivals()) - 1)) + 2 + 2,
    "resnet": 3,
    "overload": 4,
    "hostile": 2,
    "steps": 5,
    "captions": 8 * len(list(captions.captioners())),
    "int8": 1 + 2 * len(int8.pairs(int8.ZOO)),
    "generate": 2 * len(generate.NAMES),
}


@pytest.mark.bench
@needs_generators
@pytest.mark.parametrize("section", list(bench.SECTIONS))
def test_every_row_of_a_section_is_measured_and_written(
    section: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bare, "BATCHES", (1,))
    monkeypatch.setattr(resnet, "LOADS", [(SLOW_REST, 8), (GRPC, 8)])
    monkeypatch.setattr(tasks, "CONNECTIONS", FEW)
    bench.measure([section], SHORTEST)
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert len(rows) == ROWS[section]
    assert len({row["what"] for row in rows}) == len(rows)
    assert all(math.isfinite(row["value"]) for row in rows)
    assert any(row["target"] for row in rows)
    assert (tmp_path / "bench.png").stat().st_size > 1000
    printed = capsys.readouterr().out
    assert all(row["what"] in printed for row in rows)
    assert "targets met" in printed


def test_a_section_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench", "lenet", "vgg"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "no section vgg" in capsys.readouterr().err


def test_what_was_measured_before_a_failure_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def rows(_plan: Plan) -> Iterator[Row]:
        yield Row("first", 1, "x")
        raise RuntimeError("then it broke")

    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "SECTIONS", {"some": rows})
    with pytest.raises(RuntimeError, match="then it broke"):
        bench.measure(["some"], SHORTEST)
    assert [row["what"] for row in json.loads((tmp_path / "bench.json").read_text())["rows"]] == ["first"]
