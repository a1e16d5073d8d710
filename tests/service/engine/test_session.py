import os
from pathlib import Path

import numpy as np
import pytest

from service.engine.session import Session
from service.package import Graph, read_package
from tests.packages import assert_close, example, expected


@pytest.fixture
def folder(repository: Path) -> Path:
    return repository / "tiny" / "1"


@pytest.fixture
def graph(folder: Path) -> Graph:
    return read_package(folder).classifier.graph


def test_a_session_answers_the_outputs_asked_for_in_that_order(folder: Path, graph: Graph) -> None:
    session = Session(folder / graph.file, graph, intra_op=1)
    images = example(5)
    mean, probabilities = session.run(["mean", "probabilities"], {"image": images})
    assert_close(probabilities, expected(images))
    assert_close(mean, images.mean((1, 2), dtype="f4"))
    assert len(session.run(["mean"], {"image": images})) == 1


def test_images_that_are_not_contiguous_in_memory_are_read_right(folder: Path, graph: Graph) -> None:
    session = Session(folder / graph.file, graph, intra_op=1)
    every_second = example(10)[::2].transpose(0, 2, 1)
    [probabilities] = session.run(["probabilities"], {"image": every_second})
    assert_close(probabilities, expected(np.ascontiguousarray(every_second)))


def test_onnx_runtime_is_told_to_send_no_telemetry() -> None:
    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
