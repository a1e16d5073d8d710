"""A model is loaded from its package once it has given the golden answers, and is warm."""

import io
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, helper, numpy_helper

from service.engine import model as model_module
from service.engine import session as session_module
from service.engine.model import Model
from service.engine.onnx_graph import open_graph
from service.engine.session import SLOW_S, Session, buckets
from service.engine.signature import read_signature
from service.engine.tensors import Tensor, Tensors
from service.errors import InvalidPackage
from service.package import CARD, read_package, sha256
from service.package.bare import bare_package
from tests.bare_packages import adder, not_for_zeros, text_doubler, write_bare
from tests.lying_packages import drop_rows, numbered, write_carded
from tests.packages import MAX_BATCH, change_card, example, expected, replace_file, write_package
from tests.service.engine.sums import sum_model
from tests.service.package.refusal import refused_in_time

LIMIT = 1000.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right package, for the test to spoil."""
    return write_package(tmp_path)


def load(folder: Path) -> Model:
    return Model(read_package(folder), partial(Session, intra_op=1))


def measured(model: Model) -> Model:
    model.measure()
    return model


def test_a_graph_other_than_the_card_describes_is_refused_at_load(folder: Path) -> None:
    change_card(folder, "graph.inputs.0.shape", [-1, 28, 28])
    with pytest.raises(InvalidPackage, match=r"model.onnx: the graph's inputs are"):
        load(folder)


def npz(**changes: Any) -> bytes:
    """A right golden example of `tiny`, but for the changes; None takes an array out."""
    image = example(2)
    right = {"image": image, "probabilities": expected(image), "mean": image.mean((1, 2), dtype="f4")}
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: array for name, array in {**right, **changes}.items() if array is not None}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def damaged(content: bytes) -> bytes:
    """The same archive with a byte of its first array turned over."""
    return content[:200] + bytes([content[200] ^ 0xFF]) + content[201:]


def nearly(answer: Tensor) -> Tensor:
    """One number off by a little more than the tolerance."""
    answer = answer.copy()
    answer[1, 2] += 2e-3
    return answer


OTHER_ANSWERS: dict[str, tuple[bytes, str]] = {
    "another_models": (npz(probabilities=expected(example(2), version=2)), "'probabilities' differs by 0"),
    "one_number_off": (npz(probabilities=nearly(expected(example(2)))), r"'probabilities' differs by 0\.00[12]"),
    "second_output_off": (npz(mean=np.zeros(2, "f4")), "'mean' differs by 1"),
    "not_a_number": (npz(mean=np.full(2, np.nan, "f4")), "'mean' differs by nan"),
    "infinite": (npz(mean=np.full(2, np.inf, "f4")), "'mean' differs by inf"),
}


@pytest.mark.parametrize(("golden", "message"), OTHER_ANSWERS.values(), ids=list(OTHER_ANSWERS))
def test_a_graph_that_gives_another_answer_than_the_golden_one_is_refused(
    golden: bytes, message: str, folder: Path
) -> None:
    replace_file(folder, "golden.npz", golden)
    with pytest.raises(InvalidPackage, match=f"tiny/1.*golden output {message}.*tolerance is 0.001"):
        load(folder)


def test_a_graph_that_gives_another_shape_than_the_golden_one_is_refused(tmp_path: Path) -> None:
    folder = write_carded(tmp_path, adder(), "some")
    drop_rows(folder, "model.onnx", "y", by="x", over=LIMIT)
    buffer = io.BytesIO()
    np.savez(buffer, x=numbered(2) + LIMIT, y=numbered(2))
    replace_file(folder, "golden.npz", buffer.getvalue())
    change_card(folder, "golden", {"file": "golden.npz", "tolerance": 0.1})
    with pytest.raises(InvalidPackage, match=r"output 'y' has shape \[0, 4\]; the golden output has \[2, 4\]"):
        load(folder)


NO_EXAMPLE: dict[str, bytes] = {
    "missing_input": npz(image=None),
    "missing_output": npz(mean=None),
    "input_of_another_datatype": npz(image=example(2).astype("f4")),
    "output_of_another_datatype": npz(mean=np.zeros(2, "f8")),
    "output_of_another_shape": npz(probabilities=np.zeros((2, 10), "f4")),
    "output_of_fewer_rows": npz(mean=np.zeros(1, "f4")),
    "pickled_objects": npz(mean=np.array([None, None])),
    "one_array": npy(example(2)),
    "empty": b"",
    "text": b"golden",
    "zip_of_nothing": b"PK\5\6" + bytes(18),
    "half_a_zip": npz()[:300],
    "damaged_zip": damaged(npz()),
    "images_of_another_size": npz(image=np.zeros((2, 5, 5), "u1")),
    "no_batch": npz(image=np.zeros((4, 4), "u1")),
    "scalar": npz(image=np.uint8(0)),
    "no_rows": npz(image=np.zeros((0, 4, 4), "u1"), probabilities=np.zeros((0, 3), "f4"), mean=np.zeros(0, "f4")),
}


def write_texts(repository: Path, answers: list[str]) -> Path:
    """A package of texts, with that golden answer to "a" and "é"."""
    folder = write_bare(repository, text_doubler())
    np.savez(folder / "golden.npz", x=np.array(["a", "é"]), y=np.array(answers))
    tensors = [{"name": name, "datatype": "BYTES", "shape": [-1]} for name in ("x", "y")]
    card = {
        "name": "bare",
        "version": 1,
        "task": "tensor",
        "graph": {"file": "model.onnx", "inputs": tensors[:1], "outputs": tensors[1:], "max_batch": 4},
        "golden": {"file": "golden.npz", "tolerance": 1e-3},
        "files": {file: sha256(folder / file) for file in ("model.onnx", "golden.npz")},
    }
    (folder / CARD).write_text(json.dumps(card))
    return folder


def test_a_golden_example_may_be_of_texts(tmp_path: Path) -> None:
    assert load(write_texts(tmp_path, ["aa", "éé"])).program.inputs[0].datatype == "BYTES"


@pytest.mark.parametrize("answers", [["aa", "éè"], ["aa"], ["aa", "éé", ""]])
def test_other_texts_than_the_golden_ones_are_refused(answers: list[str], tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match=r"golden output 'y' differs|no golden example"):
        load(write_texts(tmp_path, answers))


@pytest.mark.parametrize("golden", NO_EXAMPLE.values(), ids=list(NO_EXAMPLE))
def test_a_file_that_is_no_golden_example_is_refused_by_name(golden: bytes, folder: Path) -> None:
    replace_file(folder, "golden.npz", golden)
    with pytest.raises(InvalidPackage, match=r"golden.npz: no golden example of \['image', 'probabilities', 'mean'\]"):
        load(folder)


def test_an_oversized_golden_example_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_module, "MAX_GOLDEN_BYTES", 100)
    with pytest.raises(InvalidPackage, match=r"golden.npz has \d+ bytes; at most 100"):
        load(folder)


def test_a_fifo_put_in_a_golden_examples_place_after_it_was_checked_blocks_nobody(folder: Path) -> None:
    package = read_package(folder)
    (folder / "golden.npz").unlink()
    os.mkfifo(folder / "golden.npz")
    assert "golden.npz is a FIFO" in refused_in_time(lambda: Model(package, partial(Session, intra_op=1)))


def test_a_graph_that_cannot_run_its_golden_example_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path, "broken", fails_at=1)
    with pytest.raises(InvalidPackage, match=r"broken/1.*the graph fails on the golden example: .*out of data bounds"):
        load(folder)


def test_the_smallest_and_the_largest_batch_are_run_before_a_model_is_ready(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    run: Callable[..., list[Tensor]] = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        rows.append(len(inputs["image"]))
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    load(folder)
    golden = 2
    assert rows == [golden, 1, MAX_BATCH]


def test_a_model_knows_the_largest_bucket_that_is_quicker_than_handing_it_to_a_lane(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Callable[..., list[Tensor]] = Session.run

    def slow_from_four_rows(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        time.sleep(0.02 if len(inputs["image"]) >= 4 else 0)
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", slow_from_four_rows)
    monkeypatch.setattr(session_module, "inline_limit_s", lambda: 0.02)
    assert measured(load(folder)).session.inline_rows == 2


def test_a_model_no_bucket_of_which_is_quick_leaves_all_to_the_lanes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "inline_limit_s", lambda: 0)
    assert measured(load(folder)).session.inline_rows == 0


def test_a_model_whose_rows_may_have_any_size_leaves_all_to_the_lanes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "inline_limit_s", lambda: 20.0)
    assert measured(load(folder)).session.inline_rows == MAX_BATCH
    assert measured(sum_model(tmp_path)).session.inline_rows == 0


@pytest.mark.parametrize(
    ("max_batch", "wanted"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])],
)
def test_buckets_are_the_powers_of_two_up_to_the_largest_batch(max_batch: int, wanted: list[int]) -> None:
    assert buckets(max_batch) == wanted


def bare(folder: Path, graph: ModelProto, max_batch: int = MAX_BATCH) -> Model:
    path = write_bare(folder, graph)
    signature = read_signature(path / "model.onnx", open_graph(path / "model.onnx", 1))
    return Model(bare_package(path, signature, max_batch), partial(Session, intra_op=1))


def test_a_model_without_a_golden_example_is_warmed_with_zeros(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    run: Callable[..., list[Tensor]] = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        assert not inputs["x"].any()
        rows.append(len(inputs["x"]))
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    bare(tmp_path, adder())
    assert rows == buckets(MAX_BATCH)


def test_sizes_above_one_that_takes_long_are_not_warmed_on_zeros(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    run: Callable[..., list[Tensor]] = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        rows.append(len(inputs["x"]))
        time.sleep(2 * SLOW_S if len(inputs["x"]) == 2 else 0)
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    assert measured(bare(tmp_path, adder())).session.inline_rows <= 1
    assert max(rows) == 2


def test_a_golden_example_that_unpacks_to_more_than_it_may_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_module, "MAX_UNPACKED_BYTES", 100)
    with pytest.raises(InvalidPackage, match=r"golden.npz: .*: it unpacks to \d+ bytes; at most 100"):
        load(folder)


def test_a_model_without_a_batch_dimension_is_warmed_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes: set[tuple[int, ...]] = set()
    run: Callable[..., list[Tensor]] = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        shapes.add(inputs["x"].shape)
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    assert bare(tmp_path, adder((3, None))).program.max_batch == 0
    assert shapes == {(3, 1)}


def test_a_model_that_zeros_cannot_warm_is_loaded_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = bare(tmp_path, not_for_zeros())
    assert "its first requests will be slow" in caplog.text
    (found,) = model.session.run(["y"], {"x": np.ones((1, 1, 3, 3), "f4")})
    assert found.ravel().tolist() == [9]


def test_a_graph_that_fails_on_more_rows_than_its_golden_example_has_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path)
    rows = helper.make_node("Gather", ["table", "count"], ["row"])
    table = numpy_helper.from_array(np.zeros(3, "f4"), "table")  # for two rows at most
    model = onnx.load(folder / "model.onnx")
    shape = helper.make_node("Shape", ["image"], ["count"], end=1)
    model.graph.node.insert(0, shape)
    model.graph.node.insert(1, rows)
    model.graph.node.append(helper.make_node("Add", ["probabilities_", "row"], ["probabilities"]))
    (last,) = [node for node in model.graph.node if node.output[0] == "probabilities" and node.op_type == "Sum"]
    last.output[0] = "probabilities_"
    model.graph.initializer.append(table)
    replace_file(folder, "model.onnx", model.SerializeToString())
    with pytest.raises(InvalidPackage, match=r"tiny/1.*the graph fails while its batch sizes are warmed"):
        load(folder)
