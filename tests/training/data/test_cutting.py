from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.training.data.folders import make_splits
from tests.training.tiny import Tiny, digits
from training.data import Fold, HoldOut, Labels, Split, find_source, split
from training.data.cutting import draw, hold_out, k_fold, limit
from training.data.published import PublishedSource
from training.errors import DataError

seeds = st.integers(0, 2**32 - 1)
labels_of = st.lists(st.integers(0, 4), min_size=2, max_size=60).map(lambda found: np.array(found, np.int64))


def pieces(*splits: Split) -> list[bytes]:
    return sorted(image.tobytes() for split in splits for image in split.images)


def test_training_and_validation_share_no_example_and_lose_none(tiny: Tiny) -> None:
    training, validation = split(HoldOut(validation=50, seed=1), tiny.source)
    assert (len(training), len(validation)) == (170, 50)
    assert pieces(training, validation) == pieces(tiny.source.training())


@pytest.mark.parametrize("how", [{}, {"bootstrap": True}, {"fold": Fold(index=1, of=3)}, {"examples": 30}])
def test_labels_stay_with_their_images(tiny: Tiny, how: dict[str, Any]) -> None:
    images, labels = digits()
    label_of = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for part in split(HoldOut(validation=50, seed=1, **how), tiny.source):
        assert [label_of[image.tobytes()] for image in part.images] == list(part.labels)


def test_the_hold_out_stays_that_of_the_runs_there_are() -> None:
    order = np.random.default_rng(7).permutation(100)
    training, validation = hold_out(100, 30, 7)
    assert validation.tolist() == sorted(order[:30])
    assert training.tolist() == sorted(order[30:])


@pytest.mark.parametrize("how", [{}, {"bootstrap": True}, {"fold": Fold(index=0, of=4)}, {"examples": 100}])
def test_the_seed_decides_the_cut(tiny: Tiny, how: dict[str, Any]) -> None:
    first, again, other = (split(HoldOut(validation=50, seed=seed, **how), tiny.source) for seed in (1, 1, 2))
    for part in (0, 1):
        assert pieces(first[part]) == pieces(again[part])
    assert pieces(first[0]) != pieces(other[0])


@pytest.mark.parametrize("held_out", [0, 220, 5000, 0.001, 0.999])
def test_holding_out_nothing_or_everything_is_refused(tiny: Tiny, held_out: float) -> None:
    with pytest.raises(DataError, match=f"{held_out} of 220 examples"):
        split(HoldOut(validation=held_out, seed=0), tiny.source)


@pytest.mark.parametrize(("share", "count"), [(0.15, 33), (0.5, 110), (0.01, 2)])
def test_a_share_can_be_held_out(tiny: Tiny, share: float, count: int) -> None:
    assert len(split(HoldOut(validation=share, seed=0), tiny.source)[1]) == count


@given(labels=labels_of, of=st.integers(2, 10), seed=seeds)
def test_each_example_is_validated_on_in_one_fold(labels: Labels, of: int, seed: int) -> None:
    assume(of <= len(labels))
    inside = []
    for index in range(of):
        training, validation = k_fold(labels, Fold(index=index, of=of), seed)
        assert sorted([*training, *validation]) == list(range(len(labels)))
        assert len(training)
        inside.append(validation)
    assert sorted(np.concatenate(inside)) == list(range(len(labels)))
    for counts in [[len(rows) for rows in inside], *([sum(labels[rows] == c) for rows in inside] for c in range(5))]:
        assert max(counts) - min(counts) <= 1, "the folds are as large, and as mixed, as each other"


def test_more_folds_than_examples_are_refused(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="220 examples are too few for 221 folds"):
        split(HoldOut(validation=50, seed=0, fold=Fold(index=0, of=221)), tiny.source)


@pytest.mark.parametrize(("index", "of"), [(5, 5), (-1, 5), (0, 1)])
def test_a_fold_that_is_none_is_refused(index: int, of: int) -> None:
    with pytest.raises(ValidationError):
        Fold(index=index, of=of)


