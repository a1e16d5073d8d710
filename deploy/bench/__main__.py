"""``python -m deploy.bench [--quick] [SECTION...]``: measure, print the table, write it and its picture.

It writes build/bench/bench.json and bench.png, also when only some sections are measured.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from deploy.bench import captions, generate, hostile, int8, lenet, overhead, overload, resnet, segment, steps, tasks
from deploy.bench.command import read_arguments, told
from deploy.bench.conditions import Conditions
from deploy.bench.picture import draw
from deploy.bench.plan import Plan
from deploy.bench.table import Row, markdown, verdict, write_json

FOLDER = Path("build/bench")
SECTIONS: dict[str, Callable[[Plan], Iterator[Row]]] = {
    "lenet": lenet.rows,
    "overhead": overhead.rows,
    "tasks": tasks.rows,
    "resnet": resnet.rows,
    "overload": overload.rows,
    "hostile": hostile.rows,
    "steps": steps.rows,
    "captions": captions.rows,
    "int8": int8.rows,
    "segment": segment.rows,
    "generate": generate.rows,
}


def main() -> None:
    """Measure the given sections, or all without one."""
    sections, plan = read_arguments("deploy.bench", "Measure the running service.", SECTIONS)
    measure(sections, plan)


def measure(sections: list[str], plan: Plan) -> None:
    """Measure, print and write; if a section fails, what it measured before is reported too."""
    conditions = Conditions()
    rows: list[Row] = []
    try:
        for section in sections:
            for row in told(SECTIONS[section](plan)):
                rows.append(row)
    finally:
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_json(FOLDER / "bench.json", conditions.found(), rows)
        draw(FOLDER / "bench.png", rows, str(conditions))
        print(f"\n{conditions}\n\n{markdown(rows)}\n\n{verdict(rows)}")


if __name__ == "__main__":
    main()
