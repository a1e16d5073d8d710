from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.training.tiny import Tiny
from training.checkpoint import read_checkpoint
from training.pages.decoders import HEAD, PAGE, main, tabulate


def test_each_run_is_measured_into_a_row_of_the_page(
    scenes: Tiny, captioner_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LECTORIUM_DATA", str(scenes.folder))
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- decoders -->\nold\n<!-- /decoders -->\nafter\n")
    done = CliRunner().invoke(main, [str(captioner_run), "--page", str(page)], catch_exceptions=False)
    assert done.exit_code == 0
    lines = page.read_text().splitlines()
    assert (lines[:2], lines[-2:]) == (["before", "<!-- decoders -->"], ["<!-- /decoders -->", "after"])
    cells = [cell.strip() for cell in lines[-3].strip("|").split("|")]
    assert len(cells) == len(HEAD)
    history = read_checkpoint(captioner_run).history
    assert (cells[0], cells[2]) == ("LSTM with attention", "2")
    assert cells[3] == f"{history[-1]['validation_accuracy']:.1%}"
    assert all(0 <= float(cell) <= 10 for cell in cells[4:])


def test_the_shipped_page_has_a_place_for_the_table() -> None:
    assert PAGE.read_text("utf-8").count("<!-- decoders -->") == 1
    assert tabulate([]).count("\n") == 1
