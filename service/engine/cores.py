"""How many cores this process may use, by its CPU affinity and its cgroup's quota, not the number of the host's."""

import os
from pathlib import Path

_V2 = Path("/sys/fs/cgroup/cpu.max")
_V1 = Path("/sys/fs/cgroup/cpu")


def usable_cores() -> int:
    """The cores this process may use, at least 1: those of its CPU affinity, limited by the container's CPU quota."""
    affinity = len(os.sched_getaffinity(0))
    quota = _quota()
    return affinity if quota is None else max(1, min(affinity, int(quota)))


def _quota() -> float | None:
    """The CPU quota in cores, of cgroup v2 or else v1; None if there is no quota."""
    try:
        if _V2.exists():
            quota, period = _V2.read_text().split()
        else:
            quota = (_V1 / "cpu.cfs_quota_us").read_text().strip()
            period = (_V1 / "cpu.cfs_period_us").read_text().strip()
    except OSError:
        return None
    return None if quota in ("max", "-1") else int(quota) / int(period)
