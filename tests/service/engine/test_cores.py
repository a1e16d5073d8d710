from pathlib import Path

import pytest

from service.engine import cores
from service.engine.cores import usable_cores

THIS_PROCESS = 0


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A host of eight cores with no cgroup files yet."""
    monkeypatch.setattr("os.sched_getaffinity", {THIS_PROCESS: set(range(8))}.__getitem__)
    monkeypatch.setattr(cores, "_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(cores, "_V1", tmp_path / "cpu")


def write_v1(folder: Path, quota: str) -> None:
    (folder / "cpu").mkdir()
    (folder / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (folder / "cpu" / "cpu.cfs_period_us").write_text("100000\n")


def test_without_a_quota_the_affinity_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert usable_cores() == 8
    monkeypatch.setattr("os.sched_getaffinity", {THIS_PROCESS: {3, 5}}.__getitem__)
    assert usable_cores() == 2


@pytest.mark.parametrize(
    ("quota", "usable"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("250000 100000", 2),
        ("50000 100000", 1),
        ("25000 50000", 1),
        ("9900000 100000", 8),
    ],
)
def test_a_cgroup_v2_quota_cuts_them_to_whole_cores_and_leaves_one(quota: str, usable: int, tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores() == usable


@pytest.mark.parametrize(("quota", "usable"), [("-1", 8), ("300000", 3), ("10000", 1)])
def test_a_cgroup_v1_quota_cuts_them_too(quota: str, usable: int, tmp_path: Path) -> None:
    write_v1(tmp_path, quota)
    assert usable_cores() == usable


def test_cgroup_v2_wins_where_both_are_mounted(tmp_path: Path) -> None:
    (tmp_path / "cpu.max").write_text("200000 100000\n")
    write_v1(tmp_path, "300000")
    assert usable_cores() == 2
