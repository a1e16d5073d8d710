"""Searches give what comparing with every vector by numpy gives, whatever was added and removed before."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.indexes import METRICS, Indexes, Metric, Opened, add, remove
from service.indexes.nearest import Nearest
from service.indexes.store import Row
from tests.service.indexes.making import DIMENSION, description, items, random_vectors, write_index


def distances(metric: Metric, vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    exact, wanted = vectors.astype("f8"), query.astype("f8")
    if metric == "cosine":
        norms = np.linalg.norm(exact, axis=1) * np.linalg.norm(wanted)
        return np.asarray(1 - exact @ wanted / norms)
    if metric == "euclidean":
        return np.asarray(np.linalg.norm(exact - wanted, axis=1))
    thresholds = exact.mean(axis=0).astype("f4")
    return np.asarray(((vectors > thresholds) != (query > thresholds)).sum(axis=1), "f8")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("k", [1, 7, 200, 500])
def test_the_nearest_are_those_of_a_comparison_with_all(metric: Metric, k: int, tmp_path: Path) -> None:
    vectors, query = random_vectors(200), random_vectors(1, seed=1)[0]
    found, count = Opened(write_index(tmp_path, vectors, metric=metric)).search(query, k, thumbnails=False)
    wanted = distances(metric, vectors, query)
    assert count == 200
    np.testing.assert_allclose([each.distance for each in found], np.sort(wanted)[:k], atol=1e-5)
    for each in found:
        assert each.distance == pytest.approx(wanted[int(each.name.removeprefix("item "))], abs=1e-5)
    similarities = [each.similarity for each in found]
    assert similarities == sorted(similarities, reverse=True)


@pytest.mark.parametrize("metric", METRICS)
def test_a_vector_of_the_index_is_nearest_to_itself(metric: Metric, tmp_path: Path) -> None:
    vectors = random_vectors(50)
    opened = Opened(write_index(tmp_path, vectors, metric=metric))
    [first] = opened.search(vectors[31], 1, thumbnails=False).found
    assert first.distance == pytest.approx(0, abs=1e-6)
    assert first.similarity == pytest.approx(1, abs=1e-6)
    assert metric == "hamming" or first.name == "item 31"


def test_a_vector_of_zeros_has_no_direction_and_is_found_all_the_same(tmp_path: Path) -> None:
    vectors = np.stack([np.zeros(DIMENSION, "f4"), np.ones(DIMENSION, "f4")])
    found = Opened(write_index(tmp_path, vectors, metric="cosine")).search(vectors[1], 2, thumbnails=False).found
    assert [(each.name, round(each.distance, 6)) for each in found] == [("item 1", 0.0), ("item 0", 1.0)]


@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=30), metric=st.sampled_from(METRICS))
def test_following_changes_gives_what_loading_all_does(steps: list[tuple[bool, int]], metric: Metric) -> None:
    thresholds = np.zeros(DIMENSION, "f4") if metric == "hamming" else None
    followed, kept = Nearest(description(metric=metric), thresholds), dict[int, NDArray[np.float32]]()
    for change, (adds, id) in enumerate(steps, 1):
        vector = random_vectors(1, seed=change)[0] if adds else None
        followed.apply([Row(id, change, vector)])
        kept.pop(id, None)
        kept |= {} if vector is None else {id: vector}
    loaded = Nearest(description(metric=metric), thresholds)
    loaded.apply([Row(id, 1, vector) for id, vector in kept.items()])
    query = random_vectors(1, seed=99)[0]
    assert followed.search(query, 20) == loaded.search(query, 20)
    assert len(followed) == len(kept)


def test_an_index_follows_what_another_opening_of_it_writes(tmp_path: Path) -> None:
    vectors = random_vectors(20)
    write_index(tmp_path, vectors[:10])
    reader, writer = Indexes(tmp_path), Indexes(tmp_path)("some").store
    assert reader("some").search(vectors[15], 1, thumbnails=False).items == 10
    assert add(writer, items(vectors[10:], 10), 1) == [False] * 10
    assert reader("some").search(vectors[15], 1, thumbnails=False).found[0].name == "item 15"
    assert add(writer, [items(vectors[3:4], 15)[0]], 1) == [True]  # item 15 has another vector now
    found, count = reader("some").search(vectors[3], 2, thumbnails=False)
    assert ({each.name for each in found}, count) == ({"item 3", "item 15"}, 20)
    assert remove(writer, ["item 15", "item 3", "item 99"], 1) == [True, True, False]
    found, count = reader("some").search(vectors[3], 20, thumbnails=False)
    assert (len(found), count) == (18, 18)
    assert {"item 15", "item 3"}.isdisjoint(each.name for each in found)


def test_what_was_removed_is_forgotten_in_time_and_readers_follow(tmp_path: Path) -> None:
    vectors = random_vectors(8)
    write_index(tmp_path, vectors[:4], max_items=5)
    reader, writer = Indexes(tmp_path), Indexes(tmp_path)("some").store
    reader("some").search(vectors[0], 1, thumbnails=False)
    for round_ in range(4):
        add(writer, [items(vectors[4:5], 100 + round_)[0]], 1)
        remove(writer, [f"item {100 + round_}"], 1)
    remove(writer, ["item 0", "item 1"], 1)
    assert writer.summary().removed == 0  # there were six, more than the items it may have
    found, count = reader("some").search(vectors[0], 9, thumbnails=False)
    assert ({each.name for each in found}, count) == ({"item 2", "item 3"}, 2)


def test_an_index_that_was_made_anew_is_opened_anew(tmp_path: Path) -> None:
    vectors, reader = random_vectors(4), Indexes(tmp_path)
    folder = write_index(tmp_path, vectors)
    assert reader("some").search(vectors[0], 1, thumbnails=False).items == 4
    for file in folder.iterdir():
        file.unlink()
    write_index(tmp_path, vectors[:2])
    assert reader("some").search(vectors[0], 1, thumbnails=False).items == 2
    reader.close()
