from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.explaining_packages import write_explaining_package
from tests.packages import write_package
from tests.training.tiny import Tiny
from training.data import catalogue
from training.pages.localisation import Localisation, best_share, localise, main, measure, overlap

COUNTS = {"training": 1, "validation": 12, "test": 20}


def test_the_overlap_is_the_intersection_over_the_union() -> None:
    assert overlap((0, 0, 4, 4), (0, 0, 4, 4)) == 1
    assert overlap((0, 0, 4, 4), (2, 0, 6, 4)) == 8 / 24
    assert overlap((0, 0, 4, 4), (4, 0, 8, 4)) == 0


def test_the_box_is_that_of_the_largest_part_of_the_map() -> None:
    activation = np.zeros((8, 8), "f4")
    activation[2:6, 3:5] = 1
    activation[0, 7] = 0.9

    assert localise(activation, 0.5) == (24, 16, 40, 48)
    assert localise(np.zeros((8, 8), "f4"), 0.5) is None


def test_the_share_is_the_one_whose_boxes_overlap_most() -> None:
    maps = np.zeros((1, 8, 8), "f4")
    maps[0, :4, :4] = 0.45
    maps[0, 1:3, 1:3] = 1
    within, around = [(8, 8, 24, 24)], [(0, 0, 32, 32)]

    assert measure(maps, within, best_share(maps, within)).mean_iou > 0.7
    assert best_share(maps, around) < 0.45 < best_share(maps, within)
    assert measure(np.zeros((1, 8, 8), "f4"), within, 0.2) == Localisation(0.0, 0.0)


@pytest.fixture
def few_single_digits(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "SINGLE_COUNTS", COUNTS)
    monkeypatch.setenv("LECTORIUM_DATA", str(tiny.folder))


@pytest.mark.usefixtures("few_single_digits")
def test_the_command_measures_a_package_on_test_scenes(tmp_path: Path) -> None:
    write_explaining_package(tmp_path)

    done = CliRunner().invoke(main, ["seeing", "--repository", str(tmp_path)])

    assert done.exit_code == 0, done.output
    published, chosen = done.output.splitlines()
    assert published.startswith("share 0.2: mean IoU 0.")
    assert "of the test scenes" in chosen


@pytest.mark.usefixtures("few_single_digits")
def test_a_package_without_maps_is_refused(tmp_path: Path) -> None:
    write_package(tmp_path)

    done = CliRunner().invoke(main, ["tiny", "--repository", str(tmp_path)])

    assert done.exit_code == 1
    assert "tiny/1 has no class activation maps" in done.output
