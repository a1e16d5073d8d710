import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.config import Config
from service.imaging import decode, prepare
from tests.training.data.folders import make_splits, write
from tests.training.tiny import coloured, digits, encoded, make_folder
from training.data import find_source
from training.data.folder import MAX_PIXELS, FolderSource
from training.errors import DataError

GREY = (1, 28, 28)


def test_the_images_of_a_folder_are_a_data_set(folder: Path) -> None:
    source = FolderSource(folder, GREY)
    training, test = source.training(), source.test()
    assert source.labels == tuple("0123456789")
    images, labels = digits()
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for split in (training, test):
        assert split.images.dtype == np.uint8
        assert split.labels.dtype == np.int64
        assert [label_of[image.tobytes()] for image in split.images] == split.labels.tolist()
        assert set(split.labels) == set(range(10))
    assert len(training) + len(test) == 300
    assert 15 <= len(test) <= 75
    assert source.validation() is None


def test_the_splits_of_a_folder_are_kept(tmp_path: Path) -> None:
    source = FolderSource(make_splits(tmp_path, train=3, val=2, test=1), (1, 8, 8))
    held_out = source.validation()
    assert held_out is not None
    assert [len(split) for split in (source.training(), held_out, source.test())] == [9, 6, 3]


def test_photographs_are_prepared_as_the_service_prepares_them(tmp_path: Path) -> None:
    photograph = Image.fromarray(np.concatenate(coloured()[0][:4], axis=1)).resize((896, 224))
    for split, label, quality in (("train", "a", 90), ("train", "b", 80), ("test", "a", 70), ("test", "b", 60)):
        path = tmp_path / split / label / "wide.jpg"
        path.parent.mkdir(parents=True)
        photograph.save(path, quality=quality)
    source = FolderSource(tmp_path, (3, 32, 32))
    said = source.preprocessing("pixels")
    assert (said.tensor, said.colour, said.height, said.width, said.fit) == ("pixels", "rgb", 32, 32, "crop")
    decoded = decode((tmp_path / "train" / "b" / "wide.jpg").read_bytes(), 1 << 20, said)
    assert decoded.size == (448, 112)  # a JPEG so much larger than the network's input is decoded at half its size
    assert (source.training().images[1] == prepare(decoded, said)).all()


def test_the_statistics_are_those_of_the_training_split(tmp_path: Path) -> None:
    source = FolderSource(make_folder(tmp_path / "digits", per_class=8, colour=True), (3, 28, 28))
    mean, std = source.mean, source.std
    pixels = source.training().images / 255
    assert mean == pytest.approx(pixels.mean((0, 1, 2)), abs=5.1e-5)
    assert std == pytest.approx(pixels.std((0, 1, 2)), abs=5.1e-5)
    assert (source.mean, source.std) == (mean, std)


def test_what_the_card_will_say_of_it(tmp_path: Path) -> None:
    source = FolderSource(make_folder(tmp_path / "My flowers (2026)", per_class=2), GREY)
    assert (source.name, source.title) == ("My-flowers-2026", "My flowers (2026)")
    assert (source.licence, source.homepage) == ("the user's own", "a folder of images by class")
    lines = sorted(
        f"{path.relative_to(tmp_path / source.title).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n"
        for path in (tmp_path / source.title).rglob("*.png")
    )
    assert source.files == {"images": hashlib.sha256("".join(lines).encode()).hexdigest()}


@pytest.mark.parametrize("change", ["add", "change", "move", "remove"])
def test_any_change_of_the_files_changes_the_checksum(tmp_path: Path, change: str) -> None:
    root = make_folder(tmp_path / "digits", per_class=3, classes=2)
    before = FolderSource(root, GREY).files
    file = root / "1" / "02.png"
    match change:
        case "add":
            (root / "1" / "03.png").write_bytes(encoded(digits()[0][9]))
        case "change":
            file.write_bytes(encoded(digits()[0][9]))
        case "move":
            file.rename(root / "1" / "09.png")
        case "remove":
            file.unlink()
    assert FolderSource(root, GREY).files != before


def test_the_same_files_elsewhere_are_the_same_data_set(tmp_path: Path) -> None:
    here, there = (FolderSource(make_folder(tmp_path / name, per_class=4), GREY) for name in ("here", "there"))
    assert here.files == there.files
    assert (here.test().images == there.test().images).all()
    assert here.mean == there.mean


def test_files_that_are_no_images_are_named_a_few_of_them_and_counted(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "digits", per_class=5, classes=2)
    for number in range(7):
        (root / "1" / f"bad{number}.jpg").write_bytes(b"%d is no image" % number)
    with pytest.raises(DataError) as error:
        FolderSource(root, GREY).training()
    message = str(error.value)
    assert message.startswith(f"{root}: 7 files are not images: ")
    assert sum(f"1/bad{number}.jpg (the 13 bytes are not an image" in message for number in range(7)) == 5
    assert message.endswith("; and 2 more")


def test_a_test_image_that_is_none_is_found_before_training(tmp_path: Path) -> None:
    root = make_splits(tmp_path, train=2, test=2)
    (root / "test" / "b" / "1.png").write_bytes(encoded(digits()[0][0])[:100])
    with pytest.raises(DataError, match=r"1 files are not images: test/b/1\.png"):
        FolderSource(root, GREY).training()


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path) -> None:
    root = make_splits(tmp_path, train=2, test=2)
    source = FolderSource(root, GREY)
    assert source.files
    write(root / "train" / "b" / "0.png", 99)
    with pytest.raises(DataError, match=r"train/b/0.png \(it has changed since it was listed\)"):
        source.training()


def test_a_file_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    root = make_splits(tmp_path, train=2, test=2)
    source = FolderSource(root, GREY)
    (root / "train" / "b" / "0.png").unlink()
    with pytest.raises(DataError, match=r"train/b/0.png cannot be read"):
        source.training()


def test_images_in_both_splits_are_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_splits(tmp_path / "pets", train=2, test=1)
    (root / "test" / "a" / "copy.png").write_bytes((root / "train" / "a" / "0.png").read_bytes())
    FolderSource(root, GREY).training()
    assert "pets: 1 of 4 test images are also training images" in capsys.readouterr().err


def test_a_folder_too_large_for_memory_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder(tmp_path / "digits", per_class=2, classes=2)
    monkeypatch.setattr("training.data.preparation.MAX_GIB", 0)
    with pytest.raises(DataError, match=r"digits: \d images of 28x28 take"):
        FolderSource(root, GREY).training()


def test_images_are_taken_up_to_the_size_that_the_service_takes() -> None:
    assert Config.model_fields["max_image_pixels"].default == MAX_PIXELS


def test_more_than_255_classes_are_numbered(tmp_path: Path) -> None:
    for label in range(300):
        for number in range(2):
            write(tmp_path / f"{label:03}" / f"{number}.png", 2 * label + number)
    source = find_source(str(tmp_path), (1, 8, 8))
    assert source.test().labels.tolist() == list(range(300))


def test_any_format_and_colour_mode_the_service_takes_is_taken(tmp_path: Path) -> None:
    image = Image.fromarray(coloured()[0][0])
    for label, (mode, suffix) in enumerate((m, s) for m in ("RGB", "L") for s in ("png", "jpg", "webp", "bmp", "tiff")):
        for split, size in (("train", 28), ("test", 27)):
            path = tmp_path / split / str(label) / f"image.{suffix}"
            path.parent.mkdir(parents=True)
            image.convert(mode).resize((size, size)).save(path)
    assert FolderSource(tmp_path, GREY).training().images.shape == (10, 28, 28)
