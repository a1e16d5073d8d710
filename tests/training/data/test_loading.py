import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from tests.training.tiny import digits
from training.data import Split
from training.data.loading import ShuffledBatches, training_batches, validation_batches
from training.errors import DataError

sizes = st.integers(1, 50)
worlds = st.integers(1, 5)
seeds = st.integers(0, 2**32 - 1)
epochs = st.integers(0, 1000)


def batches(examples: int, size: int, seed: int, epoch: int, rank: int = 0, world: int = 1) -> list[list[int]]:
    sampler = ShuffledBatches(examples, size, seed, rank, world)
    sampler.set_epoch(epoch)
    found = list(sampler)
    assert len(found) == len(sampler)
    return found


@given(examples=sizes, size=sizes, seed=seeds, epoch=epochs)
def test_a_pass_has_every_example_once_in_batches_of_the_size(examples: int, size: int, seed: int, epoch: int) -> None:
    found = batches(examples, size, seed, epoch)
    assert sorted(i for batch in found for i in batch) == list(range(examples))
    assert all(len(batch) == size for batch in found[:-1])
    assert 1 <= len(found[-1]) <= size + 1


@given(examples=st.integers(2, 50), size=st.integers(2, 50), seed=seeds)
def test_no_batch_is_a_single_row_that_batch_norm_could_not_take(examples: int, size: int, seed: int) -> None:
    assert min(map(len, batches(examples, size, seed, 0))) >= 2


def test_batch_norm_trains_through_the_last_batch() -> None:
    images, labels = digits()
    split = Split(images[:65], labels[:65])
    norm = nn.BatchNorm1d(784)
    for batch, _ in training_batches(split, 32, seed=0):
        norm(batch.flatten(1).float())


def test_one_row_a_batch_is_what_was_asked_for() -> None:
    assert sorted(batches(3, 1, 0, 0)) == [[0], [1], [2]]


@given(examples=sizes, size=sizes, seed=seeds, epoch=epochs, world=worlds)
def test_the_processes_share_each_batch_of_a_single_process(
    examples: int, size: int, seed: int, epoch: int, world: int
) -> None:
    assume(min(examples, size) >= world)
    ranks = [batches(examples, size, seed, epoch, rank, world) for rank in range(world)]
    assert len({len(found) for found in ranks}) == 1, "a process with more batches would wait for ever"
    order = [i for batch in batches(examples, size, seed, epoch) for i in batch]
    start = 0
    for parts in zip(*ranks, strict=True):
        lengths = [len(part) for part in parts]
        assert min(lengths) >= 1
        assert max(lengths) - min(lengths) <= 1
        assert sorted(i for part in parts for i in part) == sorted(order[start : start + sum(lengths)])
        start += sum(lengths)
    assert start == examples


@given(examples=st.integers(4, 50), size=st.integers(4, 50), world=st.just(2))
def test_no_process_trains_on_a_single_row(examples: int, size: int, world: int) -> None:
    for rank in range(world):
        assert min(map(len, batches(examples, size, 0, 0, rank, world))) >= 2


@pytest.mark.parametrize(("examples", "size"), [(3, 32), (100, 3)])
def test_more_processes_than_rows_are_refused(examples: int, size: int) -> None:
    with pytest.raises(DataError, match=f"batches of {size} from {examples} examples cannot be shared by 4 processes"):
        ShuffledBatches(examples, size, 0, 0, 4)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert batches(100, 10, 0, 1) == batches(100, 10, 0, 1)
    assert len({str(batches(100, 10, seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}) == 9


def test_the_order_stays_that_of_the_runs_there_are() -> None:
    wanted = torch.randperm(10, generator=torch.Generator().manual_seed((3 << 16) + 5)).tolist()
    assert batches(10, 4, 3, 5) == [wanted[:4], wanted[4:8], wanted[8:]]


def test_batches_hold_the_images_with_their_labels() -> None:
    images, labels = digits()
    label_of = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    seen = 0
    for batch, classes in training_batches(Split(images, labels), 64, seed=0):
        assert batch.dtype == torch.uint8
        assert classes.dtype == torch.int64
        assert [label_of[image.numpy().tobytes()] for image in batch] == classes.tolist()
        seen += len(batch)
    assert seen == 300


def test_validation_keeps_its_order() -> None:
    images, labels = digits()
    found = [classes for _, classes in validation_batches(Split(images, labels), 70)]
    assert torch.cat(found).tolist() == labels.tolist()
    assert [len(classes) for classes in found] == [70, 70, 70, 70, 20]


@given(examples=sizes, size=st.integers(1, 20), world=worlds)
def test_the_processes_validate_every_example_once_in_as_many_batches(examples: int, size: int, world: int) -> None:
    assume(examples >= world)
    images, _ = digits()
    split = Split(images[:examples], torch.arange(examples).numpy())
    ranks = [[rows.tolist() for _, rows in validation_batches(split, size, rank, world)] for rank in range(world)]
    assert len({len(found) for found in ranks}) == 1
    assert all(rows for found in ranks for rows in found)
    assert sorted(i for found in ranks for rows in found for i in rows) == list(range(examples))


def test_more_processes_than_examples_to_validate_on_are_refused() -> None:
    images, labels = digits()
    with pytest.raises(DataError, match="3 examples to validate on cannot be shared by 4 processes"):
        validation_batches(Split(images[:3], labels[:3]), 10, 0, 4)
