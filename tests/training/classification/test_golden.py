from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from service.package import Package
from tests.training.tiny import Tiny, digits
from training.checkpoint import read_checkpoint
from training.classification.golden import one_of_each
from training.classification.graph import Served
from training.classification.package import stored_model, write_package
from training.classification.subject import Subject
from training.data import Split
from training.export.how import How


def test_the_golden_example_is_torchs_answer_to_real_digits(package: Package, tiny: Tiny, finished_run: Path) -> None:
    with np.load(package.path(package.classifier.golden.file)) as golden:
        images, probabilities = golden["image"], golden["probabilities"]
    model = stored_model(read_checkpoint(finished_run).model(), "float16")
    served = Served(model, tiny.source.mean, tiny.source.std)
    assert images.shape == (10, 28, 28)
    torch.testing.assert_close(served(torch.from_numpy(images))[0].detach(), torch.from_numpy(probabilities))


def test_golden_images_are_one_of_each_class_in_order() -> None:
    images, labels = digits()
    label_of = {image.tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert [label_of[image.tobytes()] for image in one_of_each(Split(images, labels))] == list(range(10))


def test_golden_images_are_none_of_the_test_split(package: Package, tiny: Tiny) -> None:
    with np.load(package.path("golden.npz")) as golden:
        images = {image.tobytes() for image in golden["image"]}
    assert not images & {image.tobytes() for image in tiny.source.test().images}


@pytest.mark.export
def test_the_answers_of_int8_are_its_own(subject: Subject, tmp_path: Path) -> None:
    package = write_package(subject, tmp_path, how=How("int8"))
    served = Served(subject.model, subject.mean, subject.std)
    with np.load(package.path("golden.npz")) as golden, torch.no_grad():
        difference = np.abs(served(torch.from_numpy(golden["image"]))[0].numpy() - golden["probabilities"]).max()
    assert difference > 1e-4  # torch computes another


@pytest.mark.export
def test_without_images_the_example_is_noise_and_still_right(subject: Subject, tmp_path: Path) -> None:
    bare = replace(subject, training=None, validation=None, test=None, dataset=None, history=(), gate=None)
    with np.load(write_package(bare, tmp_path).path("golden.npz")) as golden:
        assert golden["image"].shape == (8, 28, 28)
        assert golden["image"].std() > 50
