from pathlib import Path

import pytest

from service.package import Provenance, read_package
from tests.packages import change_card
from tests.service.package.refusal import refused

SHA = "0" * 64


def test_a_lineage_has_the_data_and_the_code_of_every_generation(folder: Path) -> None:
    data = {"name": "photos", "licence": "CC0", "source": "here", "files": {"a.jpg": SHA}, "splits": {"training": 3}}
    first = {"name": "encoder", "version": 2, "sha256": SHA, "dataset": data, "trained_commit": "abc"}
    change_card(folder, "provenance.initial_weights", {"name": "run", "sha256": SHA, "initial_weights": first})
    said = read_package(folder).classifier.provenance.initial_weights
    assert said is not None
    assert said.initial_weights is not None
    assert said.initial_weights.dataset is not None
    assert (said.initial_weights.dataset.licence, said.initial_weights.trained_commit) == ("CC0", "abc")
    assert said.generations == 2


def test_a_card_of_before_names_no_commit_that_trained(folder: Path) -> None:
    said = read_package(folder).classifier.provenance
    assert said.git_commit == "none"
    assert said.trained_commit is None
    older = said.model_dump(exclude={"trained_commit", "initial_weights"})
    assert Provenance.model_validate(older) == said


@pytest.mark.parametrize("generations", [16, 17, 5_000])
def test_a_lineage_is_bounded(generations: int, folder: Path) -> None:
    card = (folder / "model.json").read_text()
    weights, ends = f'{{"name": "run", "sha256": "{SHA}"', "}" * generations
    chain = ', "initial_weights": '.join([weights] * generations) + ends
    (folder / "model.json").write_text(card.replace('"git_commit"', f'"initial_weights": {chain}, "git_commit"', 1))
    if generations == 16:
        assert read_package(folder).classifier.provenance.initial_weights is not None
    else:
        refused(folder, "the lineage has 17 generations; at most 16" if generations == 17 else "model.json: ")
