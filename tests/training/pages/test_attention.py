from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from service.package import Package
from training.captioning.evaluate import Caption
from training.errors import EvaluationError
from training.pages.attention import draw, main


def test_each_word_has_its_own_map(tmp_path: Path) -> None:
    left, right = np.zeros((2, 2, 2), np.float32)
    left[:, 0], right[:, 1] = 0.5, 0.5
    draw(np.zeros((4, 4), np.uint8), Caption("one two", np.stack((left, right))), tmp_path / "picture.png")
    with Image.open(tmp_path / "picture.png") as picture:
        red = np.asarray(picture.convert("RGB")).astype(int)
    red = (red[..., 0] > 120) & (red[..., 1] < 100)  # strongest
    halves = np.split(red[:, : red.shape[1] // 4 * 4], 4, axis=1)
    assert [bool(half.any()) for half in halves] == [True, False, False, True]


def test_a_caption_without_attention_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="the caption is 'one'; it needs one word or more"):
        draw(np.zeros((4, 4), np.uint8), Caption("one", None), tmp_path / "picture.png")


def test_the_command_draws_what_a_package_sees(captioner_package: Package, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((70, 90, 3), np.uint8)).save(tmp_path / "image.png")
    where = ["--repository", str(captioner_package.folder.parents[1]), "--picture", str(tmp_path / "picture.png")]
    done = CliRunner().invoke(main, ["scenes-attention", str(tmp_path / "image.png"), *where])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "picture.png").stat().st_size < 100_000


def test_what_is_no_image_is_said(captioner_package: Package, tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"no image")
    where = ["--repository", str(captioner_package.folder.parents[1]), "--picture", str(tmp_path / "picture.png")]
    done = CliRunner().invoke(main, ["scenes-attention", str(tmp_path / "image.png"), *where])
    assert done.exit_code == 1
    assert "the 8 bytes are not an image in" in done.output
