"""``python -m deploy.bench.gpu [--quick] [SECTION...]``: measure on CUDA device 0, print the table and write it.

It writes build/bench/gpu.json. Without a working device, it prints one sentence and exits with code 2.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.bench.command import read_arguments, told
from deploy.bench.conditions import Conditions
from deploy.bench.gpu import memory, recording, served, steps, zoo
from deploy.bench.plan import Plan
from deploy.bench.table import Row, markdown, verdict, write_json
from service.config import Config
from service.engine.device import Device, cuda, why_not
from service.engine.nvml import readings

FILE = Path("build/bench/gpu.json")
NO_DEVICE = 2
SECTIONS: dict[str, Callable[[Plan, Device], Iterator[Row]]] = {
    "zoo": zoo.rows,
    "served": served.rows,
    "steps": steps.rows,
    "recording": recording.rows,
    "memory": memory.rows,
}


def main() -> None:
    """Measure the given sections, or all without one."""
    sections, plan = read_arguments("deploy.bench.gpu", "Measure on a CUDA device.", SECTIONS)
    device = cuda(Config())
    if reason := why_not(device):
        print(f"bench-gpu needs a working CUDA device; there is none: {reason}", file=sys.stderr)
        sys.exit(NO_DEVICE)
    measure(sections, plan, device)


def measure(sections: list[str], plan: Plan, device: Device) -> None:
    """Measure, print and write; if a section fails, what it measured before is reported too."""
    conditions = Conditions()
    gpus = [reading._asdict() for reading in readings(device)]
    rows: list[Row] = []
    try:
        for section in sections:
            for row in told(SECTIONS[section](plan, device)):
                rows.append(row)
    finally:
        FILE.parent.mkdir(parents=True, exist_ok=True)
        write_json(FILE, {**conditions.found(), "device": str(device), "gpus before": gpus}, rows)
        print(f"\n{device}; {conditions}\n\n{markdown(rows)}\n\n{verdict(rows)}")


if __name__ == "__main__":
    main()
