import hashlib
import io
import lzma
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.tiny import encoded
from training.data import Bytes, find_masks
from training.data.catalogue import MASKED
from training.data.masks import IGNORE
from training.data.published_masks import HashedNames, PublishedMasks, SplitFolders
from training.errors import DataError

HEIGHT, WIDTH = 6, 8


def photograph(number: int, height: int = HEIGHT) -> Bytes:
    return np.random.default_rng(number).integers(0, 256, (height, WIDTH, 3), np.uint8)


def mask(number: int, classes: int = 11, height: int = HEIGHT) -> Bytes:
    return np.random.default_rng(100 + number).integers(0, classes, (height, WIDTH), np.uint8)


def archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def camvid_files() -> dict[str, bytes]:
    """Two images of each split, in the reverse of their names' order."""
    files = {}
    for number, (folder, name) in enumerate((f, n) for f in ("train", "val", "test") for n in ("b", "a")):
        files[f"{folder}/{name}.png"] = encoded(photograph(number))
        files[f"{folder}annot/{name}.png"] = encoded(mask(number, 12))
    return files


def camvid(folder: Path, changes: dict[str, bytes | None] | None = None) -> PublishedMasks:
    """The tiny set, with other files; None leaves one out."""
    files = {path: content for path, content in (camvid_files() | (changes or {})).items() if content is not None}
    content = archive(files)
    (folder / "camvid").mkdir()
    (folder / "camvid" / "CamVid-240x180.tar").write_bytes(content)
    source = MASKED["camvid"](folder)
    assert isinstance(source, SplitFolders)
    checksum = {"CamVid-240x180.tar": hashlib.sha256(content).hexdigest()}
    return replace(source, files=checksum, shape=(3, HEIGHT, WIDTH))


def test_a_split_has_the_images_of_its_folder_by_name_with_their_masks(tmp_path: Path) -> None:
    found = camvid(tmp_path).training()
    assert (found.images == np.stack([photograph(1), photograph(0)])).all()
    wanted = np.stack([mask(1, 12), mask(0, 12)])
    assert (found.masks == np.where(wanted == 11, IGNORE, wanted)).all()
    assert (found.masks == IGNORE).any()


def test_each_split_is_read_from_its_own_folders(tmp_path: Path) -> None:
    source = camvid(tmp_path)
    assert (source.validation().images[0] == photograph(3)).all()
    assert (source.test().images[1] == photograph(4)).all()


def test_an_image_of_any_size_is_stretched_so_that_all_of_it_has_classes(tmp_path: Path) -> None:
    taken = camvid(tmp_path).preprocessing("image")
    assert (taken.height, taken.width, taken.fit, taken.colour) == (HEIGHT, WIDTH, "stretch", "rgb")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainannot/a.png": None}, "train/ has 2 images and trainannot/ 1 masks; each image needs one, as a does"),
        ({"train/a.png": None}, "1 images and trainannot/ 2 masks"),
        ({"train/a.jpg": encoded(photograph(0))}, "train/a is there twice"),
        ({"trainannot/a.png": encoded(mask(0, height=5))}, "images and masks of 2 sizes"),
        (
            {"trainannot/a.png": encoded(photograph(0))},
            "trainannot/a.png has pixels of mode RGB; a mask has one of 1, L, P",
        ),
        ({"trainannot/a.png": encoded(mask(0) + 12)}, "class is 22; allowed are 0 to 10 and 11 for none"),
        ({"train/a.png": b"GIF89a"}, "CamVid-240x180.tar: train/a.png: "),
        (dict.fromkeys(path for path in camvid_files() if path.startswith("train")), "train/ has 0 images"),
    ],
)
def test_an_archive_that_holds_something_else_is_refused(
    tmp_path: Path, changes: dict[str, bytes | None], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        camvid(tmp_path, changes).training()


def test_images_of_another_size_than_published_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"its images are \(6, 8\); CamVid has \(180, 240\)"):
        replace(camvid(tmp_path), shape=(3, 180, 240)).training()


def test_a_set_that_is_missing_is_asked_for_in_the_form_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"CamVid-240x180\.tar is missing and CamVid has no public host"):
        find_masks("camvid", tmp_path).test()


def nuclei(folder: Path, count: int = 60) -> HashedNames:
    """Images named 0000 and on; masks of one bit, as published."""
    files = {}
    for number in range(count):
        files[f"images/{number:04}.png"] = encoded(photograph(number))
        buffer = io.BytesIO()
        Image.fromarray(mask(number, 2) > 0).save(buffer, "PNG")
        files[f"masks/{number:04}.png"] = buffer.getvalue()
    content = archive(files)
    (folder / "dsb2018-nuclei").mkdir()
    (folder / "dsb2018-nuclei" / "dsb2018-256.tar.xz").write_bytes(lzma.compress(content, preset=0))
    source = MASKED["dsb2018-nuclei"](folder)
    assert isinstance(source, HashedNames)
    return replace(source, files={"dsb2018-256.tar": hashlib.sha256(content).hexdigest()}, shape=(3, HEIGHT, WIDTH))


def test_names_alone_decide_the_split_of_an_image_and_each_is_in_one(tmp_path: Path) -> None:
    source = nuclei(tmp_path)
    parts = [source.training(), source.validation(), source.test()]
    assert sum(map(len, parts)) == 60
    seen = [image.tobytes() for part in parts for image in part.images]
    assert len(set(seen)) == 60
    (tmp_path / "fewer").mkdir()
    fewer = nuclei(tmp_path / "fewer", 30).test()
    known = {image.tobytes() for image in parts[2].images}
    assert {image.tobytes() for image in fewer.images} <= known
    assert set(np.unique(parts[0].masks)) == {0, 1}


def test_about_seven_in_ten_images_are_for_training(tmp_path: Path) -> None:
    source = MASKED["dsb2018-nuclei"](None)
    assert isinstance(source, HashedNames)
    parts = [source.part(str(number)) for number in range(4000)]
    shares = [parts.count("training") / 4000, parts.count("validation") / 4000, parts.count("test") / 4000]
    assert shares == pytest.approx([0.7, 0.15, 0.15], abs=0.025)


def test_every_set_has_a_colour_for_each_class_and_a_background_that_is_one() -> None:
    for source in (MASKED["camvid"](None), MASKED["dsb2018-nuclei"](None)):
        assert len(set(source.palette)) == len(source.labels)
        assert source.background is None or source.background < len(source.labels)
        assert all(index < len(source.labels) and index != source.background for index in source.countable)


def test_a_name_that_no_set_has_is_refused_with_those_there_are() -> None:
    with pytest.raises(DataError, match="no data set with masks 'mnist'; there are camvid, dsb2018-nuclei, digit-"):
        find_masks("mnist")
