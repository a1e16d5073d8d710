import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.training.tiny import digits
from training.data import Split
from training.loading import ShuffledBatches, training_batches, validation_batches

sizes = st.integers(1, 50)


@given(examples=sizes, size=sizes, seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 1000))
def test_a_pass_has_every_example_once_in_batches_of_the_size(examples: int, size: int, seed: int, epoch: int) -> None:
    sampler = ShuffledBatches(examples, size, seed)
    sampler.set_epoch(epoch)
    batches = list(sampler)
    assert len(batches) == len(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(examples))
    assert all(len(batch) == size for batch in batches[:-1])
    assert 1 <= len(batches[-1]) <= size


def order(seed: int, epoch: int) -> list[list[int]]:
    sampler = ShuffledBatches(100, 10, seed)
    sampler.set_epoch(epoch)
    return list(sampler)


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    assert order(0, 1) == order(0, 1)
    assert len({str(order(seed, epoch)) for seed in (0, 1, 2) for epoch in (0, 1, 2)}) == 9


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
    found = torch.cat([classes for _, classes in validation_batches(Split(images, labels), 70)])
    assert found.tolist() == labels.tolist()
