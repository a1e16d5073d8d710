from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.segmentation.graph import AREA, CONFIDENCE, IMAGE, MASK, PROBABILITY, SegmentationGraph
from service.package import Package
from tests.needs import needs
from tests.training.tiny import Tiny
from training.errors import EvaluationError, ExportError
from training.export.how import How
from training.export.onnx_file import answer, open_onnx
from training.segmentation.evaluate import ask, evaluate
from training.segmentation.metrics import confusion, mean_iou
from training.segmentation.package import CONFUSION, example, stored_network, write_segmenter
from training.segmentation.served_file import check_masks
from training.segmentation.subject import SegmentationSubject, from_run


@pytest.fixture
@needs("fit")
def subject(scenes: Tiny, segmenter_run: Path) -> SegmentationSubject:
    return from_run(segmenter_run, scenes.folder)


def test_the_card_says_what_the_classes_are_and_how_the_package_was_made(
    segmenter_package: Package, subject: SegmentationSubject
) -> None:
    card = segmenter_package.segmenter
    assert (card.name, card.version, card.task) == ("scenes-unet", 1, "segment")
    assert segmenter_package.labels == ("background", *"0123456789")
    assert len(card.segmentation.palette) == 11
    assert (card.segmentation.background, card.segmentation.countable) == (0, ())
    assert (card.preprocessing.height, card.preprocessing.width, card.preprocessing.colour) == (64, 64, "grey")
    said = card.provenance
    assert set(said.metrics) == {"mean_iou", "accuracy", "class_accuracy", "boundary_f1", "dice"}
    assert set(said.validation) == set(said.metrics) == set(said.intervals)
    for name, (low, high) in said.intervals.items():
        assert low <= said.metrics[name] <= high
    assert {"1", "3", "59x57"} < set(said.parity)
    assert max(said.parity.values()) <= 1e-5
    assert {CONFUSION, "card.png", "golden.npz", "labels.txt", "model.onnx"} == set(card.files)


def test_the_graph_takes_images_of_any_size_and_gives_what_torch_does(
    segmenter_package: Package, subject: SegmentationSubject
) -> None:
    network = stored_network(subject.network, "float16")
    graph = SegmentationGraph(network, subject.source.mean, subject.source.std)
    session = open_onnx(segmenter_package.path("model.onnx"))
    whole = subject.source.validation().images
    for images in (whole[:2], whole[:1, :33, :50], np.tile(whole[:3], (1, 2, 3))):
        wanted, found = answer(graph, {IMAGE: images}), session.run(list(graph.outputs), {IMAGE: images})
        for name, ours in zip(graph.outputs, found, strict=True):
            assert ours.dtype == wanted[name].dtype
            np.testing.assert_allclose(ours, wanted[name], atol=1e-4, err_msg=name)
    mask, _, area, _ = found
    assert mask.shape == (3, 128, 192)
    assert area.sum(1).tolist() == [128 * 192] * 3


def test_the_card_has_the_metrics_of_the_masks_that_the_engine_gives(
    segmenter_package: Package, subject: SegmentationSubject
) -> None:
    test = subject.source.test()
    predicted = ask(segmenter_package.folder.parents[1], segmenter_package, test.images)
    assert predicted.shape == test.masks.shape
    found = mean_iou(confusion(test.masks, predicted, 11).sum(0))
    assert segmenter_package.segmenter.provenance.metrics["mean_iou"] == pytest.approx(found, abs=1e-6)


def test_evaluate_measures_the_card_s_numbers_again(scenes: Tiny, segmenter_package: Package) -> None:
    found = evaluate(segmenter_package.folder.parents[1], "scenes-unet", data=scenes.folder)
    found.check()
    assert found.count == 24
    assert found.metrics == found.said
    with pytest.raises(EvaluationError, match="mean_iou is"):
        replace(found, said={**found.metrics, "mean_iou": 0.9}).check()


def test_the_golden_example_is_an_image_with_noise_or_a_mean_of_images_that_may_not_be_shared(
    segmenter_package: Package, subject: SegmentationSubject
) -> None:
    with np.load(segmenter_package.path("golden.npz")) as golden:
        assert set(golden) == {IMAGE, MASK, PROBABILITY, AREA, CONFIDENCE}
        assert golden[IMAGE].shape == (1, 64, 64)
    images = subject.source.validation().images

    class Private:
        shareable = False

    shown = example(Private(), images)  # type: ignore[arg-type]
    apart = np.abs(shown.astype(float) / 0.8 - images.mean(0))
    assert apart.mean() < 0.3 * 255
    assert all(not np.array_equal(shown[0], image) for image in images)


@pytest.mark.export
def test_a_gate_that_is_missed_on_the_validation_split_leaves_no_package(
    subject: SegmentationSubject, tmp_path: Path
) -> None:
    recipe = subject.recipe.model_validate(subject.recipe.model_dump() | {"gate": {"dice": 0.99}})
    strict = replace(subject, recipe=recipe)
    with pytest.raises(ExportError, match=r"gate, on the validation split: dice is 0\.\d+; at least 0.99"):
        write_segmenter(strict, tmp_path)
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.export
def test_int8_weights_are_smaller_and_the_package_says_so(
    subject: SegmentationSubject, segmenter_package: Package, tmp_path: Path
) -> None:
    package = write_segmenter(subject, tmp_path, how=How(weights="int8"))
    card = package.segmenter
    assert card.name == "scenes-unet-int8"
    assert card.provenance.weights == "int8"
    lost = segmenter_package.segmenter.provenance.metrics["mean_iou"] - card.provenance.metrics["mean_iou"]
    assert abs(lost) < 0.02


def test_a_network_that_does_not_compute_what_its_file_does_is_refused(
    subject: SegmentationSubject, segmenter_package: Package
) -> None:
    torch.manual_seed(0)
    other = stored_network(subject.network, "float16")
    for weight in other.parameters():
        weight.data.add_(torch.randn_like(weight))
    graph = SegmentationGraph(other, subject.source.mean, subject.source.std)
    with pytest.raises(ExportError, match=r"parity, masks of 64x64: \d+.* of the pixels have another class"):
        check_masks(segmenter_package.path("model.onnx"), graph, subject.source.validation().images[:2])
