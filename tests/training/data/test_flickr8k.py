import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.tiny import encoded
from training.data import find_captions
from training.data.flickr8k import IMAGES, TEST, TOKENS, TRAINING, VALIDATION, Flickr8k, parse_captions, parse_names
from training.errors import DataError

NAMES = ("one.jpg", "two.jpg", "three.jpg", "four.jpg")


def photograph(number: int, side: int = 128) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)


def archive(sides: tuple[int, ...] = (128,) * len(NAMES)) -> bytes:
    """The photographs in the reverse of the lists' order, without a loss."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for number, side in reversed(list(enumerate(sides))):
            file = encoded(photograph(number, side))
            member = tarfile.TarInfo(f"Flicker8k_Dataset/{NAMES[number]}")
            member.size = len(file)
            tar.addfile(member, io.BytesIO(file))
    return buffer.getvalue()


CONTENTS = {
    IMAGES: archive(),
    TOKENS: b"".join(f"{name}#{n}\tThe photo {n} of {name} .\n".encode() for name in NAMES for n in (1, 0))
    + b"gone.jpg#0\tNobody has this one .\n",
    TRAINING: b"three.jpg\none.jpg\n",
    VALIDATION: b"two.jpg\n",
    TEST: b"four.jpg",
}


def source(folder: Path, **changes: bytes) -> Flickr8k:
    """The tiny set, with other contents published under the names in ``changes``."""
    contents = {**CONTENTS, **{{"images": IMAGES, "tokens": TOKENS, "names": TEST}[k]: v for k, v in changes.items()}}
    (folder / "flickr8k").mkdir()
    for name, content in contents.items():
        (folder / "flickr8k" / name).write_bytes(content)
    files = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return Flickr8k(files, (0.5,) * 3, (0.2,) * 3, folder)


def test_a_split_has_the_images_of_its_list_in_that_order_with_their_captions(tmp_path: Path) -> None:
    found = source(tmp_path)
    training = found.training()
    assert (training.images == np.stack([photograph(2), photograph(0)])).all()
    assert training.captions == (
        ("the photo 0 of three jpg", "the photo 1 of three jpg"),
        ("the photo 0 of one jpg", "the photo 1 of one jpg"),
    )
    assert (found.validation().images == photograph(1)).all()
    assert found.test().captions[0][0] == "the photo 0 of four jpg"


def test_a_photograph_of_any_size_becomes_a_square_in_colour(tmp_path: Path) -> None:
    taken = source(tmp_path).preprocessing("image")
    assert (taken.tensor, taken.colour, taken.height, taken.width, taken.fit) == ("image", "rgb", 128, 128, "crop")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"names": b"five.jpg\n"}, "1 images of Flickr_8k.testImages.txt have no caption, the first is five.jpg"),
        ({"names": b"gone.jpg\nfour.jpg"}, "1 of 2 images are missing, the first is gone.jpg"),
        ({"names": b"four.jpg\nfour.jpg"}, "has 2 file names, 1 different; it needs some, each once"),
        ({"names": b"\n"}, "0 file names"),
        ({"names": b"\xff"}, "not text in UTF-8"),
        ({"images": archive((128, 128, 128, 127))}, r"its images are \(127, 127, 3\); expected \(128, 128, 3\)"),
        ({"images": CONTENTS[IMAGES][:700]}, "Flicker8k_Dataset.tar: "),
        ({"tokens": b"four.jpg\ta"}, r"line 1: 'four.jpg\\ta' is not <name>#<number>, a tab and a caption"),
        ({"tokens": b"four.jpg#0\ta\n\nfour.jpg#x\tb"}, r"line 3: 'four.jpg#x\\tb' is not"),
        ({"tokens": b"four.jpg#0 a"}, "line 1: .* is not"),
        ({"tokens": b"four.jpg#0\t ."}, "1 images of .* have no caption"),
    ],
)
def test_files_that_contradict_each_other_or_are_something_else_are_refused(
    tmp_path: Path, changes: dict[str, bytes], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        source(tmp_path, **changes).test()


def test_another_content_than_published_is_refused(tmp_path: Path) -> None:
    found = source(tmp_path)
    with pytest.raises(DataError, match=r"testImages\.txt: the content has sha256 .*; expected 0{64}"):
        replace(found, files={**found.files, TEST: "0" * 64}).test()


def test_a_file_that_is_missing_is_asked_for_in_the_form_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        find_captions("flickr8k", tmp_path).test()
    message = str(error.value)
    assert f"{tmp_path}/flickr8k/{TEST} is missing and Flickr8k has no public host" in message
    assert "lines of <name>.jpg with sha256 c0924146" in message
    assert "compressed" not in message


def test_captions_without_a_word_are_left_out_and_the_others_come_by_number() -> None:
    tokens = b"b.jpg#2\tTwo\nb.jpg#10\tTen .\nb.jpg#1\t!\na.b#c.jpg#0\tA"
    assert parse_captions(tokens, "tokens") == {"b.jpg": ("two", "ten"), "a.b#c.jpg": ("a",)}


def test_lists_may_have_other_ends_of_lines() -> None:
    assert parse_names(b"a.jpg\r\n\r\nb.jpg\r\n", "list") == ("a.jpg", "b.jpg")
