"""The parts of a network as a recipe has them."""

from collections.abc import Iterator

import pytest

from tests.training.toys import toy_recipe, toys
from training.errors import RecipeError
from training.recipe import parse_recipe

SGD = {"name": "sgd", "learning_rate": 0.5, "momentum": 0.9}
OWN = {
    "discriminator": {
        "optimiser": {"learning_rate": 0.1},
        "schedule": {"name": "exponential", "factor": 0.5},
        "clipping": {"at": 0.05},
    }
}


@pytest.fixture(autouse=True)
def _toys() -> Iterator[None]:
    with toys():
        yield


def test_a_part_has_the_recipes_tables_with_its_own_keys_changed() -> None:
    recipe = toy_recipe("toy-pair", optimiser=SGD, schedule={"name": "cosine"}, clipping={"at": 0.2}, parts=OWN)
    both = [recipe.descent(part) for part in ("generator", "discriminator")]
    assert [how.optimiser.learning_rate for how in both] == [0.5, 0.1]
    assert [how.optimiser.momentum for how in both] == [0.9, 0.9]
    assert [how.schedule.name for how in both] == ["cosine", "exponential"]
    assert [how.clipping.at for how in both] == [0.2, 0.05]


def test_a_part_with_another_optimiser_takes_over_no_key() -> None:
    other = {"discriminator": {"optimiser": {"name": "adam", "learning_rate": 2e-4}}}
    recipe = toy_recipe("toy-pair", optimiser=SGD, parts=other)
    assert recipe.descent("discriminator").optimiser.beta1 == 0.9
    with pytest.raises(RecipeError, match=r"parts\.discriminator\.optimiser: learning_rate: Field required"):
        toy_recipe("toy-pair", parts={"discriminator": {"optimiser": {"name": "sgd"}}})


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"generator": {"optimizer": {}}}, "parts.generator.optimizer: unknown key; did you mean 'optimiser'?"),
        ({"generator": {"optimiser": {"lr": 1}}}, "parts.generator.optimiser: lr: unknown key; did you mean"),
        ({"generator": {"clipping": {"at": -1}}}, "parts.generator.clipping: at: Input should be greater than or"),
        ({"generator": 3}, "parts.generator: Input should be a table of keys, not 3"),
        ({"generator": {"optimiser": {"momentum": 1e999}}}, "parts.generator.optimiser: values must be finite"),
    ],
)
def test_a_key_of_a_part_is_checked_as_any_other(parts: object, message: str) -> None:
    with pytest.raises(RecipeError) as refused:
        toy_recipe("toy-pair", parts=parts)
    assert message in str(refused.value)


def test_a_recipe_with_parts_is_the_same_after_it_was_written() -> None:
    recipe = toy_recipe("toy-pair", parts=OWN)
    for values in (recipe.model_dump(mode="json"), recipe.model_dump(mode="json", exclude_defaults=True)):
        assert parse_recipe({"task": "toy", **values}, "written") == recipe