@given(examples=st.integers(8, 300), seed=seeds)
def test_a_bootstrap_draws_as_many_as_there_are_and_validates_on_the_rest(examples: int, seed: int) -> None:
    drawn, left = draw(examples, seed)
    assert len(drawn) == examples
    assert set(drawn).isdisjoint(left)
    assert set(drawn) | set(left) == set(range(examples))
    assert len(left) == len(set(left)) > 0


def test_about_a_third_is_out_of_the_bag() -> None:
    assert len(draw(100_000, 0)[1]) / 100_000 == pytest.approx(np.exp(-1), abs=0.005)


def test_a_bootstrap_that_leaves_none_is_refused() -> None:
    with pytest.raises(DataError, match="a bootstrap of 1 examples by seed 0 leaves none"):
        draw(1, 0)


def test_a_fold_and_a_bootstrap_exclude_each_other(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="exclude each other"):
        split(HoldOut(validation=50, seed=0, fold=Fold(index=0, of=5), bootstrap=True), tiny.source)


@given(labels=labels_of, seed=seeds, data=st.data())
def test_a_limit_keeps_the_classes_proportions(labels: Labels, seed: int, data: st.DataObject) -> None:
    examples = data.draw(st.integers(1, len(labels)))
    rows = np.arange(len(labels), dtype=np.uint8)
    kept = limit(Split(rows[:, None, None], labels), examples, seed)
    found = kept.images[:, 0, 0]
    assert len(set(found)) == len(kept) == examples
    assert (labels[found] == kept.labels).all()
    for label in range(5):
        assert abs(sum(kept.labels == label) - sum(labels == label) * examples / len(labels)) < 1


def test_a_limit_leaves_the_validation_examples_as_they_are(tiny: Tiny) -> None:
    _, whole = split(HoldOut(validation=50, seed=0), tiny.source)
    training, validation = split(HoldOut(validation=50, seed=0, examples=20), tiny.source)
    assert len(training) == 20
    assert pieces(validation) == pieces(whole)


def test_a_limit_above_what_there_is_is_refused(tiny: Tiny) -> None:
    with pytest.raises(DataError, match="examples is 171; the training split has 170"):
        split(HoldOut(validation=50, seed=0, examples=171), tiny.source)


def test_a_sources_own_validation_split_is_taken(tmp_path: Path) -> None:
    source = find_source(str(make_splits(tmp_path, train=4, val=2, test=1)), (1, 8, 8))
    training, validation = split(HoldOut(validation=3, seed=0), source)
    assert pieces(training) == pieces(source.training())
    own = source.validation()
    assert own is not None
    assert pieces(validation) == pieces(own)


@pytest.mark.parametrize("how", [{"bootstrap": True}, {"fold": Fold(index=0, of=3)}])
def test_folds_and_bootstraps_draw_from_the_sources_validation_split_too(tmp_path: Path, how: dict[str, Any]) -> None:
    source = find_source(str(make_splits(tmp_path, train=4, val=2, test=1)), (1, 8, 8))
    training, validation = split(HoldOut(validation=3, seed=0, **how), source)
    own = source.validation()
    assert own is not None
    assert set(pieces(training, validation)) == set(pieces(source.training(), own))


def test_the_test_split_is_never_read(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    real = PublishedSource.read

    def noted(source: PublishedSource, name: str) -> bytes:
        read.append(name)
        return real(source, name)

    monkeypatch.setattr(PublishedSource, "read", noted)
    source = find_source("mnist", (3, 32, 32), tiny.folder)
    assert source.mean
    hows: list[dict[str, Any]] = [{}, {"bootstrap": True}, {"fold": Fold(index=0, of=3)}, {"examples": 30}]
    for how in hows:
        split(HoldOut(validation=50, seed=0, **how), source)
    assert set(read) == {"train-images-idx3-ubyte", "train-labels-idx1-ubyte"}
