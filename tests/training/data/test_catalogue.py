from pathlib import Path

import numpy as np
import pytest

from models.classification.rows import VARIANTS
from tests.training.tiny import Tiny
from training.data import CaptionSource, MaskSource, find_captions, find_masks, find_source
from training.data.catalogue import CAPTIONED, MASKED
from training.data.image_sets import SOURCES
from training.data.published import PublishedSource
from training.errors import DataError

# Licences that let anyone redistribute the images, for any purpose.
PERMISSIVE = ("CC BY-SA 3.0", "CC0", "MIT")


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_row_is_complete(source: PublishedSource) -> None:
    assert SOURCES[source.name] is source
    assert source.title
    assert source.licence
    assert source.homepage.startswith("http")
    assert all(mirror.endswith("/") for mirror in source.mirrors)
    assert all(len(sha256) == 64 for sha256 in source.files.values())
    assert len(set(source.labels)) == len(source.labels) == 10
    assert len(source.mean) == len(source.std) == source.shape[0]


def test_a_name_finds_the_published_set_in_the_folder_of_data(tiny: Tiny) -> None:
    source = find_source("mnist", folder=tiny.folder)
    assert source.title == "MNIST"
    assert (source.shape, source.mean, source.std) == ((1, 28, 28), (0.1307,), (0.3081,))
    assert len(source.training()) == 220


def test_the_folder_of_data_is_the_one_that_was_given(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"{tmp_path}/mnist/train-images-idx3-ubyte.gz is missing"):
        find_source("mnist", folder=tmp_path).training()


def test_a_path_finds_the_folder_of_images(folder: Path) -> None:
    assert find_source(str(folder), (1, 28, 28)).labels == tuple("0123456789")


def test_a_path_relative_to_where_one_stands_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder.parent)
    assert find_source(folder.name, (1, 28, 28)).title == folder.name
    assert find_source(f"{folder.name}/", (1, 28, 28)).title == folder.name


def test_a_name_of_the_catalogue_goes_before_a_folder_of_that_name(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny.folder)
    assert find_source("mnist").title == "MNIST"


def test_what_is_neither_is_an_error_that_names_the_sets(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="no data set 'minst': it is not a folder, and not one of mnist"):
        find_source("minst")


def test_a_folder_without_a_size_for_its_images_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="no common size"):
        find_source(str(folder))


def test_all_labels_in_their_order_are_the_set_itself(tiny: Tiny) -> None:
    assert find_source("mnist", (1, 28, 28), tiny.folder, tuple("0123456789")) == find_source(
        "mnist", folder=tiny.folder
    )


@pytest.mark.parametrize("shape", sorted({v.input_shape for v in VARIANTS.values() if v.input_shape[1] < 200}))
def test_any_model_trains_on_any_set(tiny: Tiny, folder: Path, shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    for dataset in ("mnist", str(folder)):
        source = find_source(dataset, shape, tiny.folder)
        images = source.training().images
        assert images.shape[1:] == ((height, width) if channels == 1 else (height, width, 3))
        assert images.dtype == np.uint8
        assert len(source.mean) == len(source.std) == channels
        assert source.shape == shape


@pytest.mark.parametrize("dataset", CAPTIONED)
def test_a_set_with_captions_is_complete(dataset: str) -> None:
    source = find_captions(dataset)
    assert source.name == dataset
    assert source.title
    assert source.licence
    assert source.homepage.startswith("http")
    assert all(len(sha256) == 64 for sha256 in source.files.values())
    assert len(source.mean) == len(source.std) == source.shape[0]
    taken = source.preprocessing("image")
    assert ({"grey": 1, "rgb": 3}[taken.colour], taken.height, taken.width) == source.shape


def test_a_set_with_captions_lies_in_the_folder_that_was_given(tmp_path: Path) -> None:
    for dataset, file in {"digit-scenes": "mnist/t10k-images-idx3-ubyte.gz", "flickr8k": "flickr8k/Flickr_8k"}.items():
        source = find_captions(dataset, tmp_path)
        if dataset == "digit-scenes":
            (tmp_path / "mnist").write_bytes(b"")  # no folder, so that nothing can be downloaded into it
        with pytest.raises(DataError, match=f"{tmp_path}/{file}"):
            source.test()


def test_another_name_of_captions_is_an_error_that_names_the_sets() -> None:
    with pytest.raises(DataError, match="no data set with captions 'coco'; there are digit-scenes, flickr8k"):
        find_captions("coco")


@pytest.mark.parametrize(
    "source", [*map(find_captions, CAPTIONED), *map(find_masks, MASKED)], ids=lambda each: each.name
)
def test_images_are_redistributed_only_where_the_licence_permits_it(source: CaptionSource | MaskSource) -> None:
    assert source.shareable == (source.licence in PERMISSIVE)
