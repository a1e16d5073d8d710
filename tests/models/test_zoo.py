"""The shipped packages, each against its card, its recipe and 300 real digits."""

from pathlib import Path

import numpy as np
import pytest

from models.registry import VARIANTS
from service.package import Package, read_package
from tests.training.tiny import digits
from training.data import SOURCES, Split
from training.evaluate import measure
from training.recipe import FOLDER as RECIPES
from training.recipe import load_recipe, parse_recipe

ZOO = Path(__file__).parents[2] / "models" / "zoo"
FOLDERS = sorted(card.parent for card in ZOO.glob("*/*/model.json"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: f"{folder.parent.name}/{folder.name}")
def package(request: pytest.FixtureRequest) -> Package:
    return read_package(request.param)


def test_every_recipe_is_shipped() -> None:
    assert {folder.parent.name for folder in FOLDERS} == {path.stem for path in RECIPES.glob("*.toml")}


def test_the_card_reaches_the_gate_of_the_recipe_in_the_tree(package: Package) -> None:
    said = package.classifier.provenance
    recipe = parse_recipe(said.recipe, str(package))
    assert recipe == load_recipe(package.classifier.name)
    assert said.metrics["accuracy"] >= recipe.gate.accuracy


def test_the_card_counts_the_parameters_of_the_model_and_the_files_of_its_data(package: Package) -> None:
    said = package.classifier.provenance
    assert said.parameters == VARIANTS[said.recipe["model"]].parameters
    assert said.dataset.files == dict(SOURCES[said.dataset.name].files)


def test_parity_with_torch_is_on_the_card_for_batch_1_3_and_the_largest(package: Package) -> None:
    parity = package.classifier.provenance.parity
    assert {"1", "3", str(package.classifier.graph.max_batch)} <= parity.keys()
    assert max(parity.values()) <= 1e-5


def test_a_package_is_small_enough_for_the_repository(package: Package) -> None:
    sizes = {path.name: path.stat().st_size for path in package.folder.iterdir()}
    assert sum(sizes.values()) < 1_500_000
    assert sizes["card.png"] < 40_000


def test_real_digits_are_read_about_as_well_as_the_card_says(package: Package) -> None:
    images, labels = digits()
    found = measure(ZOO, package, Split(images, labels))["accuracy"]
    expected = package.classifier.provenance.metrics["accuracy"]
    # 300 of the 10,000: three standard deviations of a draw of that size.
    assert found >= expected - 3 * np.sqrt(expected * (1 - expected) / len(labels))
