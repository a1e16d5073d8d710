"""What a captioner's recipe may ask for, and what its training starts from."""

from pathlib import Path

import pytest
import torch

from models.classification.rows import build
from tests.training.captioning.tiny import tiny_captioner
from tests.training.tiny import Tiny, tiny_recipe
from training.captioning.start import OpenedCaptioner, split
from training.data import find_captions
from training.errors import DataError, RecipeError
from training.fit import fit
from training.recipe import load_recipe

BACKBONE = ("config.widths=[[4],[8],[8]]", "epochs=1", "augmentation={}", "precision=32-true", "gate.accuracy=0")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("epochs=0",), "epochs is 0; a captioner needs 1 or more"),
        (("batch_size=full",), 'batch_size is "full"; a captioner needs a number'),
        (("augmentation.flip=0.5",), "captions of digit-scenes do not hold for mirrored images"),
        (("config.shape=[1,32,32]",), r"takes images \(1, 32, 32\); digit-scenes has \(1, 64, 64\)"),
        (("model=vgg7-28",), "vgg7-28 is not a captioner"),
        (("model=nothing",), "no model 'nothing'"),
        (("config.depth=3",), "has no 'depth'"),
        (("transfer.weights=nowhere.pth",), "transfer.weights: nowhere.pth: is not a file of weights"),
        (("transfer={weights='x', fresh=['fc']}",), r"transfer.fresh is \['fc'\]; leave it out"),
    ],
)
def test_what_cannot_be_had_is_said(scenes: Tiny, changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        OpenedCaptioner(tiny_captioner(*changes), scenes.folder).start()


def test_a_data_set_without_captions_is_refused(scenes: Tiny) -> None:
    with pytest.raises(DataError, match="no data set with captions 'mnist'; there are digit-scenes, flickr8k"):
        OpenedCaptioner(tiny_captioner("dataset=mnist"), scenes.folder)


def test_words_that_are_too_rare_have_no_token(scenes: Tiny) -> None:
    every, often = (OpenedCaptioner(tiny_captioner(f"min_count={n}"), scenes.folder).start() for n in (1, 20))
    assert len(often.vocabulary) < len(every.vocabulary)
    assert often.learner.network.vocabulary == often.learner.choices == len(often.vocabulary)
    assert "a" in often.vocabulary.words


def test_examples_limits_what_is_learnt_from(scenes: Tiny) -> None:
    begun = OpenedCaptioner(tiny_captioner("examples=5"), scenes.folder).start()
    assert len(begun.examples) == 5
    assert len(begun.held_out) == 24
    recipe = tiny_captioner("examples=5000")
    training, validation = split(recipe, find_captions(recipe.dataset, scenes.folder))
    assert (len(training), len(validation)) == (48, 24)  # training and export alike


@pytest.mark.fit
def test_the_encoder_starts_from_a_classifiers_run(scenes: Tiny, tmp_path: Path) -> None:
    recipe = load_recipe("mnist-vgg7", ("batch_size=32", "validation=40", "schedule={}", *BACKBONE))
    trained = fit(recipe, tmp_path / "classifier", scenes.folder, progress=False)
    given = f"transfer.weights='{tmp_path / 'classifier'}'"
    slow = OpenedCaptioner(tiny_captioner(given, "transfer.mode=slow"), scenes.folder).start().learner
    backbone = slow.network.encoder.backbone.state_dict()
    assert backbone.keys() < trained.weights.keys()
    for name, weight in backbone.items():
        assert torch.equal(weight, trained.weights[name]), name
    assert not any("backbone" in name for name in slow.fresh)
    assert {"encoder.place", "decoder.key.weight"} <= set(slow.fresh)
    frozen = OpenedCaptioner(tiny_captioner(given, "transfer.mode=freeze"), scenes.folder).start().learner
    trains = {name for name, weight in frozen.network.named_parameters() if weight.requires_grad}
    assert trains == set(slow.fresh)
    done = fit(tiny_captioner(given, "transfer.mode=freeze", "epochs=1"), tmp_path / "run", scenes.folder)
    kept = {name.removeprefix("encoder.backbone."): weight for name, weight in done.weights.items()}
    for name, weight in backbone.items():
        assert torch.equal(weight, kept[name]), name


def test_the_encoder_starts_from_a_published_file_of_weights(scenes: Tiny, tmp_path: Path) -> None:
    classifier = build("vgg7-28", {"widths": [[4], [8], [8]]})
    torch.save(classifier.state_dict(), tmp_path / "published.pth")
    given = f"transfer.weights='{tmp_path / 'published.pth'}'"
    begun = OpenedCaptioner(tiny_captioner(given, "transfer.mode=freeze"), scenes.folder).start()
    for name, weight in begun.learner.network.encoder.backbone.state_dict().items():
        assert torch.equal(weight, classifier.state_dict()[name]), name


@pytest.mark.fit
def test_weights_of_another_network_are_refused(scenes: Tiny, tmp_path: Path) -> None:
    fit(tiny_recipe("epochs=1"), tmp_path / "softmax", scenes.folder, progress=False)
    with pytest.raises(RecipeError, match=r"transfer.weights: .* missing"):
        OpenedCaptioner(tiny_captioner(f"transfer.weights='{tmp_path / 'softmax'}'"), scenes.folder).start()
