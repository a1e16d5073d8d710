from pathlib import Path

import pytest
from pydantic import ValidationError

from models.registry import VARIANTS
from training.data import SOURCES
from training.errors import RecipeError
from training.fit import fresh_model
from training.recipe import FOLDER, load_recipe

shipped = pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))


@shipped
def test_a_shipped_recipe_names_what_exists_and_has_a_gate(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model in VARIANTS
    assert recipe.dataset in SOURCES
    assert recipe.gate.accuracy >= 0.92
    fresh_model(recipe)


def test_a_recipe_is_frozen() -> None:
    recipe = load_recipe("lenet5")
    with pytest.raises(ValidationError, match="frozen"):
        setattr(recipe, "epochs", 1)  # noqa: B010, the direct form is an error to mypy


def test_a_recipe_file_of_ones_own_is_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "mlp.toml").read_text() + "\n[config]\nhidden = [32]\n")
    assert load_recipe(str(path)).config == {"hidden": [32]}


@pytest.mark.parametrize(
    ("change", "path", "value"),
    [
        ("epochs=3", ("epochs",), 3),
        ("optimiser.learning_rate=0.5", ("optimiser", "learning_rate"), 0.5),
        ("optimiser.name=sgd", ("optimiser", "name"), "sgd"),
        ('schedule.name="constant"', ("schedule", "name"), "constant"),
        ("config.hidden=[8, 4]", ("config",), {"hidden": [8, 4]}),
    ],
)
def test_a_change_replaces_one_value(change: str, path: tuple[str, ...], value: object) -> None:
    found: object = load_recipe("mlp", [change])
    for key in path:
        found = getattr(found, key)
    assert found == value


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("epoch=3", "epoch: Extra inputs"),
        ("optimiser.lr=3", "optimiser.lr: Extra inputs"),
        ("augmentation.flip=1", "augmentation.flip: Extra inputs"),
        ("epochs=many", "epochs: Input should be a valid integer"),
        ("epochs=0", "epochs: Input should be greater"),
        ("precision=8", "precision: Input should be"),
        ("gate.accuracy=99", "gate.accuracy: Input should be less"),
        ("name=../evil", "name: String should match"),
        ("epochs", "a change is written key=value"),
        ("epochs.more=3", "'epochs' is a value, not a table"),
    ],
)
def test_an_unknown_or_ill_typed_key_is_refused_by_name(change: str, named: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("lenet5", [change])
    assert named in str(error.value)


def test_an_unknown_recipe_is_refused_with_the_shipped_ones() -> None:
    with pytest.raises(RecipeError, match="one of lenet5, mlp, softmax"):
        load_recipe("vgg")


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("epochs = = 3")
    with pytest.raises(RecipeError, match=r"broken\.toml"):
        load_recipe(str(path))


def test_a_recipe_for_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecipeError, match="recipe 'mlp': no model 'transformer'"):
        fresh_model(load_recipe("mlp", ["model=transformer"]))


def test_a_recipe_with_a_value_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(RecipeError, match="no 'width'"):
        fresh_model(load_recipe("mlp", ["config.width=3"]))
