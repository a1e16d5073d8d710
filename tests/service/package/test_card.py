import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.package import CARD, read_package
from service.package.cards import CARDS
from tests.packages import CLASSES, change_card
from tests.service.engine.sums import write_sums
from tests.service.package.refusal import refused

NO_SHA = "0" * 64


@pytest.fixture(params=["folder", "chars_folder", "diffusion_folder", "sums_folder"])
def any_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A right package of each kind: a classifier, a loop, one with an encoder, a graph alone."""
    if request.param == "sums_folder":
        return write_sums(tmp_path)
    folder: Path = request.getfixturevalue(request.param)
    return folder


def test_a_card_of_every_kind_survives_the_way_through_json(any_folder: Path) -> None:
    card = read_package(any_folder).card
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert CARDS.validate_python(json.loads(json.dumps(card.model_dump(mode="json")))) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((any_folder / CARD).read_text())


def test_a_card_is_frozen(folder: Path) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        read_package(folder).card.version = 2  # type: ignore[misc]


LIES: dict[str, tuple[str, Any]] = {
    "unknown_key": ("colour", "red"),
    "unknown_key_inside": ("graph.device", "cuda"),
    "missing_title": ("title", None),
    "missing_max_batch": ("graph.max_batch", None),
    "no_room_for_a_row": ("graph.max_batch", -1),
    "no_inputs": ("graph.inputs", []),
    "no_outputs": ("graph.outputs", []),
    "unknown_datatype": ("graph.inputs.0.datatype", "FLOAT"),
    "dimension_below_minus_one": ("graph.inputs.0.shape", [-1, -2, 4]),
    "version_zero": ("version", 0),
    "version_text": ("version", "latest"),
    "unknown_task": ("task", "guess"),
    "unknown_colour": ("preprocessing.colour", "infrared"),
    "no_height": ("preprocessing.height", 0),
    "unknown_fit": ("preprocessing.fit", "bend"),
    "unknown_interpolation": ("preprocessing.interpolation", "magic"),
    "background_over_255": ("preprocessing.background", 256),
    "no_tolerance": ("golden.tolerance", 0),
    "not_a_checksum": ("files.labels.txt", "abc"),
    "no_examples": ("provenance.dataset.splits.test", 0),
    "missing_licence": ("provenance.dataset.licence", None),
}


@pytest.mark.parametrize(("key", "value"), LIES.values(), ids=list(LIES))
def test_a_wrong_value_in_the_card_is_refused_by_its_key(key: str, value: Any, folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    if key.startswith("files."):
        card["files"][key.removeprefix("files.")] = value
        (folder / CARD).write_text(json.dumps(card))
    else:
        change_card(folder, key, value)
    refused(folder, naming=re.escape(key))


# Each as absurd as JSON allows.
HUGE: dict[str, tuple[str, Any]] = {
    "version": ("version", 10**12),
    "max_batch": ("graph.max_batch", 10**12),
    "dimension": ("graph.inputs.0.shape", [-1, 10**12]),
    "dimensions": ("graph.inputs.0.shape", [-1] * 100),
    "tensors": ("graph.inputs", [{"name": "x", "datatype": "FP32", "shape": [-1]}] * 5000),
    "name": ("graph.inputs.0.name", "x" * 10_000),
    "description": ("description", "x" * 200_000),
    "side": ("preprocessing.height", 10**9),
    "top_k": ("parameters.top_k.maximum", 10**30),
    "priority": ("serving", {"priority": 10**9}),
    "timeout": ("serving", {"dynamic_batching": {"default_queue_policy": {"default_timeout_microseconds": 10**18}}}),
    "queue": ("serving", {"dynamic_batching": {"default_queue_policy": {"max_queue_size": 10**12}}}),
    "versions": ("serving", {"version_policy": {"specific": {"versions": [10**12]}}}),
    "tolerance": ("golden.tolerance", 1e300),
    "macs": ("provenance.macs", 10**30),
    "seed": ("provenance.seed", 10**30),
    "metrics": ("provenance.metrics", {"accuracy": float("nan")}),
    "recipe": ("provenance.recipe", {"rate": float("inf")}),
}


@pytest.mark.parametrize(("key", "value"), HUGE.values(), ids=list(HUGE))
def test_a_number_text_or_list_beyond_its_ceiling_is_refused_by_its_key(key: str, value: Any, folder: Path) -> None:
    change_card(folder, key, value)
    refused(folder, naming=re.escape(key))


def test_a_run_that_would_take_more_memory_than_it_may_is_refused(folder: Path) -> None:
    change_card(folder, "graph.inputs.0.shape", [-1, 8192, 8192])
    change_card(folder, "graph.max_batch", 64)
    refused(folder, naming=f"a run of max_batch 64 takes {64 * (8192**2 + 4 * CLASSES + 4)} bytes")


def test_everything_that_a_card_may_say_has_a_ceiling() -> None:
    schema = CARDS.json_schema()
    boundless = {where for name, kind in schema["$defs"].items() for where in without_ceiling(name, kind)}
    assert boundless == set()


def without_ceiling(where: str, kind: Any) -> Iterator[str]:
    """Where in the schema a number, text, list or mapping may be of any size."""
    if isinstance(kind, list):
        for index, inner in enumerate(kind):
            yield from without_ceiling(f"{where}[{index}]", inner)
    if not isinstance(kind, dict):
        return
    ceilings = {"integer": {"maximum"}, "string": {"maxLength", "pattern"}, "array": {"maxItems"}}
    fixed = {"const", "enum", "prefixItems"}
    wanted = ceilings.get(kind.get("type", ""), {"maxProperties"} if kind.get("additionalProperties") else set())
    if wanted and not (wanted | fixed) & kind.keys():
        yield where
    for key, inner in kind.items():
        if key not in ("default", "required", "discriminator"):
            yield from without_ceiling(f"{where}.{key}", inner)


CONTRADICTIONS: dict[str, tuple[str, Any, str]] = {
    "image_is_no_input": ("preprocessing.tensor", "picture", "preprocessing.tensor is 'picture'.*'image'"),
    "classes_are_no_output": ("classes.tensor", "logits", "classes.tensor is 'logits'.*'probabilities'"),
    "image_of_texts": ("graph.inputs.0.datatype", "BYTES", "'image' is BYTES; it must be a numeric datatype"),
    "classes_of_texts": (
        "graph.outputs.0.datatype",
        "BYTES",
        "'probabilities' is BYTES; it must be a numeric datatype",
    ),
    "graph_without_checksum": ("graph.file", "other.onnx", "'other.onnx' has no checksum"),
    "labels_without_checksum": ("classes.labels", "other.txt", "'other.txt' has no checksum"),
    "golden_without_checksum": ("golden.file", "other.npz", "'other.npz' has no checksum"),
    "classes_without_their_dimension": ("classes.tensor", "mean", "labels.txt has 3 labels; the graph has -1 classes"),
    "default_below_range": ("parameters.top_k.minimum", 3, r"parameters.top_k: .*default 2 is outside 3\.\.3"),
    "default_above_range": ("parameters.top_k.maximum", 1, r"parameters.top_k: .*default 2 is outside 1\.\.1"),
    "input_of_fixed_batch": ("graph.inputs.0.shape", [1, 4, 4], r"graph: .*'image'.*batch"),
    "input_without_batch": ("graph.inputs.0.shape", [], r"graph: .*'image'.*batch"),
    "output_without_batch": ("graph.outputs.1.shape", [], r"graph: .*'mean'.*batch"),
}


@pytest.mark.parametrize(("key", "value", "naming"), CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_a_card_that_contradicts_itself_is_refused(key: str, value: Any, naming: str, folder: Path) -> None:
    change_card(folder, key, value)
    refused(folder, naming)


def test_a_card_may_leave_a_single_output(folder: Path) -> None:
    change_card(folder, "graph.outputs", [{"name": "probabilities", "datatype": "FP32", "shape": [-1, CLASSES]}])
    assert len(read_package(folder).classifier.graph.outputs) == 1


def test_a_default_may_lie_on_either_edge_of_its_range(folder: Path) -> None:
    change_card(folder, "parameters.top_k", {"default": 2, "minimum": 2, "maximum": 2})
    assert read_package(folder).classifier.parameters.top_k.default == 2


@pytest.mark.parametrize("name", ["", "a/b", "..", "../tiny", ".hidden", "-o", "a b", "tiny\n", "ä", "a" * 65])
def test_a_model_name_that_is_no_plain_word_is_refused(name: str, folder: Path) -> None:
    change_card(folder, "name", name)
    refused(folder, naming="name: ")


@pytest.mark.parametrize(
    "file", ["", "..", "../x.onnx", "/etc/passwd", "a/b.onnx", "a\\b.onnx", ".x", "x\n", "x" * 129]
)
def test_a_file_name_that_could_reach_outside_the_folder_is_refused(file: str, folder: Path) -> None:
    card = json.loads((folder / CARD).read_text())
    card["files"][file] = NO_SHA
    card["graph"]["file"] = file
    (folder / CARD).write_text(json.dumps(card))
    refused(folder, naming="graph.file: ")
    change_card(folder, "graph.file", "model.onnx")
    refused(folder, naming="files.")


@pytest.mark.parametrize("programs", [[], ["graph", "loop"]])
def test_a_tensor_card_has_either_a_graph_or_a_loop(programs: list[str], chars_folder: Path) -> None:
    card = json.loads((chars_folder / CARD).read_text())
    both = {"loop": card.pop("loop")}
    both["graph"] = both["loop"]["step"]
    (chars_folder / CARD).write_text(json.dumps(card | {key: both[key] for key in programs}))
    refused(chars_folder, "exactly one of 'graph' and 'loop' is required")


@pytest.mark.parametrize("file", ["model.onnx", "encoder.onnx", "golden.npz"])
def test_every_file_of_a_loop_has_a_checksum(file: str, diffusion_folder: Path) -> None:
    card = json.loads((diffusion_folder / CARD).read_text())
    del card["files"][file]
    (diffusion_folder / CARD).write_text(json.dumps(card))
    refused(diffusion_folder, f"file '{file}' has no checksum under 'files'")
