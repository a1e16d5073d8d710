import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.registry import ROWS
from tests.training.tiny import Tiny, make_folder, tiny_recipe
from training.data.catalogue import CAPTIONED, DRAWN, MASKED
from training.data.image_sets import SOURCES
from training.data.language_texts import LanguageTexts
from training.errors import RecipeError
from training.recipe import FOLDER, load_classifier, load_recipe, parse_recipe
from training.recipe import shipped as shipped_recipes
from training.start import fresh_model
from training.tasks import open_recipe

ZOO = Path(__file__).parents[2] / "models" / "zoo"
shipped = pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))


@shipped
def test_a_shipped_recipe_names_what_exists(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.model in ROWS
    known = {*SOURCES, *DRAWN, *CAPTIONED, *MASKED, LanguageTexts.name}
    assert recipe.dataset in known or name.startswith("folder-")
    fresh_model(recipe)


@shipped
def test_a_recipe_whose_package_is_shipped_has_a_gate(name: str) -> None:
    targets = load_recipe(name).targets
    assert bool(targets) == (ZOO / name).is_dir()
    assert all(bound.value >= 0.85 for metric, bound in targets.items() if metric == "accuracy")


def test_all_shipped_recipes_are_listed_by_name() -> None:
    names = [recipe.name for recipe in shipped_recipes()]
    assert names == sorted(path.stem for path in FOLDER.glob("*.toml"))


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
        ("epoch=3", "epoch: unknown key; did you mean 'epochs'?"),
        ("optimiser.lrr=3", "optimiser.lrr: unknown key; did you mean 'learning_rate'?"),
        ("lr=3", "lr: unknown key; did you mean 'optimiser.learning_rate'?"),
        ("optimiser.zebra=3", "optimiser.zebra: unknown key; the keys are name, learning_rate, "),
        ("optimiser.learning_rat=3", "optimiser.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("optimizer.momentum=0", "optimizer: unknown key; did you mean 'optimiser'?"),
        ("learning_rate=3", "learning_rate: unknown key; did you mean 'optimiser.learning_rate'?"),
        ("gate.acuracy=0.5", "gate.acuracy: unknown key; did you mean 'accuracy'?"),
        ("transfer.weight=w", "transfer.weight: unknown key; did you mean 'weights'?"),
        ("task=captoin", "not 'captoin'; did you mean 'caption'?"),
        (
            "task=[1]",
            "task: Input should be one of 'classify', 'caption', 'classify-text', 'segment', 'generate', not [1]",
        ),
        ("schedule.name=cosin", "or 'table', not 'cosin'; did you mean 'cosine'?"),
        ("noise=3", "noise: Input should be a table of keys, not 3"),
        ("augmentation.flip=1", "augmentation.flip: Input should be less than 1, not 1"),
        ("epochs=many", "epochs: Input should be a valid integer, not 'many'"),
        ("epochs=-1", "epochs: Input should be greater"),
        ("validation=0", "validation: Input should be greater than or equal to 1 or "),
        ("validation=1.5", "validation: Input should be "),
        ("batch_size=all", "batch_size: Input should be a valid integer or Input should be 'full', not 'all'"),
        ("epochs=99999999999", "epochs: Input should be less than or equal to 2147483647"),
        ("batch_size=99999999999", "batch_size: Input should be less than or equal to 2147483647"),
        ("optimiser.learning_rate=nan", "optimiser.learning_rate: Input should be a finite number, not nan"),
        ("optimiser.learning_rate=inf", "optimiser.learning_rate: Input should be a finite number, not inf"),
        ("optimiser.learning_rate=1e300", "optimiser.learning_rate: Input should be less than or equal to 1e+37"),
        ("schedule.warmup=inf", "schedule.warmup: Input should be a finite number, not inf"),
        ("penalty.l1=inf", "penalty.l1: Input should be a finite number, not inf"),
        ("early_stopping.min_delta=inf", "early_stopping.min_delta: Input should be a finite number, not inf"),
        ("augmentation.rotation=400", "augmentation.rotation: Input should be less than or equal to 180, not 400"),
        (
            "config.dropout=nan",
            "config: values must be finite numbers, strings, true or false, or lists or tables of these",
        ),
        ("config.hidden=2020-01-01", "config: values must be finite numbers, strings,"),
        ("dataset=''", "dataset: String should have at least 1 character"),
        ("keep=first", "keep: Input should be 'last' or 'best'"),
        ("early_stopping.patience=-1", "early_stopping.patience: Input should be greater"),
        (
            "early_stopping.metric=train_loss",
            "early_stopping.metric: Input should be one of 'validation_loss', 'validation_accuracy', not 'train_loss'",
        ),
        ("clipping.by=sign", "clipping.by: Input should be 'norm' or 'value'"),
        ("transfer.mode=slow", "transfer.weights: Field required"),
        ("fold.index=3", "fold.of: Field required"),
        ("ema=1", "ema: Input should be less"),
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
    with pytest.raises(RecipeError, match=r"one of camvid-context, .*, cifar10-resnet20, .*, lenet5, logistic, "):
        load_recipe("vgg")


def test_a_misspelt_recipe_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match="no recipe 'lenet'; did you mean 'lenet5'"):
        load_recipe("lenet")


def test_an_unknown_key_of_a_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((FOLDER / "mlp.toml").read_text() + "\n[clippin]\nat = 1\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: clippin: unknown key; did you mean 'clipping'\?"):
        load_recipe(str(path))


def test_a_file_that_is_no_toml_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.toml"
    path.write_text("epochs = = 3")
    with pytest.raises(RecipeError, match=r"broken\.toml"):
        load_recipe(str(path))


def test_a_recipe_for_a_model_that_does_not_exist_is_refused() -> None:
    with pytest.raises(RecipeError, match="recipe 'mlp': no model 'transformer'"):
        fresh_model(load_recipe("mlp", ["model=transformer"]))
    with pytest.raises(RecipeError, match=r"no model 'vgg7-18'; .*; did you mean 'vgg7-28'"):
        fresh_model(load_recipe("mlp", ["model=vgg7-18"]))


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("batch_size=128", 'batch_size = "full"'),
        ("precision=bf16-mixed", 'precision = "32-true"'),
        ("clipping.at=1", "no clipping"),
        ('transfer={weights="w", mode="slow"}', "no slow transfer"),
    ],
)
def test_an_optimiser_of_the_full_batch_has_its_conditions(change: str, wanted: str) -> None:
    full = ("optimiser={name='lbfgs', learning_rate=1}", "batch_size=full")
    assert load_recipe("softmax", full).optimiser.full_batch
    with pytest.raises(RecipeError, match=f"lbfgs uses all examples at each step; it requires {wanted}"):
        load_recipe("softmax", (*full, change))


