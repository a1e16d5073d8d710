from pathlib import Path

import pytest

from service.package import Package
from tests.needs import needs
from tests.training.captioning.tiny import tiny_scenes
from tests.training.segmentation.tiny import tiny_segmenter
from tests.training.tiny import Tiny
from training.fit import fit
from training.segmentation.package import write_segmenter
from training.segmentation.subject import from_run


@pytest.fixture(scope="session")
@needs("fit")
def segmenter_run(tiny_data: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a U-Net; read it only."""
    run = tmp_path_factory.mktemp("runs") / "scenes-unet"
    with tiny_scenes(tiny_data):
        fit(tiny_segmenter("epochs=12"), run, tiny_data.folder, progress=False)
    return run


@pytest.fixture(scope="session")
@needs("fit", "export")
def segmenter_package(tiny_data: Tiny, segmenter_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Package:
    """Its package, alone in its repository; read it only."""
    with tiny_scenes(tiny_data):
        return write_segmenter(from_run(segmenter_run, tiny_data.folder), tmp_path_factory.mktemp("zoo"))
