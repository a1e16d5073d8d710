"""What a card may say of a model that gives every pixel a class."""

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
from tests.explaining_packages import write_golden
from tests.packages import change_card, replace_file, write_package
from tests.segment_packages import LABELS, PALETTE, segmented, write_segment_package
from tests.service.package.refusal import refused


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    """A right segmenter."""
    return write_segment_package(tmp_path)


def test_a_segmenters_card_survives_the_way_through_json(colours: Path) -> None:
    package = read_package(colours)
    card = package.segmenter
    assert (card.segmentation.palette, card.segmentation.background, card.segmentation.countable) == (
        PALETTE,
        0,
        (1, 3),
    )
    assert package.labels == LABELS
    assert package.tensor_labels == {"area": LABELS, "confidence": LABELS}
    assert CARDS.validate_json(card.model_dump_json()) == card
    assert json.loads(card.model_dump_json(exclude_unset=True)) == json.loads((colours / CARD).read_text())


def test_colours_may_be_written_with_capitals(colours: Path) -> None:
    change_card(colours, "segmentation.palette", [colour.upper() for colour in PALETTE])
    assert read_package(colours).segmenter.segmentation.palette == PALETTE


def test_without_countable_classes_there_are_no_instances(colours: Path) -> None:
    assert "instances" in read_package(colours).segmenter.outputs
    change_card(colours, "segmentation.countable", None)
    assert "instances" not in read_package(colours).segmenter.outputs
    change_card(colours, "parameters.output.default", ["instances"])
    refused(colours, "parameters.output.default has 'instances', but segmentation.countable has no class")


