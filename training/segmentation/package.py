"""What a segmentation network's package has beside what all packages have (`training.export.writer`)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch

from models.segmentation.graph import IMAGE, SegmentationGraph
from models.segmentation.segmenter import Segmenter
from service.package import Package, Provenance, SegmentCard
from training.data import Bytes, MaskSource
from training.errors import ExportError
from training.evaluation import Measured, Measuring
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights
from training.export.folding import fold_normalisation
from training.export.how import PLAIN, How, Storage
from training.export.int8 import quantise, some
from training.export.onnx_file import answer, open_onnx, save
from training.export.writer import Arrays, Draft, GraphFile, Store, as_float16, write
from training.packages import GRAPH, INT8_SUFFIX, LABELS, largest_batch, shrink
from training.segmentation.card import describe, describe_graph
from training.segmentation.evaluate import choose, measure
from training.segmentation.metrics import confusion, draw_confusion, mean_iou
from training.segmentation.served_file import UNEQUAL, Probabilities, check_masks, odd, run_onnx, to_onnx
from training.segmentation.subject import SegmentationSubject

CONFUSION = "confusion.png"
INT8_LOSS = 0.01  # the most mean IoU that int8 may lose
COMPARED = 4  # images that are compared with torch
NOISE = 0.2  # of the golden example


def write_segmenter(
    subject: SegmentationSubject,
    repository: Path,
    *,
    how: How = PLAIN,
    name: str | None = None,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``; its name is ``name``, by default its recipe's.

    That of an int8 package ends in ``-int8``. The same subject, code and libraries give the same bytes.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, int8
            loses more than a percentage point of mean IoU, or the recipe's gate is missed on the validation split. The
            repository is then unchanged.
    """
    whole = (name or subject.recipe.name) + (INT8_SUFFIX if how.weights == "int8" else "")
    return write(SegmenterDraft(subject, how), whole, repository, version=version, replace=replace)


class SegmenterDraft(Draft[SegmentationSubject]):
    """The package of a segmentation network: one graph, the names of its classes, and its confusion matrix."""

    def __init__(self, subject: SegmentationSubject, how: How = PLAIN) -> None:
        self.subject, self.weights, self.metrics = subject, how.weights, subject.recipe.metrics
        self.recipe, self.seed = subject.recipe.model_dump(mode="json"), subject.recipe.seed
        lost = INT8_LOSS if how.weights == "int8" else 0
        self.gate = {metric: bound.loosened(lost) for metric, bound in subject.recipe.targets.items()}
        source = subject.source
        network = stored_network(subject.network, how.weights)
        self.graph = SegmentationGraph(network, source.mean, source.std).eval()
        self.images = example(source, subject.splits[1].images)
        self.parameters = count_parameters(subject.network)
        self.macs = count_macs(self.graph, torch.from_numpy(self.images[:1].copy()))

    def graphs(self) -> Sequence[GraphFile]:
        """See `Draft`."""
        stores: Mapping[Storage, Store] = {
            "float32": save,
            "float16": as_float16,
            "int8": partial(_write_int8, self.subject),
        }
        seen = self.subject.splits[1].images[:COMPARED]
        return [
            GraphFile(
                GRAPH,
                Probabilities(self.graph),
                {IMAGE: seen},
                largest_batch(self.macs),
                store=stores[self.weights],
                exact=self.weights != "int8",
                make=partial(to_onnx, self.graph, seen),
                others={f"{odd(seen).shape[2]}x{odd(seen).shape[1]}": {IMAGE: odd(seen)}},
                unequal=UNEQUAL,
            )
        ]

    def golden(self, folder: Path) -> Arrays:
        """See `Draft`."""
        if self.weights != "int8":
            return {IMAGE: self.images, **answer(self.graph, {IMAGE: self.images})}
        answers = open_onnx(folder / GRAPH).run(list(self.graph.outputs), {IMAGE: self.images})
        return {IMAGE: self.images, **dict(zip(self.graph.outputs, answers, strict=True))}

    def write_files(self, folder: Path) -> None:
        """Write the labels; and compare masks at two sizes with torch's."""
        (folder / LABELS).write_text("".join(f"{label}\n" for label in self.subject.source.labels), "utf-8")
        if self.weights != "int8":
            seen = self.subject.splits[1].images[:COMPARED]
            for images in (seen, odd(seen)):
                check_masks(folder / GRAPH, self.graph, images)

    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> SegmentCard:
        """See `Draft`."""
        graph = describe_graph(self.subject, largest_batch(self.macs))
        return describe(self.subject, graph, provenance, folder)

    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured:
        """See `Draft`; the confusion matrix of the test split is drawn into the package."""
        source = self.subject.source
        measured, counts = measure(repository, package, choose(source, split), source.background)
        if split == "test":
            draw_confusion(counts, source.labels, self.subject.title, package.path(CONFUSION))
            shrink(package.path(CONFUSION))
        return measured


def stored_network(network: Segmenter, weights: Storage) -> Segmenter:
    """``network`` as the package computes it: with normalisation folded, and weights rounded for ``float16``."""
    stored = fold_normalisation(network, "scores")
    assert isinstance(stored, Segmenter)
    if weights == "float16":
        round_weights(stored)
    return stored


def example(source: MaskSource, images: Bytes) -> Bytes:
    """An example (1, H, W[, 3]) of ``images`` (N, H, W[, 3]): the first, or their mean if none may be redistributed.

    It is mixed with noise: among equal pixels, the place of a maximum, which max-unpooling uses, depends on rounding.
    """
    image = images[:1] if source.shareable else images.mean(0, keepdims=True)
    noise = np.random.default_rng(0).integers(0, 256, image.shape)
    return ((1 - NOISE) * image + NOISE * noise).astype(np.uint8)


def _write_int8(subject: SegmentationSubject, model: onnx.ModelProto, path: Path) -> None:
    """Quantise with training images, and compare with the float graph on images that were not trained on."""
    training, validation = subject.splits
    whole = path.with_name("float.onnx")
    save(model, whole)
    quantise(model, some(training.images, subject.recipe.seed), path, subject.source.mean, subject.source.std)
    classes = len(subject.source.labels)
    before, after = (
        mean_iou(confusion(validation.masks, run_onnx(file, validation.images), classes).sum(0))
        for file in (whole, path)
    )
    whole.unlink()
    if before - after > INT8_LOSS:
        raise ExportError(
            f"int8 loses {100 * (before - after):.2f} points of mean IoU on the validation split, from {before:.4f} to "
            f"{after:.4f}; at most {100 * INT8_LOSS:g} are allowed"
        )
