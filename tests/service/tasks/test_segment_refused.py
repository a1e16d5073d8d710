"""What a segmenter does not answer, and what it says then."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.config import Config
from service.engine import Engine
from service.errors import InternalError, InvalidArgument, TooLarge
from service.tasks.image_decoding import ImageDecoder
from service.tasks.segment import Segment
from tests.packages import change_card
from tests.pictures import encoded
from tests.segment_packages import HEIGHT, WIDTH, write_segment_package
from tests.service.tasks.asking import answer
from tests.service.tasks.segmenting import COLOURS, SIDE, file, random_image, serving


async def test_a_mask_that_is_noise_is_refused_as_polygons_and_its_image_is_named(tmp_path: Path) -> None:
    noise = COLOURS[np.random.default_rng(0).integers(0, 2, (SIDE, SIDE))]
    async with serving(tmp_path) as segment:
        one, batch, _ = segment.endpoints
        with pytest.raises(InvalidArgument, match=r"^the outlines .* more than 100000 corners, the most that are"):
            await answer(one, image=file(noise), output="polygons", model="large")
        with pytest.raises(InvalidArgument, match=r"images\[1\]: the outlines .* more than 100000 corners"):
            await answer(batch, images=[file(random_image(8, 6)), file(noise)], output="polygons", model="large")
        assert (await answer(one, image=file(noise), output="rle", model="large")).rle


async def test_an_answer_that_would_be_too_large_is_refused_by_the_size_of_its_images(tmp_path: Path) -> None:
    large = encoded(Image.new("L", (5000, 5000)), "PNG")
    async with serving(tmp_path) as segment:
        one, batch, _ = segment.endpoints
        with pytest.raises(TooLarge, match="the image has 25000000 pixels; with output 'overlay' at most 22369621 are"):
            await answer(one, image=large, output="overlay")
        with pytest.raises(TooLarge, match="the 3 images together have 75000000 pixels; with output 'statistics,mask'"):
            await answer(batch, images=[large] * 3, output="statistics,mask")
        found = await answer(batch, images=[large] * 3, output="statistics")
    assert [result.classes[0].pixels for result in found.results] == [25_000_000] * 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"output": "svg"}, "output is 'svg'; model 'colours' allows ['statistics', 'mask', 'overlay', 'rle', "),
        ({"output": "mask,"}, "output is ''; model 'colours' allows"),
        ({"output": "," * 1_000_000}, "output is ''; model 'colours' allows"),
        ({"output": "mask," + "rle;" * 1_000_000}, "output is 'rle;rle;"),
        ({"output": "mask, rle,mask"}, "output has 'mask' twice; once is allowed"),
        ({"output": "overlay", "opacity": 1.5}, "opacity is 1.5; allowed is 0 to 1"),
        ({"output": "overlay", "opacity": -0.1}, "opacity is -0.1; allowed is 0 to 1"),
        ({"output": "overlay", "opacity": float("nan")}, "opacity is nan; allowed is 0 to 1"),
        ({"opacity": 0.5}, "opacity was given; it is allowed with output 'overlay' only"),
    ],
)
async def test_what_the_model_does_not_allow_is_refused(fields: dict[str, Any], words: str, tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        with pytest.raises(InvalidArgument) as caught:
            await answer(segment.endpoints[0], image=file(random_image(8, 6)), **fields)
    assert words in str(caught.value)


async def test_a_model_without_countable_classes_has_no_instances(tmp_path: Path) -> None:
    folder = write_segment_package(tmp_path, "plain")
    change_card(folder, "segmentation.countable", [])
    change_card(folder, "segmentation.background", None)
    config = Config.model_validate({"repository": tmp_path})
    async with Engine(config) as engine:
        one, *_ = Segment(engine, config, ImageDecoder(config)).endpoints
        with pytest.raises(InvalidArgument, match="output is 'instances'; model 'plain' allows"):
            await answer(one, image=file(random_image(8, 6)), output="instances")
        found = await answer(one, image=file(random_image(8, 6)), output="polygons")
    assert [each.index for each in found.polygons] == [0, 1, 2, 3]


@pytest.mark.parametrize("size", [(WIDTH, HEIGHT), (16, 12)])
async def test_a_confidence_that_is_not_finite_is_an_error(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as segment:
        infer = segment.engine.infer

        async def spoilt(*arguments: Any, **options: Any) -> Any:
            found = await infer(*arguments, **options)
            for name in {"confidence", "probability"} & found.outputs.keys():
                found.outputs[name] = np.full_like(found.outputs[name], np.nan)
            return found

        monkeypatch.setattr(segment.engine, "infer", spoilt)
        with pytest.raises(InternalError, match="model 'colours' gave a confidence that is not finite"):
            await answer(segment.endpoints[0], image=file(random_image(*size)))