def test_what_older_recipes_do_not_say_has_a_default() -> None:
    """Checkpoints hold recipes as they were written; runs of yesterday are read tomorrow."""
    values = json.loads((Path(__file__).parent.parent / "data" / "recipe-of-old.json").read_text())
    recipe = parse_recipe(values, "an old checkpoint")
    assert recipe == load_recipe("fashion-vgg7", ["temperature=false"])
    assert (recipe.keep, recipe.transfer, recipe.examples, recipe.early_stopping.patience) == ("last", None, None, 0)


def test_a_folder_takes_the_place_of_the_data_set_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    photographs = make_folder(tmp_path / "My flowers", per_class=1, classes=2)
    recipe = load_classifier("logistic", ["epochs=3"], folder=photographs)
    assert (recipe.dataset, recipe.name) == (str(photographs), "My-flowers")
    assert (recipe.gate, recipe.classes, recipe.validation, recipe.epochs) == (None, (), 0.15, 3)
    assert load_recipe("logistic", ["name=roses", "validation=7"], folder=photographs).name == "roses"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ("augmentation.shift=29", "augmentation.shift is 29; images of 28x28 allow at most 28"),
        ("augmentation.crop=100000", "augmentation.crop is 100000; images of 28x28 allow at most 28"),
        ("augmentation.elastic=1e9", r"augmentation.elastic is 1e\+09; images of 28x28 allow at most 28"),
        ("config.channels=x", "config.channels is 'x'; it must be a whole number"),
        ("model=resnet20-28 config.widths=[]", "config: "),
    ],
)
def test_what_the_images_or_the_model_cannot_have_is_refused_before_training(
    tiny: Tiny, change: str, wanted: str
) -> None:
    with pytest.raises(RecipeError, match=wanted):
        open_recipe(tiny_recipe(*change.split(), model="lenet5"), tiny.folder).start()


def test_a_recipe_with_a_value_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"no 'hiden'; it has .*; did you mean 'hidden'"):
        fresh_model(load_recipe("mlp", ["config.hiden=3"]))
