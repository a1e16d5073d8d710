import json
from pathlib import Path

import pytest

from deploy.bench.picture import FURTHEST, draw, margin
from deploy.bench.table import Row, at_least, at_most, markdown, median_row, verdict, write_json

ROWS = [
    Row("enough", 10_500, "req/s", at_least(10_000, aim=14_000), {"p99 ms": 12.34}),
    Row("too few", 9_999, "req/s", at_least(10_000)),
    Row("too slow", 0.31, "ms", at_most(0.3)),
    Row("no target", 5, "s"),
    Row("no number", float("nan"), "s"),
]


def test_a_row_says_what_was_measured_wanted_and_whether_it_was_met() -> None:
    head, ruler, *lines = markdown(ROWS).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["what", "measured", "target", "met", "beside it"]
    assert set(ruler) == set("| -")
    assert cells[0] == ["enough", "10,500 req/s", ">= 10,000 (aim 14,000)", "yes", "p99 ms 12.3"]
    assert cells[1] == ["too few", "9,999 req/s", ">= 10,000", "NO", ""]
    assert cells[2] == ["too slow", "0.31 ms", "<= 0.30", "NO", ""]
    assert cells[3] == ["no target", "5 s", "", "", ""]
    assert cells[4] == ["no number", "nan s", "", "", ""]


def test_the_verdict_counts_and_names_what_was_missed() -> None:
    assert verdict(ROWS).splitlines() == ["1 of 3 targets met", "- missed: too few", "- missed: too slow"]


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("at the bound", 95, "%", at_least(95)), True),
        (Row("at the bound", 5, "ms", at_most(5)), True),
        (Row("none failed", 0, "requests", at_most(0)), True),
        (Row("one failed", 1, "requests", at_most(0)), False),
        (Row("no number", float("nan"), "%", at_least(95)), False),
        (Row("no number", float("nan"), "ms", at_most(5)), False),
    ],
)
def test_a_target_is_met_at_its_bound_and_never_by_no_number(row: Row, met: bool) -> None:
    assert row.met is met


def test_of_several_rounds_the_median_counts_and_the_extremes_stand_beside_it() -> None:
    row = median_row("thrice", [3.0, 90.0, 5.0], "x", at_least(4), mean=7)
    assert (row.value, row.met) == (5, True)
    assert row.beside == {"mean": 7, "lowest": 3, "highest": 90}


def test_the_file_has_every_row_and_the_conditions(tmp_path: Path) -> None:
    write_json(tmp_path / "bench.json", {"cores": 2}, ROWS)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert written["conditions"] == {"cores": 2}
    assert [row["met"] for row in written["rows"]] == [True, False, False, None, None]
    assert written["rows"][0]["value"] == 10_500
    assert written["rows"][0]["target"] == {"bound": 10_000, "at_least": True, "aim": 14_000}


@pytest.mark.parametrize(
    ("row", "times"),
    [
        (Row("half of it", 50, "%", at_least(100)), 0.5),
        (Row("twice as slow", 10, "ms", at_most(5)), 0.5),
        (Row("twice as quick", 2.5, "ms", at_most(5)), 2),
        (Row("nothing failed", 0, "requests", at_most(0)), float("inf")),
        (Row("quicker than bare", -0.1, "ms", at_most(0.3)), float("inf")),
        (Row("something failed", 3, "requests", at_most(0)), 0),
    ],
)
def test_in_the_picture_one_is_the_target_and_more_is_better(row: Row, times: float) -> None:
    assert margin(row) == times


def test_the_picture_is_a_png(tmp_path: Path) -> None:
    draw(tmp_path / "bench.png", ROWS, "two cores")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert margin(ROWS[0]) < FURTHEST
