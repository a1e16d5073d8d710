import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.package import CARD, TensorCard
from service.package.cards import CARDS
from tests.packages import write_package
from training.commands.evaluate import evaluate
from training.commands.export import export
from training.recipe import shipped
from training.tasks import TASKS


def test_every_row_has_the_name_of_its_recipes_and_of_a_card() -> None:
    definitions = CARDS.json_schema()["$defs"].values()
    of_cards = {each["properties"]["task"]["const"] for each in definitions if "task" in each.get("properties", {})}
    assert set(TASKS) <= of_cards
    assert all(task.name == name for name, task in TASKS.items())


def test_every_shipped_recipe_is_of_the_type_of_its_row() -> None:
    for recipe in shipped():
        assert type(recipe) is TASKS[recipe.task].recipe


@pytest.fixture
def of_tensors(tmp_path: Path) -> Path:
    """A package of no training task."""
    folder = write_package(tmp_path, "sums")
    card = json.loads((folder / CARD).read_text())
    kept = {key: card[key] for key in TensorCard.model_fields if key in card}
    (folder / CARD).write_text(json.dumps({**kept, "task": "tensor"}))
    return folder


def test_a_package_of_no_training_task_cannot_be_evaluated(of_tensors: Path) -> None:
    done = CliRunner().invoke(evaluate, ["sums", "--repository", str(of_tensors.parents[1])])
    assert (done.exit_code, done.output) == (
        1,
        "Error: sums/1: its task is 'tensor'; what can be evaluated is 'classify', 'caption', 'classify-text', "
        "'segment', 'generate'\n",
    )


def test_a_package_of_no_training_task_cannot_be_exported_again(of_tensors: Path) -> None:
    done = CliRunner().invoke(export, [str(of_tensors)])
    assert done.exit_code == 1
    assert "its task is 'tensor'; only a classifier's package can be exported again" in done.output
