"""The table as a picture: every figure as a multiple of its target; a bar beyond the line meets it."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

from deploy.bench.table import Row, figure

FURTHEST = 3.0
MET, MISSED = "#8fd0b5", "#f0a597"


def draw(path: Path, rows: Sequence[Row], conditions: str) -> None:
    """Write the PNG: a bar for each row that has a target."""
    wanted = [row for row in reversed(rows) if row.target]
    picture, axes = plt.subplots(figsize=(12, 1.5 + 0.4 * len(wanted)), layout="constrained")
    margins = [min(margin(row), FURTHEST) for row in wanted]
    axes.barh([row.what for row in wanted], margins, color=[MET if row.met else MISSED for row in wanted])
    for height, row in enumerate(wanted):
        axes.text(FURTHEST * 0.99, height, f"{figure(row.value)} {row.unit}  ({row.target})", va="center", ha="right")
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xlim(0, FURTHEST)
    axes.set_xlabel(f"times as good as the target (drawn to {FURTHEST:g})")
    axes.set_title(conditions, fontsize=8)
    picture.savefig(path, dpi=120)
    plt.close(picture)


def margin(row: Row) -> float:
    """How many times as good as the target the figure is: 1 equals the target; infinite if nothing is left to gain."""
    assert row.target
    good, bad = (row.value, row.target.bound) if row.target.at_least else (row.target.bound, row.value)
    return float("inf") if bad <= 0 else good / bad
