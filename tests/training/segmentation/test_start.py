import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.classification.rows import build
from service.package import Package
from tests.training.segmentation.tiny import tiny_segmenter
from tests.training.tiny import Tiny
from training.checkpoint import read_checkpoint
from training.errors import DataError, RecipeError, RunError
from training.fit import fit
from training.recipe import load_recipe, parse_recipe
from training.segmentation.recipe import SegmentationRecipe
from training.segmentation.start import OpenedSegmenter, spaced


def test_the_network_has_the_classes_and_channels_of_the_data(scenes: Tiny) -> None:
    begun = OpenedSegmenter(tiny_segmenter(), scenes.folder).start()
    assert begun.learner.choices == 11
    assert begun.learner.guess == pytest.approx(math.log(11))
    images, masks = next(iter(begun.training()))
    assert (images.shape, masks.shape) == ((16, 64, 64), (16, 64, 64))
    assert masks.dtype == torch.uint8
    logits = begun.learner.model(begun.learner.prepare(images))
    assert logits.shape == (16, 11, 64, 64)


def test_what_the_checks_see_is_a_part_of_each_image_and_its_mask(scenes: Tiny) -> None:
    begun = OpenedSegmenter(tiny_segmenter(), scenes.folder).start()
    images, masks = begun.some(5)
    rows = spaced(len(begun.examples), 5)
    assert np.array_equal(images.numpy(), begun.examples.images[rows])
    assert np.array_equal(masks.numpy(), begun.examples.masks[rows])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (("augmentation.flip=0.5",), "flip is 0.5; the classes of digit-scenes do not hold for mirrored images"),
        (("model=lenet5", "config={}"), "lenet5 is no segmentation network; there are fcn32s"),
        (("config.classes=3",), "unet-64 has 3 classes; digit-scenes has 11"),
        (("config.channels=3",), r"unet-64 cannot take images \(1, 64, 64\)"),
        (("config.depth=3",), "has no 'depth'"),
        (("config.widths=[]",), r"config: widths is \[\]; a list with the widths of one or more stages is allowed"),
        (("config.widths=8",), r"config: widths is 8; a list"),
        (("config.widths=[[4],[]]",), r"config: the widths of a stage are \[\]; a list of one or more whole numbers"),
        (("config.widths=[4,8]",), r"config: the widths of a stage are 4; a list of one or more whole numbers"),
        (("config.bottom=[8,0]",), r"config: the widths of a stage are \[8, 0\]; a list of one or more whole numbers"),
        (("config.bottom=[4.5]",), r"config: the widths of a stage are \[4.5\]"),
        (("transfer.weights=x", 'transfer.fresh=["score"]'), "transfer.fresh is .*; leave it out"),
        (("transfer.weights=nowhere.pth",), "transfer.weights: "),
    ],
)
def test_what_the_data_or_the_model_cannot_have_is_refused(scenes: Tiny, changes: tuple[str, ...], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        OpenedSegmenter(tiny_segmenter(*changes), scenes.folder).start()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"epochs": 0}, "epochs is 0; a segmentation network needs 1 or more"),
        ({"batch_size": "full"}, "a segmentation network needs a number"),
        ({"augmentation": {"crop": 2}}, "augmentation.crop is 2; masks cannot be cropped"),
        ({"loss": {"name": "hinge"}}, "loss.name: "),
        ({"loss": {"class_weights": "medium"}}, "did you mean 'median'"),
        ({"loss": {"name": "dice", "class_weights": "enet"}}, "is 'enet'; with the loss dice only 'none' is allowed"),
        ({"loss": {"name": "dice", "label_smoothing": 0.1}}, "is 0.1; with the loss dice only 0 is allowed"),
        ({"early_stopping": {"metric": "validation_bleu"}}, "validation_mean_iou"),
    ],
)
def test_a_recipe_that_cannot_be_followed_is_refused(changes: dict[str, object], words: str) -> None:
    values = tiny_segmenter().model_dump(exclude_defaults=True) | {"task": "segment"}
    with pytest.raises(RecipeError, match=words):
        parse_recipe(values | changes, "recipe")


