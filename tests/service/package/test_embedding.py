"""What a card may say of the feature vector its classifier gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.config import Config
from service.engine import Engine
from service.errors import InvalidPackage
from service.package import CARD, read_package
from service.package.cards import CARDS
from tests.embedding_packages import DIMENSION, write_embedding_package
from tests.explaining_packages import write_golden
from tests.packages import change_card, write_package
from tests.service.package.refusal import refused


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    """A right classifier with an embedding."""
    return write_embedding_package(tmp_path)


def test_a_card_with_an_embedding_survives_the_way_through_json(vectors: Path) -> None:
    card = read_package(vectors).classifier
    assert card.embedding is not None
    assert (card.embedding.tensor, card.embedding.dimension, card.embedding.layer) == ("embedding", DIMENSION, "scores")
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((vectors / CARD).read_text())


def test_a_card_need_have_none(tmp_path: Path) -> None:
    assert read_package(write_package(tmp_path)).classifier.embedding is None


OUTPUT = "graph.outputs.2"
# Key, value, and what the refusal says of it.
LIES: dict[str, tuple[str, Any, str]] = {
    "no output": ("embedding.tensor", "features", r"embedding.tensor is 'features'.*'embedding'\]"),
    "another dimension": (
        "embedding.dimension",
        DIMENSION + 1,
        r"'embedding' is FP32 \[-1, 16\]; with embedding.dimension 17 it must be FP32 \[-1, 17\]",
    ),
    "no dimension": ("embedding.dimension", None, "embedding.dimension"),
    "dimension of nothing": ("embedding.dimension", 0, "embedding.dimension"),
    "dimension beyond all networks": ("embedding.dimension", 20_000, "embedding.dimension.*16384"),
    "a number a row": ("embedding.tensor", "mean", r"'mean' is FP32 \[-1\]; with embedding.dimension 16 it must be"),
    "maps": (f"{OUTPUT}.shape", [-1, 16, 1, 1], r"FP32 \[-1, 16, 1, 1\]; with embedding.dimension 16 it must be"),
    "any size": (f"{OUTPUT}.shape", [-1, -1], r"FP32 \[-1, -1\]; with embedding.dimension 16 it must be"),
    "doubles": (f"{OUTPUT}.datatype", "FP64", r"FP64 \[-1, 16\]; with embedding.dimension 16 it must be FP32"),
    "no layer": ("embedding.layer", None, "embedding.layer"),
    "an unknown key": ("embedding.norm", 2, "embedding.norm"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_embedding_that_could_not_be_given_is_refused(lie: str, vectors: Path) -> None:
    key, value, naming = LIES[lie]
    change_card(vectors, key, value)
    refused(vectors, naming)


async def refused_by_the_engine(repository: Path, words: str) -> None:
    with pytest.raises(InvalidPackage, match=words):
        async with Engine(Config(repository=repository)):
            raise AssertionError("it loads")


async def test_an_embedding_that_the_graph_does_not_have_is_refused_at_load(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    card = json.loads((folder / CARD).read_text())
    card["graph"]["outputs"].append({"name": "embedding", "datatype": "FP32", "shape": [-1, 4]})
    card["embedding"] = {"tensor": "embedding", "dimension": 4, "layer": "scores"}
    (folder / CARD).write_text(json.dumps(card))
    await refused_by_the_engine(tmp_path, "the graph's outputs are .*; the card describes .*'embedding'")


async def test_a_dimension_that_the_graph_does_not_have_is_refused_at_load(vectors: Path, tmp_path: Path) -> None:
    change_card(vectors, "embedding.dimension", 8)
    change_card(vectors, f"{OUTPUT}.shape", [-1, 8])
    await refused_by_the_engine(tmp_path, r"\('embedding', 'FP32', \(-1, 16\)\).*; the card describes .*\(-1, 8\)")


async def test_a_golden_example_proves_the_embedding_too(vectors: Path, tmp_path: Path) -> None:
    with np.load(vectors / "golden.npz") as archive:
        golden = dict(archive)
    write_golden(vectors, {**golden, "embedding": golden["embedding"] + 0.1})
    await refused_by_the_engine(tmp_path, "golden output 'embedding' differs by 0.1")
    del golden["embedding"]
    write_golden(vectors, golden)
    await refused_by_the_engine(tmp_path, "no golden example of .*'embedding'")
