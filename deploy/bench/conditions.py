"""The conditions of a measurement: the machine, the versions, and the load by other programs."""

import os
import platform
import resource
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from service.config import PREFIX
from service.engine.cores import usable_cores
from training.provenance import git_commit

LIBRARIES = ("onnxruntime", "onnxruntime-gpu", "grpcio", "uvicorn", "uvloop", "httptools", "numpy")


class Conditions:
    """The conditions of a run that begins now."""

    def __init__(self) -> None:
        self._began = datetime.now(UTC)
        self._busy, self._total = _ticks()
        self._own = _own_ticks()

    def others(self) -> float:
        """The share of all cores, 0 to 1, that other programs used since: not this process or its ended children."""
        busy, total = _ticks()
        return max(0.0, busy - self._busy - (_own_ticks() - self._own)) / max(1, total - self._total)

    def found(self) -> dict[str, Any]:
        """All conditions, for a file."""
        return {
            "date": self._began.isoformat(timespec="seconds"),
            "seconds": round((datetime.now(UTC) - self._began).total_seconds()),
            "commit": git_commit(),
            "processor": _processor(),
            "cores": usable_cores(),
            "used by others": round(self.others(), 3),
            "python": platform.python_version(),
            "libraries": {name: _version(name) for name in LIBRARIES},
            "settings": {name: value for name, value in os.environ.items() if name.startswith(PREFIX)},
        }

    def __str__(self) -> str:
        """The conditions in one line, for the table."""
        return (
            f"{_processor()}, {usable_cores()} cores, callers included; other programs used {self.others():.0%} "
            f"of them meanwhile; {self._began:%Y-%m-%d %H:%M} UTC"
        )


def _ticks() -> tuple[int, int]:
    """The clock ticks in which the processors were busy, and all ticks, since the machine started."""
    user, nice, system, idle, waiting, *interrupts = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    busy = user + nice + system + sum(interrupts)
    return busy, busy + idle + waiting


def _own_ticks() -> float:
    """The clock ticks that this process and its ended children used."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used) * os.sysconf("SC_CLK_TCK")


def _version(name: str) -> str | None:
    """The version of ``name``; None if it is not installed: only one of the two onnxruntime is."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
