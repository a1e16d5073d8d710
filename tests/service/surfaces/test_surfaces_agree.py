"""The same image gives the same answer, whichever way it comes in."""

from contextlib import closing

import numpy as np
import pytest

from tests.packages import CLASSES, example
from tests.pictures import png
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, TENSOR_TRANSPORTS
from tests.service.surfaces.transports import tensor
from tests.serving import Server


@pytest.mark.parametrize("version", ["1", "2"])
def test_every_surface_gives_the_same_probabilities(server: Server, version: str) -> None:
    pixels = example(1, seed=11)
    found: dict[str, list[float]] = {}
    for name, open_images in IMAGE_TRANSPORTS.items():
        with closing(open_images(server)) as images:
            labels = images.classify(png(pixels[0]), version=version, top_k=CLASSES)["labels"]
        found[name] = [label["probability"] for label in sorted(labels, key=lambda label: int(label["index"]))]
    for name, open_tensors in TENSOR_TRANSPORTS.items():
        with closing(open_tensors(server)) as tensors:
            outputs = tensors.infer("tiny", [tensor(pixels)], version=version).outputs
        found[name] = outputs["probabilities"][0].tolist()
    assert len(found) == len(IMAGE_TRANSPORTS) + len(TENSOR_TRANSPORTS)
    for name, probabilities in found.items():
        np.testing.assert_array_equal(np.array(probabilities, "f4"), np.array(found["grpc_raw"], "f4"), err_msg=name)
