import threading
from itertools import count

import numpy as np
import pytest
from PIL import Image

from service.imaging import prepare
from service.package import Preprocessing
from tests.training.tiny import coloured, digits
from training.data import preparation
from training.data.preparation import each, prepare_images, room
from training.errors import DataError


def said(height: int, width: int, colour: str = "grey") -> Preprocessing:
    return Preprocessing.model_validate({"tensor": "image", "colour": colour, "height": height, "width": width})


@pytest.mark.parametrize("colour", ["grey", "rgb"])
@pytest.mark.parametrize("images", [digits()[0], coloured()[0]], ids=["grey", "colour"])
def test_every_image_is_what_the_service_makes_of_it(images: np.ndarray, colour: str) -> None:
    found = prepare_images(images, said(20, 31, colour))
    assert found.shape == (300, 20, 31) + ((3,) if colour == "rgb" else ())
    for before, after in zip(images, found, strict=True):
        assert (prepare(Image.fromarray(before), said(20, 31, colour)) == after).all()


def test_more_memory_than_is_allowed_is_refused_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"cats: 100000 images of 224x224 take 14.0 GiB of memory; at most 8 are allowed"
    ):
        room(100_000, said(224, 224, "rgb"), "cats")
    monkeypatch.setattr(preparation, "MAX_GIB", 0)
    with pytest.raises(DataError, match="images: 300 images"):
        prepare_images(digits()[0], said(28, 28))


def test_results_come_in_the_order_of_the_tasks_from_several_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "usable_cores", lambda: 3)
    together = threading.Barrier(3, timeout=10)

    def work(task: int) -> int:
        together.wait()  # passes only if three work at a time
        return task * task

    assert list(each(work, range(30), "squares")) == [task * task for task in range(30)]


def test_a_long_list_is_not_asked_for_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preparation, "usable_cores", lambda: 2)
    begun = count()
    results = each(lambda task: next(begun), range(1000), "tasks")
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert next(begun) <= 2 * preparation.AHEAD + 2


def test_what_goes_wrong_in_a_task_is_the_callers_and_the_rest_is_left() -> None:
    done: list[int] = []

    def work(task: int) -> None:
        if task == 2:
            raise DataError("the third")
        done.append(task)

    with pytest.raises(DataError, match="the third"):
        list(each(work, range(100_000), "tasks"))
    assert len(done) < 1000