# Key, value, and what the refusal says of it.
WRONG: dict[str, tuple[str, Any, str]] = {
    "no such output": ("segmentation.area", "pixels", r"segmentation.area is 'pixels'; the graph has \['mask'"),
    "another mask": ("segmentation.mask", "probability", r"segmentation.mask 'probability' is FP32 \[-1, -1, -1\]"),
    "a colour too few": (
        "segmentation.palette",
        ["#000000", "#ff0000"],
        r"countable is \[1, 3\]; with 2 colours it may have each of 0 to 1 once",
    ),
    "a colour too many": (
        "segmentation.palette",
        [*PALETTE, "#ffffff"],
        r"'area' is INT64 \[-1, 4\]; with 5 colours in segmentation.palette it must be INT64 \[-1, 5\]",
    ),
    "no colour": ("segmentation.palette", ["black", *PALETTE[1:]], "segmentation.palette.0"),
    "one class": ("segmentation.palette", ["#000000"], "segmentation.palette: .* at least 2"),
    "background of no class": ("segmentation.background", 4, "background is 4; with 4 colours it may be 0 to 3"),
    "countable background": ("segmentation.background", 1, "class 1 is in countable and is the background"),
    "counted twice": ("segmentation.countable", [1, 1], r"countable is \[1, 1\]; with 4 colours"),
    "one size": ("graph.inputs.0.shape", [-1, 6, 8, 3], r"'image' is UINT8 \[-1, 6, 8, 3\]; a segmenter's rgb image"),
    "grey": ("preprocessing.colour", "grey", r"a segmenter's grey image must be UINT8 \[-1, -1, -1\]"),
    "floats": ("graph.inputs.0.datatype", "FP32", r"'image' is FP32 .* must be UINT8 \[-1, -1, -1, 3\]"),
    "cropped": ("preprocessing.fit", "crop", "preprocessing.fit is 'crop', which leaves pixels without a class"),
    "no batches": ("graph.max_batch", 0, "graph.max_batch is 0"),
    "too much memory": ("preprocessing", {"tensor": "image", "colour": "rgb", "height": 8192, "width": 8192}, "bytes"),
    "no such file": ("segmentation.labels", "names.txt", "'names.txt' has no checksum"),
    "unknown output": ("parameters.output.default", ["svg"], "parameters.output.default.0"),
    "a default that is not allowed": ("parameters.output.allowed", ["mask"], "allowed must include the defaults"),
    "an unknown key": ("segmentation.void", 255, "segmentation.void"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_refused_by_name(case: str, colours: Path) -> None:
    key, value, naming = WRONG[case]
    change_card(colours, key, value)
    refused(colours, naming)


def test_a_further_input_is_refused(colours: Path) -> None:
    card = json.loads((colours / CARD).read_text())
    card["graph"]["inputs"].append({"name": "scale", "datatype": "FP32", "shape": [-1]})
    (colours / CARD).write_text(json.dumps(card))
    refused(colours, r"graph.inputs are \['image', 'scale'\]; a segmenter takes only an image")


def test_a_label_for_each_class(colours: Path) -> None:
    replace_file(colours, "labels.txt", b"dark\nbright\n")
    refused(colours, "labels.txt has 2 labels; the graph has 4 classes")


def test_a_classifier_segments_nothing_and_the_other_way_round(tmp_path: Path, colours: Path) -> None:
    with pytest.raises(InvalidPackage, match="its task is 'classify'; a segmenter's is 'segment'"):
        _ = read_package(write_package(tmp_path)).segmenter
    with pytest.raises(InvalidPackage, match="its task is 'segment'; a classifier's is 'classify'"):
        _ = read_package(colours).classifier


async def refused_by_the_engine(repository: Path, words: str) -> None:
    with pytest.raises(InvalidPackage, match=words):
        async with Engine(Config(repository=repository)):
            raise AssertionError("it loads")


async def test_a_palette_for_other_classes_than_the_graphs_is_refused_at_load(tmp_path: Path, colours: Path) -> None:
    change_card(colours, "segmentation.palette", [*PALETTE, "#ffffff"])
    for output in (2, 3):
        change_card(colours, f"graph.outputs.{output}.shape", [-1, 5])
    replace_file(colours, "labels.txt", b"a\nb\nc\nd\ne\n")
    await refused_by_the_engine(tmp_path, r"\('area', 'INT64', \(-1, 4\)\).*; the card describes .*\(-1, 5\)")


async def test_a_golden_mask_may_differ_where_the_card_says_in_a_share_of_the_pixels(
    tmp_path: Path, colours: Path
) -> None:
    with np.load(colours / "golden.npz") as archive:
        golden = dict(archive)
    golden["mask"][0, 0, 0] ^= 1  # one of 96
    write_golden(colours, golden)
    await refused_by_the_engine(tmp_path, "golden output 'mask' differs by 1")
    change_card(colours, "golden.unequal", 0.01)
    await refused_by_the_engine(tmp_path, "golden output 'mask' differs by 1")
    change_card(colours, "golden.unequal", 0.02)
    async with Engine(Config(repository=tmp_path)) as engine:
        assert engine.repository.names == ["colours"]


async def test_the_share_is_for_whole_numbers_only(tmp_path: Path, colours: Path) -> None:
    with np.load(colours / "golden.npz") as archive:
        golden = dict(archive)
    golden["probability"][0, 0, 0] += 0.01
    write_golden(colours, golden)
    change_card(colours, "golden.unequal", 0.1)
    await refused_by_the_engine(tmp_path, "golden output 'probability' differs by 0.0")


async def test_an_image_of_any_size_runs_in_the_engine_and_equal_sizes_share_runs(
    tmp_path: Path, colours: Path
) -> None:
    random = np.random.default_rng(1)
    async with Engine(Config(repository=tmp_path)) as engine:
        for shape in ((1, 6, 8, 3), (3, 1, 37, 3), (2, 50, 7, 3), (11, 2, 2, 3)):
            images = random.integers(0, 256, shape, dtype="u1")
            answer = await engine.infer("colours", None, {"image": images})
            for name, wanted in segmented(images)._asdict().items():
                np.testing.assert_allclose(answer.outputs[name].astype("f8"), wanted, rtol=1e-5, err_msg=name)
