"""What a card may say of how its classifier explains itself."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from service.package import CARD, read_package
from service.package.cards import CARDS
from tests.explaining_packages import LAYERS, write_explaining_package
from tests.packages import change_card
from tests.service.package.refusal import refused


@pytest.fixture
def seeing(tmp_path: Path) -> Path:
    """A right classifier that can explain itself both ways."""
    return write_explaining_package(tmp_path)


def test_a_card_with_both_explanations_survives_the_way_through_json(seeing: Path) -> None:
    card = read_package(seeing).classifier
    assert card.explain.methods == ["cam", "deconv"]
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((seeing / CARD).read_text())


@pytest.mark.parametrize(
    ("cam", "deconv", "methods"), [(True, False, ["cam"]), (False, True, ["deconv"]), (False, False, [])]
)
def test_a_card_may_have_either_explanation_or_none(
    cam: bool, deconv: bool, methods: list[str], tmp_path: Path
) -> None:
    card = read_package(write_explaining_package(tmp_path, cam=cam, deconv=deconv)).classifier
    assert card.explain.methods == methods
    assert list(card.beside) == (["deconv"] if deconv else [])


def test_a_deconvolution_says_the_shape_of_what_an_image_gives(seeing: Path) -> None:
    deconv = read_package(seeing).classifier.explain.deconv
    assert deconv is not None
    assert (deconv.reconstruction, deconv.layers) == ((2, 4, 4), LAYERS)


DECONV = "explain.deconv.graph"
# Key, value, and what the refusal says of it.
LIES: dict[str, tuple[str, Any, str]] = {
    "cam_is_no_output": ("explain.cam.tensor", "maps", r"explain.cam.tensor is 'maps'.*'cam'\]"),
    "cam_without_places": (
        "explain.cam.tensor",
        "probabilities",
        r"'probabilities' is FP32 \[-1, 3\]; it must be FP32 \[-1, 3, h, w\]",
    ),
    "cam_of_other_classes": (
        "graph.outputs.2.shape",
        [-1, 4, 2, 2],
        r"FP32 \[-1, 4, 2, 2\]; it must be FP32 \[-1, 3, h, w\]",
    ),
    "cam_of_any_size": (
        "graph.outputs.2.shape",
        [-1, 3, -1, -1],
        r"FP32 \[-1, 3, -1, -1\]; it must be FP32 \[-1, 3, h, w\]",
    ),
    "cam_of_whole_numbers": (
        "graph.outputs.2.datatype",
        "INT64",
        r"INT64 \[-1, 3, 2, 2\]; it must be FP32 \[-1, 3, h, w\]",
    ),
    "no_layers": ("explain.deconv.layers", [], "explain.deconv.layers"),
    "a_layer_twice": ("explain.deconv.layers", ["conv1", "conv1"], "'conv1', 'conv1'.*only once"),
    "another_image": (f"{DECONV}.inputs.0.shape", [-1, 5, 5], r"inputs are .*\[-1, 5, 5\].*\[-1, 4, 4\].*"),
    "image_of_another_name": (f"{DECONV}.inputs.0.name", "picture", "inputs are .*'picture'.*'image'.*"),
    "image_of_floats": (f"{DECONV}.inputs.0.datatype", "FP32", "inputs are .*FP32.*UINT8.*"),
    "layer_of_another_datatype": (f"{DECONV}.inputs.1.datatype", "INT32", "INT32.*'layer': .INT64"),
    "layer_with_a_dimension": (f"{DECONV}.inputs.1.shape", [-1, 1], r"\[-1, 1\].*'layer': .INT64 \[-1\]"),
    "no_reconstructions": (f"{DECONV}.outputs.0.name", "pixels", r"deconv.graph is 'reconstructions'.*'pixels'"),
    "reconstructions_of_another_size": (f"{DECONV}.outputs.0.shape", [-1, 2, 8, 8], r"outputs are .*\[-1, 2, 8, 8\]"),
    "reconstructions_of_any_number": (f"{DECONV}.outputs.0.shape", [-1, -1, 4, 4], "all sizes must be fixed"),
    "reconstructions_of_nothing": (f"{DECONV}.outputs.0.shape", [-1, 0, 4, 4], "all sizes must be fixed"),
    "fewer_maps": (f"{DECONV}.outputs.1.shape", [-1, 1], r"outputs are .*'maps': 'INT64 \[-1, 1\]'"),
    "maps_of_floats": (f"{DECONV}.outputs.1.datatype", "FP32", "'maps': 'FP32"),
    "fewer_strengths": (f"{DECONV}.outputs.2.shape", [-1, 1], r"'strengths': 'FP32 \[-1, 1\]'"),
    "no_batch": (f"{DECONV}.max_batch", 0, "max_batch is 0"),
    "graph_without_checksum": (f"{DECONV}.file", "other.onnx", "'other.onnx' has no checksum"),
    "unknown_method": ("explain.lime", {}, "explain.lime"),
    "unknown_views": ("parameters.views", {"allowed": ["single", "double"]}, "parameters.views.allowed"),
    "default_views_not_allowed": (
        "parameters.views",
        {"default": "flip", "allowed": ["single"]},
        r"parameters.views: .*'flip' and allowed is \['single'\]",
    ),
    "views_twice": ("parameters.views", {"allowed": ["single", "single"]}, r"parameters.views: .*each view once"),
    "no_views": ("parameters.views", {"allowed": []}, r"parameters.views: .*allowed is \[\]"),
}


@pytest.mark.parametrize(("key", "value", "naming"), LIES.values(), ids=list(LIES))
def test_an_explanation_that_could_not_be_given_is_refused(key: str, value: Any, naming: str, seeing: Path) -> None:
    change_card(seeing, key, value)
    refused(seeing, naming)


def test_the_graph_beside_the_classifiers_is_verified(seeing: Path) -> None:
    (seeing / "deconv.onnx").write_bytes(b"another")
    refused(seeing, re.escape("deconv.onnx has sha256"))


def test_all_views_are_allowed_where_the_card_says_nothing(seeing: Path) -> None:
    views = read_package(seeing).classifier.parameters.views
    assert (views.default, views.allowed) == ("single", ("single", "flip", "ten_crop"))