def test_a_data_set_without_masks_is_refused(scenes: Tiny) -> None:
    with pytest.raises(DataError, match="no data set with masks 'mnist'; there are camvid"):
        OpenedSegmenter(tiny_segmenter("dataset=mnist"), scenes.folder)


def test_examples_are_spaced_evenly_and_no_more_than_there_are(scenes: Tiny) -> None:
    begun = OpenedSegmenter(tiny_segmenter("examples=12"), scenes.folder).start()
    whole = OpenedSegmenter(tiny_segmenter(), scenes.folder).start()
    assert np.array_equal(begun.examples.images, whole.examples.images[::4])
    with pytest.raises(DataError, match="examples is 49; Digit scenes has 48 to train on"):
        OpenedSegmenter(tiny_segmenter("examples=49"), scenes.folder).start()


@pytest.mark.fit
def test_a_run_learns_and_keeps_the_epoch_of_the_best_mean_iou(scenes: Tiny, tmp_path: Path) -> None:
    done = fit(tiny_segmenter("epochs=6", "loss.name=sum"), tmp_path / "run", scenes.folder, progress=False)
    losses = [row["validation_loss"] for row in done.history]
    assert losses[-1] < losses[0]
    assert done.kept is not None
    assert done.kept["validation_mean_iou"] == max(row["validation_mean_iou"] for row in done.history)
    assert done.history[-1]["train_mean_iou"] > 0
    with pytest.raises(RunError, match="another recipe"):
        fit(tiny_segmenter(), tmp_path / "run", scenes.folder, progress=False)


@pytest.mark.fit
def test_the_same_recipe_gives_the_same_weights(scenes: Tiny, tmp_path: Path) -> None:
    recipe = tiny_segmenter("augmentation={rotation=20, zoom=[0.8, 1.2], gamma=0.2}", "epochs=1")
    first, second = (fit(recipe, tmp_path / name, scenes.folder, progress=False) for name in "ab")
    assert first.history[0]["validation_loss"] == second.history[0]["validation_loss"]
    for name, weight in first.weights.items():
        assert torch.equal(weight, second.weights[name]), name


def test_the_encoder_starts_from_a_classifiers_weights(scenes: Tiny, tmp_path: Path) -> None:
    classifier = build("vgg7-28", {"widths": [[4], [8], [8]]})
    torch.save(classifier.state_dict(), tmp_path / "published.pth")
    given = (f"transfer.weights='{tmp_path / 'published.pth'}'", "config.widths=[[4],[8],[8]]")
    learner = OpenedSegmenter(tiny_segmenter(*given, "transfer.mode=freeze"), scenes.folder).start().learner
    encoder = learner.model.get_submodule("encoder")
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, classifier.state_dict()[name]), name
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert {"bottom", "score"} <= set(learner.fresh)


@pytest.mark.parametrize("name", ["camvid-unet", "camvid-segnet", "camvid-fcn8s", "camvid-context", "nuclei-unet"])
def test_shipped_recipes_fit_their_data(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.early_stopping.metric == "validation_mean_iou"
    assert isinstance(recipe, SegmentationRecipe)
    assert OpenedSegmenter(recipe, None).title.startswith(("U-Net", "SegNet", "FCN", "Context"))


@pytest.mark.parametrize("kind", ["package", "run"])
def test_a_network_goes_on_from_the_whole_of_another(
    scenes: Tiny, segmenter_package: Package, segmenter_run: Path, kind: str
) -> None:
    weights = segmenter_package.folder if kind == "package" else segmenter_run
    recipe = tiny_segmenter(f"transfer.weights={weights}", "transfer.fresh=[]")
    learner = OpenedSegmenter(recipe, scenes.folder).start().learner
    assert learner.starts_trained
    trained = read_checkpoint(segmenter_run).model()
    images = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        # Packages round weights to 16 bits.
        found, wanted = learner.model.eval()(images), trained(images)
    torch.testing.assert_close(found, wanted, rtol=2e-2, atol=5e-2)
