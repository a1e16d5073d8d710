"""The table of measurements and their targets, as Markdown and as JSON."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HEAD = ("what", "measured", "target", "met", "beside it")


@dataclass(frozen=True)
class Target:
    """The ``bound`` for a figure, ``at_least`` or at most; ``aim`` is a stricter goal."""

    bound: float
    at_least: bool
    aim: float | None = None

    def met(self, value: float) -> bool:
        """Whether ``value`` satisfies the bound."""
        return value >= self.bound if self.at_least else value <= self.bound

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{sign} {figure(self.bound)}" + (f" (aim {figure(self.aim)})" if self.aim else "")


def at_least(bound: float, aim: float | None = None) -> Target:
    """A target for a figure of which more is better."""
    return Target(bound, True, aim)


def at_most(bound: float) -> Target:
    """A target for a figure of which less is better."""
    return Target(bound, False)


@dataclass(frozen=True)
class Row:
    """One figure; ``beside`` holds others of the same measurement, by name and unit."""

    what: str
    value: float
    unit: str
    target: Target | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        return self.target.met(self.value) if self.target else None


def median_row(what: str, values: Sequence[float], unit: str, target: Target | None = None, **beside: float) -> Row:
    """The median of several rounds, with the lowest and the highest value beside it."""
    spread = {"lowest": min(values), "highest": max(values)} if len(values) > 1 else {}
    return Row(what, statistics.median(values), unit, target, {**beside, **spread})


def figure(value: float) -> str:
    """``value`` with about three significant digits; without decimals from 100 on."""
    if abs(value) >= 100 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def markdown(rows: Iterable[Row]) -> str:
    """The table, its columns aligned."""
    cells = [HEAD, *(_cells(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in cells]
    lines.insert(1, " | ".join("-" * width for width in widths))
    return "\n".join(f"| {line} |" for line in lines)


def verdict(rows: Sequence[Row]) -> str:
    """The number of targets met, and the names of those missed."""
    wanted = [row for row in rows if row.target]
    missed = [row.what for row in wanted if not row.met]
    return "\n- missed: ".join([f"{len(wanted) - len(missed)} of {len(wanted)} targets met", *missed])


def write_json(path: Path, conditions: Mapping[str, Any], rows: Iterable[Row]) -> None:
    """Write the rows in full precision, with the conditions of the measurement."""
    path.write_text(json.dumps({"conditions": conditions, "rows": [_plain(row) for row in rows]}, indent=1) + "\n")


def _cells(row: Row) -> tuple[str, ...]:
    met = {None: "", True: "yes", False: "NO"}[row.met]
    beside = ", ".join(f"{name} {figure(value)}" for name, value in row.beside.items())
    return row.what, f"{figure(row.value)} {row.unit}", str(row.target or ""), met, beside


def _plain(row: Row) -> dict[str, Any]:
    target = row.target and {"bound": row.target.bound, "at_least": row.target.at_least, "aim": row.target.aim}
    plain = {"what": row.what, "value": row.value, "unit": row.unit, "target": target}
    return {**plain, "met": row.met, "beside": dict(row.beside)}
