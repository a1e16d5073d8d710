"""What a card may say of a model that generates images."""

import json
from pathlib import Path
from typing import Any

import pytest

from service.package import CARD, read_package
from service.package.cards import CARDS
from tests.generate_packages import HEIGHT, LABELS, MAX_BATCH, WIDTH, write_generate_package
from tests.packages import change_card
from tests.pixel_packages import write_pixel_package
from tests.service.package.refusal import refused


@pytest.fixture
def greys(tmp_path: Path) -> Path:
    """A right generator."""
    return write_generate_package(tmp_path)


def test_a_generators_card_survives_the_way_through_json(greys: Path) -> None:
    package = read_package(greys)
    card = package.generator
    assert (card.size, package.labels) == ((HEIGHT, WIDTH), LABELS)
    assert sorted(card.parameters.controls) == ["guidance", "truncation"]
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((greys / CARD).read_text())


# Key, value, and what the refusal says of it.
WRONG: dict[str, tuple[str, Any, str]] = {
    "no such output": ("sample.tensor", "picture", r"sample.tensor is 'picture'; the graph has \['image', 'so_far'\]"),
    "a preview that is not emitted": (
        "loop.emit",
        [],
        r"sample.preview is 'so_far'; the graph has \['image'\]",
    ),
    "a preview that is no picture": ("sample.preview", "next_latent", "sample.preview is 'next_latent'"),
    "no samples": ("parameters.count.minimum", 0, f"parameters.count is 0 to 9; with max_batch {MAX_BATCH} it may be"),
    "too many samples": ("parameters.count.maximum", 17, f"parameters.count is 1 to 17; with max_batch {MAX_BATCH} it"),
    "no such input": ("parameters.guidance.tensor", "weight", "parameters.guidance.tensor is 'weight'"),
    "an input of another type": (
        "parameters.guidance.tensor",
        "label",
        r"parameters.guidance.tensor 'label' is INT64 \[-1\]; it must be FP32 \[-1\]",
    ),
    "one input twice": (
        "parameters.truncation.tensor",
        "guidance",
        r"parameters name the tensors \['guidance', 'guidance', 'label'\]; each needs one of its own",
    ),
    "an input that nothing fills": (
        "loop.sources.latent",
        {"kind": "state", "output": "next_latent", "initial": {"kind": "request"}},
        r"loop: a request needs \['latent'\] too; a generator needs what its parameters name",
    ),
    "a default out of its range": ("parameters.guidance.default", 9.0, "default 9 is outside 0..5"),
    "labels without a checksum": ("parameters.label.labels", "names.txt", "file 'names.txt' has no checksum"),
}


@pytest.mark.parametrize(("key", "value", "why"), WRONG.values(), ids=list(WRONG))
def test_a_card_that_contradicts_itself_is_refused(greys: Path, key: str, value: Any, why: str) -> None:
    change_card(greys, key, value)
    refused(greys, why)


def scored(**changes: Any) -> dict[str, Any]:
    """A score whose graph is said to take the pictures of `greys`."""
    image = {"name": "picture", "datatype": "UINT8", "shape": [-1, HEIGHT, WIDTH]}
    noise = {"name": "noise", "datatype": "FP32", "shape": [-1, 4]}
    found = {"name": "bound", "datatype": "FP32", "shape": [-1]}
    graph = {"file": "step.onnx", "inputs": [image, noise], "outputs": [found], "max_batch": 4}
    draws = {"noise": {"kind": "draw", "distribution": "normal"}}
    return {"graph": graph, "image": "picture", "log_likelihood": "bound", "draws": draws, **changes}


def test_a_score_is_a_part_of_its_own(greys: Path) -> None:
    change_card(greys, "score", scored())
    card = read_package(greys).generator
    assert {name: graph.max_batch for name, graph in card.beside.items()} == {"score": 4}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"image": "noise"}, r"score.image 'noise' is FP32 \[-1, 4\]; a sample is UINT8"),
        ({"log_likelihood": "picture"}, "score.log_likelihood is 'picture'; the graph has"),
        ({"draws": {}}, r"score.draws has \[\]; the graph's other inputs are \['noise'\]"),
    ],
)
def test_a_score_that_contradicts_its_graph_is_refused(greys: Path, changes: dict[str, Any], why: str) -> None:
    change_card(greys, "score", scored(**changes))
    refused(greys, why)


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("loop.choice.default", "greedy", "loop.choice: default is 'greedy'; a generator samples"),
        (
            "parameters.temperature",
            {"tensor": "pixel", "default": 1.0, "minimum": 0.0, "maximum": 2.0},
            "parameters.temperature is given; the loop's choice has a temperature of its own",
        ),
    ],
)
def test_a_generator_that_chooses_tokens_samples_them(tmp_path: Path, key: str, value: Any, why: str) -> None:
    folder = write_pixel_package(tmp_path)
    assert read_package(folder).generator.parameters.controls == {}
    change_card(folder, key, value)
    refused(folder, why)
