"""Segmenters whose graph answers with something else than their card says."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from service.config import Config
from service.engine import Engine
from service.engine.tensors import Tensor
from service.errors import InternalError
from service.tasks.image_decoding import ImageDecoder
from service.tasks.segment import Segment
from service.tasks.task import Endpoint
from tests.packages import replace_file
from tests.segment_packages import HEIGHT, WIDTH, untiled, write_segment_package
from tests.service.tasks.asking import answer
from tests.service.tasks.segmenting import file, random_image

LIES: dict[str, tuple[str, str, Sequence[Tensor], str]] = {
    "a class that the card has not": (
        "mask",
        "Max",
        [np.array([7], "u1")],
        r"model 'colours' gave a pixel the class 7; its card has 0 to 3",
    ),
    "a mask of another size": (
        "mask",
        "Slice",
        [np.array([0]), np.array([3]), np.array([2])],
        f"model 'colours' gave a mask of 3x{HEIGHT} for an image of {WIDTH}x{HEIGHT}",
    ),
    "probabilities of another size": (
        "probability",
        "Slice",
        [np.array([1]), np.array([6]), np.array([1])],
        f"model 'colours' gave a probability of {WIDTH}x5 for an image of {WIDTH}x{HEIGHT}",
    ),
    "areas of more pixels than the image has": (
        "area",
        "Add",
        [np.array([[1, 0, 0, 0]])],
        "that are 49 pixels together; the image has 48",
    ),
    "a negative area": (
        "area",
        "Add",
        [np.array([[100, 0, 0, -100]])],
        r"gave areas from -\d+ to \d+ that are 48 pixels together; the image has 48",
    ),
    "a mean probability above 1": (
        "confidence",
        "Add",
        [np.array([1.5], "f4")],
        r"gave the mean probability \d\.\d+; 0 to 1 are possible",
    ),
}


def lying(repository: Path, output: str, operator: str, constants: Sequence[Tensor]) -> None:
    """Write a segmenter whose graph changes ``output`` at the end, and whose golden example has what it gives then."""
    folder = write_segment_package(repository)
    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
        node.input[:] = ["before" if name == output else name for name in node.input]
    names = [f"constant{i}" for i, _ in enumerate(constants)]
    model.graph.initializer.extend(map(numpy_helper.from_array, constants, names))
    model.graph.node.append(helper.make_node(operator, ["before", *names], [output]))
    replace_file(folder, "model.onnx", model.SerializeToString())
    image = np.random.default_rng(0).integers(0, 255, (2, HEIGHT, WIDTH, 3), dtype="u1")
    np.savez(folder / "golden.npz", image=image, **untiled(folder, image)._asdict())
    replace_file(folder, "golden.npz", (folder / "golden.npz").read_bytes())


@asynccontextmanager
async def served(lie: str, repository: Path) -> AsyncIterator[Endpoint]:
    """The endpoint for one image, whose only model tells that lie."""
    output, operator, constants, _ = LIES[lie]
    lying(repository, output, operator, constants)
    config = Config.model_validate({"repository": repository})
    async with Engine(config) as engine:
        yield Segment(engine, config, ImageDecoder(config)).endpoints[0]


@pytest.mark.parametrize("lie", LIES)
async def test_the_error_says_what_the_graph_gave_and_what_its_card_says(lie: str, tmp_path: Path) -> None:
    # The graph's own statistics are for images of its size; those of another are counted over its mask.
    image = file(random_image(WIDTH, HEIGHT if "area" in lie or "mean" in lie else 2 * HEIGHT))
    async with served(lie, tmp_path) as segment:
        with pytest.raises(InternalError, match=LIES[lie][-1]):
            await answer(segment, image=image, output="statistics,mask,rle")


@pytest.mark.parametrize("lie", [lie for lie, (output, *_) in LIES.items() if output in ("mask", "probability")])
async def test_tiles_are_checked_too(lie: str, tmp_path: Path) -> None:
    async with served(lie, tmp_path) as segment:
        with pytest.raises(InternalError, match=LIES[lie][-1]):
            await answer(segment, image=file(random_image(WIDTH, HEIGHT)), tile=True)
