"""A package without a card is what its graph says."""

from pathlib import Path

import pytest

from service.errors import InvalidPackage
from service.package import Graph, TensorCard, TensorSpec, sha256
from service.package.bare import Signature, bare_package
from service.package.graph import MAX_RUN_BYTES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "own" / "3"
    folder.mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"graph")
    return folder


def signature(came: tuple[int, ...], goes: tuple[int, ...], stay_apart: str = "") -> Signature:
    inputs, outputs = (
        (TensorSpec(name=name, datatype="FP32", shape=shape),) for name, shape in (("x", came), ("y", goes))
    )
    return Signature(inputs, outputs, stay_apart)


def test_it_is_served_at_tensor_level_with_the_checksums_of_its_files(folder: Path) -> None:
    (folder / "model.onnx.data").write_bytes(b"weights")
    (folder / "notes.d").mkdir()
    (folder / ".hidden").write_bytes(b"")
    package = bare_package(folder, signature((-1, 3), (-1,)), 32)
    card = package.card
    assert isinstance(card, TensorCard)
    assert (card.name, card.version, card.task, card.golden, card.provenance) == ("own", 3, "tensor", None, None)
    assert isinstance(card.program, Graph)
    assert card.program.file == "model.onnx"
    assert card.files == {file: sha256(folder / file) for file in ("model.onnx", "model.onnx.data")}


@pytest.mark.parametrize(
    ("came", "goes", "max_batch"),
    [
        ((-1, 3), (-1,), 32),
        ((-1,), (-1, -1), 32),
        ((1, 3), (1,), 1),
        ((-1, 3), (1,), 0),
        ((1, 3), (-1,), 0),
        ((-1, 3), (), 0),
        ((), (), 0),
        ((2, 3), (2,), 0),
    ],
)
def test_rows_share_a_run_where_the_first_dimension_of_every_tensor_is_free(
    came: tuple[int, ...], goes: tuple[int, ...], max_batch: int, folder: Path
) -> None:
    assert bare_package(folder, signature(came, goes), 32).card.program.max_batch == max_batch


def test_rows_that_a_run_does_not_keep_apart_do_not_share_one_and_the_card_says_why(folder: Path) -> None:
    card = bare_package(folder, signature((-1, 3), (-1, 2), "it sorts them"), 32).card
    assert card.program.max_batch == 0
    assert card.description == "Each request has a run of its own: it sorts them."


def test_a_run_holds_fewer_rows_where_they_would_take_more_memory_than_a_run_may(folder: Path) -> None:
    side = 1 << 13  # of a row of 256 MiB each way
    assert bare_package(folder, signature((-1, side, side), (-1, side, side)), 32).card.program.max_batch == 4
    with pytest.raises(InvalidPackage, match=rf"takes \d+ bytes of inputs and outputs; at most {MAX_RUN_BYTES}"):
        bare_package(folder, signature((-1, side, side, 9), (-1,)), 32)


def test_a_graph_that_takes_or_gives_nothing_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidPackage, match=r"model.onnx: .*at least 1 item"):
        bare_package(folder, Signature((), ()), 32)
