"""Segmentation: the mask is the graph's, of the right image and size, in the forms that were requested."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco
from shapely.geometry import shape
from shapely.ops import unary_union

from service.package import OUTPUTS
from service.tasks.mask_forms import MOST_OBJECTS
from tests.pictures import encoded
from tests.segment_packages import LABELS, PALETTE
from tests.service.tasks.asking import answer
from tests.service.tasks.segmenting import COLOURS, SIDE, file, random_image, read, serving, wanted

# Of pycocotools, about numpy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

EVERYTHING = ",".join(OUTPUTS)
# Width and height; those of the model are 8 and 6.
SIZES = [(8, 6), (16, 12), (40, 6), (1, 37), (37, 1), (13, 29), (3, 5), (300, 7), (640, 480)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", ["colours", "stretched"])
async def test_every_form_shows_the_same_mask_of_the_images_size(
    size: tuple[int, int], model: str, tmp_path: Path
) -> None:
    pixels = random_image(*size)
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), model=model, output=EVERYTHING)
        mask, _ = wanted(segment, model, pixels)
    assert (found.model, found.version, found.width, found.height) == (model, "1", *size)
    np.testing.assert_array_equal(read(found.mask, "P"), mask)
    np.testing.assert_array_equal(np.frombuffer(found.indices, "u1").reshape(mask.shape), mask)
    present = list(np.unique(mask))
    assert [each.index for each in found.rle] == present
    for each in found.rle:
        np.testing.assert_array_equal(coco.decode({"size": each.size, "counts": each.counts}), mask == each.index)
    assert [each.index for each in found.polygons] == [index for index in present if index != 0]
    for each in found.polygons:
        outline = shape(each.model_dump(mode="json"))
        assert outline.is_valid
        assert unary_union(outline).area == (mask == each.index).sum()
    assert [each.index for each in found.instances] == [1, 3]
    for each in found.instances:
        assert each.count >= len(each.objects)
        if each.count <= MOST_OBJECTS:
            assert sum(instance.pixels for instance in each.objects) == (mask == each.index).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", ["colours", "stretched"])
async def test_statistics_are_those_of_the_mask_that_is_returned(
    size: tuple[int, int], model: str, tmp_path: Path
) -> None:
    pixels = random_image(*size, seed=2)
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), model=model, output="statistics")
        mask, probability = wanted(segment, model, pixels)
    assert [(each.label, each.index, each.colour) for each in found.classes] == [
        (label, index, colour) for index, (label, colour) in enumerate(zip(LABELS, PALETTE, strict=True))
    ]
    assert [each.background for each in found.classes] == [True, False, False, False]
    for each in found.classes:
        here = mask == each.index
        assert each.pixels == here.sum()
        assert each.share == pytest.approx(here.mean())
        assert each.confidence == pytest.approx(probability[here].mean() if here.any() else 0, rel=1e-5)
    assert found.mask is found.overlay is found.indices is None
    assert found.rle == found.polygons == found.instances == []


async def test_the_card_says_what_is_returned_if_nothing_is_named(tmp_path: Path) -> None:
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(random_image(8, 6)))
        only_mask = await answer(segment.endpoints[0], image=file(random_image(8, 6)), output="mask")
    assert found.classes[0].pixels is not None
    assert found.mask == only_mask.mask
    assert only_mask.classes[0].pixels is only_mask.classes[0].confidence is found.overlay is None


@pytest.mark.parametrize(("opacity", "share"), [(None, 0.5), (0.0, 0.0), (0.25, 0.25), (1.0, 1.0)])
async def test_the_overlay_is_the_image_under_the_colours_but_for_the_background(
    opacity: float | None, share: float, tmp_path: Path
) -> None:
    pixels = random_image(16, 12, seed=4)
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), output="overlay,indices", opacity=opacity)
    mask = np.frombuffer(found.indices, "u1").reshape(12, 16)
    mixed = pixels * (1 - share) + COLOURS[mask] * share
    expected = np.where((mask == 0)[..., None], pixels, mixed)
    np.testing.assert_allclose(read(found.overlay, "RGB"), expected, atol=2)


async def test_images_of_different_sizes_in_a_batch_each_have_their_own_mask(tmp_path: Path) -> None:
    pictures = [random_image(*size, seed=i) for i, size in enumerate(SIZES)]
    async with serving(tmp_path) as segment:
        batch = segment.endpoints[1]
        found = await answer(batch, images=[file(pixels) for pixels in pictures], output="statistics,mask")
        for pixels, result in zip(pictures, found.results, strict=True):
            mask, probability = wanted(segment, "colours", pixels)
            np.testing.assert_array_equal(read(result.mask, "P"), mask)
            means = [probability[mask == i].mean() if (mask == i).any() else 0 for i in range(4)]
            np.testing.assert_allclose([each.confidence for each in result.classes], means, rtol=1e-5)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
async def test_a_photograph_that_is_decoded_smaller_has_a_mask_of_its_full_size(
    orientation: int, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    left_red = np.zeros((401, 600, 3), "u1")
    left_red[:, :300, 0] = 255
    photograph = encoded(Image.fromarray(left_red), "JPEG", exif=exif, quality=95)
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=photograph, output="mask,overlay", model="stretched")
    mask = read(found.mask, "P")
    assert mask.shape == ((401, 600) if orientation in (1, 3) else (600, 401)) == (found.height, found.width)
    assert read(found.overlay, "RGB").shape == (*mask.shape, 3)
    turned = np.rot90(left_red[..., 0] > 0, {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert ((mask == 1) == turned).mean() > 0.99


async def test_instances_are_regions_that_touch_the_largest_first(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), "u1")
    pixels[10:20, 30:35] = COLOURS[1]  # 50 pixels
    pixels[100:110, 200:220] = COLOURS[1]  # 200
    pixels[110:112, 220:222] = COLOURS[1]  # 4, which touch the others at a corner
    pixels[50:60, 50:60] = COLOURS[2]  # not countable
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), output="instances", model="large")
    red, blue = found.instances
    assert (red.label, red.count, blue.label, blue.count, blue.objects) == ("red", 2, "blue", 0, [])
    assert [(each.box, each.pixels) for each in red.objects] == [([200, 100, 22, 12], 204), ([30, 10, 5, 10], 50)]


async def test_of_many_objects_the_largest_are_listed_and_all_are_counted(tmp_path: Path) -> None:
    pixels = np.zeros((SIDE, SIDE, 3), "u1")
    pixels[::4, ::4] = COLOURS[3]
    pixels[:2, :2] = COLOURS[3]
    async with serving(tmp_path) as segment:
        found = await answer(segment.endpoints[0], image=file(pixels), output="instances", model="large")
    blue = found.instances[1]
    assert (blue.count, len(blue.objects), blue.objects[0].pixels) == (100 * 100, MOST_OBJECTS, 4)
