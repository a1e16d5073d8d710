from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.training.tiny import Tiny
from training.craft.optimiser import KEYS
from training.craft.schedule import Name
from training.pages import optimisers as room
from training.pages.optimisers import (
    COMPARISONS,
    PAGE,
    PICTURE,
    Comparison,
    Entry,
    Result,
    compare,
    draw,
    main,
    tabulate,
)

RECIPE = {"dataset": "mnist", "model": "softmax", "validation": 40, "batch_size": 32, "epochs": 3}
SGD = Entry("descent", "I2DL V.1", ("optimiser.name=sgd",), (1e-6, 0.01, 1e-5))


def said(table: str) -> set[str]:
    """The values of ``table.name`` that the entries change."""
    changes = [change for each in COMPARISONS for entry in each.entries for change in entry.changes]
    return {change.partition("=")[2] for change in changes if change.startswith(f"{table}.name=")}


def test_every_optimiser_and_every_schedule_is_compared() -> None:
    assert said("optimiser") == set(KEYS)
    assert said("schedule") | {"constant"} == set(get_args(Name))


def test_the_page_has_every_result_and_the_picture_is_small() -> None:
    page = PAGE.read_text("utf-8")
    for comparison in COMPARISONS:
        table = page.partition(f"<!-- {comparison.name} -->\n")[2].partition(f"<!-- /{comparison.name} -->")[0]
        titles = [line.split("|")[1].strip() for line in table.splitlines()[2:]]
        assert titles == [entry.title for entry in comparison.entries]
    assert f"]({PICTURE})" in page
    with Image.open(PAGE.with_name(PICTURE)) as picture:
        assert picture.format == "PNG"
    assert PAGE.with_name(PICTURE).stat().st_size < 60_000


def test_an_epoch_of_mini_batches_has_no_short_one_at_its_end() -> None:
    recipes = [comparison.recipe for comparison in COMPARISONS]
    assert [recipe["examples"] % recipe["batch_size"] for recipe in recipes if recipe["batch_size"] != "full"] == [
        0
    ] * 3


@pytest.mark.fit
def test_of_several_rates_the_best_by_training_loss_is_reported(tiny: Tiny) -> None:
    (result,) = compare(Comparison("tiny", RECIPE, (SGD,)), tiny.folder)
    assert result.rate == 0.01
    assert len(result.history) == 3
    assert result.history[-1]["validation_loss"] < result.history[0]["validation_loss"]


@pytest.mark.fit
def test_all_start_with_the_same_weights_and_see_the_same_batches(tiny: Tiny) -> None:
    once = {**RECIPE, "batch_size": "full"}
    entries = (replace(SGD, rates=(1e-6,)), Entry("L-BFGS", "I2DL V.3", ("optimiser.name=lbfgs",), (1.0,)))
    one, other = compare(Comparison("tiny", once, entries), tiny.folder)
    # What the first epoch measures is the loss before the only step.
    assert one.history[0]["train_loss"] == pytest.approx(other.history[0]["train_loss"], rel=1e-5)
    assert other.history[1]["train_loss"] < one.history[1]["train_loss"] / 2


@pytest.mark.fit
def test_one_that_fails_at_every_rate_is_reported_with_its_step_and_its_error(tiny: Tiny) -> None:
    mlp = {**RECIPE, "model": "mlp", "config": {"hidden": [2]}, "batch_size": "full"}
    newton = Entry("Newton", "I2DL V.2", ("optimiser.name=newton", "optimiser.damping=0"), (1.0,))
    (result,) = compare(Comparison("tiny", mlp, (newton,)), tiny.folder)
    assert result.problem.startswith("step 1: Newton: the curvature is not positive")
    assert result.problem in tabulate([result])


def test_a_table_has_a_line_for_each_result() -> None:
    last = {"train_loss": 0.25, "validation_loss": 0.5, "validation_accuracy": 0.875}
    good = Result(SGD, 0.01, [last])
    bad = Result(replace(SGD, title="other"), 0.1, problem="step 7: it fails")
    assert tabulate([good, bad]).splitlines()[2:] == [
        "| descent | I2DL V.1 | 0.01 | 0.2500 | 0.5000 | 87.50% |",
        "| other | I2DL V.1 | 0.1 | step 7: it fails | | |",
    ]


@pytest.mark.fit
def test_the_command_writes_tables_and_picture(tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("one-full-batch", "two-full-batch")
    small = tuple(Comparison(name, RECIPE, (replace(SGD, rates=(0.01,)),)) for name in names)
    monkeypatch.setattr(room, "COMPARISONS", small)
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))
    page = tmp_path / "PAGE.md"
    page.write_text("".join(f"<!-- {name} -->\n<!-- /{name} -->\n" for name in names))
    result = CliRunner().invoke(main, ["--page", str(page)], catch_exceptions=False)
    assert result.exit_code == 0
    assert page.read_text().count("| descent | I2DL V.1 | 0.01 |") == 2
    with Image.open(tmp_path / PICTURE) as picture:
        assert picture.size == (640, 256)


def test_the_picture_leaves_out_what_failed(tmp_path: Path) -> None:
    history = [{"train_loss": 1 / step} for step in range(1, 20)]
    good, bad = Result(SGD, 0.01, history), Result(SGD, 0.1, problem="step 1: it fails")
    draw({"a": [good], "b": [good]}, tmp_path / "one.png")
    draw({"a": [good, bad], "b": [good]}, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()


def test_an_entry_has_its_colour_wherever_it_is_drawn(tmp_path: Path) -> None:
    good = Result(SGD, 0.01, [{"train_loss": 1 / step} for step in range(1, 20)])
    bad = Result(replace(SGD, title="other"), 0.1, problem="step 1: it fails")
    draw({"a": [bad, good]}, tmp_path / "second.png")
    with Image.open(tmp_path / "second.png") as picture:
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 16) or []}
    # The second of matplotlib's colours, not the first.
    assert (255, 127, 14) in colours
    assert (31, 119, 180) not in colours
