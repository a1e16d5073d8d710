import io
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.engine import repository as repository_module
from service.engine.repository import WARM_RUNS, Repository, buckets
from service.engine.session import Session
from service.engine.tensors import Tensor, Tensors
from service.errors import InvalidPackage, UnknownModel
from tests.packages import MAX_BATCH, change_card, example, expected, replace_file, write_package


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A right package in a repository of its own, for the test to spoil."""
    return write_package(tmp_path)


def load(folder: Path) -> Repository:
    """The repository the package lies in."""
    return Repository(folder.parent.parent, intra_op=1)


def test_every_version_of_every_package_is_served(repository: Path) -> None:
    models = Repository(repository, intra_op=1)
    assert models.names == ["fragile", "other", "tiny"]
    assert [(model.name, model.version) for model in models] == [
        ("fragile", "1"),
        ("other", "3"),
        ("tiny", "1"),
        ("tiny", "2"),
    ]


def test_versions_are_numbers_and_the_highest_answers_where_none_is_named(tmp_path: Path) -> None:
    for version in (2, 10, 9):
        write_package(tmp_path, "tiny", version)
    models = Repository(tmp_path, intra_op=1)
    assert models.versions("tiny") == ["2", "9", "10"]
    assert models.get("tiny").version == models.get("tiny", None).version == models.get("tiny", "").version == "10"
    assert models.get("tiny", "9").version == "9"


@pytest.mark.parametrize("version", ["3", "02", "latest", "-1", "2 ", "1" * 500])
def test_an_unknown_version_is_refused_with_those_there_are(version: str, repository: Path) -> None:
    with pytest.raises(UnknownModel, match=r"'tiny' has no version .*; it has \['1', '2'\]") as refused:
        Repository(repository, intra_op=1).get("tiny", version)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("name", ["", "huge", "tiny/1", "../tiny", "T" * 500])
def test_an_unknown_model_is_refused_with_those_there_are(name: str, repository: Path) -> None:
    models = Repository(repository, intra_op=1)
    with pytest.raises(UnknownModel, match=r"no model .*; there are \['fragile', 'other', 'tiny'\]") as refused:
        models.get(name)
    assert len(str(refused.value)) < 200
    with pytest.raises(UnknownModel):
        models.versions(name)


def test_a_missing_repository_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InvalidPackage, match="nowhere: no such folder"):
        Repository(tmp_path / "nowhere", intra_op=1)


@pytest.mark.parametrize("strange", ["tiny/latest", "tiny/0", "tiny/01", "tiny/1.5", "tiny/.git", "tiny"])
def test_a_repository_with_no_version_folder_is_refused(strange: str, tmp_path: Path) -> None:
    (tmp_path / strange).mkdir(parents=True)
    with pytest.raises(InvalidPackage, match=f"{tmp_path.name}: no package"):
        Repository(tmp_path, intra_op=1)


def test_what_is_no_version_folder_is_passed_over(folder: Path) -> None:
    shutil.copytree(folder, folder.with_name("1.backup"))
    (folder.parent / "notes.txt").write_text("1")
    (folder.parent.parent / "README.md").write_text("packages")
    assert load(folder).versions("tiny") == ["1"]


def test_one_bad_package_refuses_the_whole_repository(folder: Path) -> None:
    bad = write_package(folder.parent.parent, "bad")
    (bad / "model.onnx").write_bytes(b"")
    with pytest.raises(InvalidPackage, match=r"bad.1.model.onnx: sha256"):
        load(folder)


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
    with pytest.raises(InvalidPackage, match=f"tiny/1.*golden output {message}.*tolerance 0.001"):
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


@pytest.mark.parametrize("golden", NO_EXAMPLE.values(), ids=list(NO_EXAMPLE))
def test_a_file_that_is_no_golden_example_is_refused_by_name(golden: bytes, folder: Path) -> None:
    replace_file(folder, "golden.npz", golden)
    with pytest.raises(InvalidPackage, match=r"golden.npz: no golden example of \['image', 'probabilities', 'mean'\]"):
        load(folder)


def test_an_oversized_golden_example_is_refused_unread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository_module, "MAX_GOLDEN_BYTES", 100)
    with pytest.raises(InvalidPackage, match=r"golden.npz: \d+ bytes, .* at most 100"):
        load(folder)


def test_a_graph_that_cannot_run_its_golden_example_is_refused(tmp_path: Path) -> None:
    folder = write_package(tmp_path, "broken", fails_at=1)
    with pytest.raises(InvalidPackage, match=r"broken/1.*the graph fails on the golden example: .*out of data bounds"):
        load(folder)


def test_every_bucket_is_run_before_a_model_is_ready(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    run: Callable[..., list[Tensor]] = Session.run

    def recorded(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        rows.append(len(inputs["image"]))
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", recorded)
    load(folder)
    golden = 2
    assert rows == [golden, *(size for size in buckets(MAX_BATCH) for _ in range(WARM_RUNS))]


def test_a_model_knows_the_largest_bucket_that_is_quicker_than_handing_it_to_a_lane(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run: Callable[..., list[Tensor]] = Session.run

    def slow_from_four_rows(session: Session, outputs: list[str], inputs: Tensors) -> list[Tensor]:
        time.sleep(0.02 if len(inputs["image"]) >= 4 else 0)
        return run(session, outputs, inputs)

    monkeypatch.setattr(Session, "run", slow_from_four_rows)
    monkeypatch.setattr(repository_module, "HANDOVER_S", 0.02)
    assert load(folder).get("tiny").inline_rows == 2


def test_a_model_no_bucket_of_which_is_quick_leaves_all_to_the_lanes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository_module, "HANDOVER_S", 0)
    assert load(folder).get("tiny").inline_rows == 0


@pytest.mark.parametrize(
    ("max_batch", "wanted"),
    [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8]), (9, [1, 2, 4, 8, 9])],
)
def test_buckets_are_the_powers_of_two_up_to_the_largest_batch(max_batch: int, wanted: list[int]) -> None:
    assert buckets(max_batch) == wanted
