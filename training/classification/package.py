"""What a classifier's package has beside what all packages have (`training.export.writer`)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import onnx
import torch
from torch import nn

from service.package import ClassifyCard, Deconvolution, Package, Provenance
from training.classification.calibration import draw_reliability, reliability
from training.classification.card import (
    RELIABILITY,
    describe,
    describe_embedding,
    describe_explanations,
    describe_graph,
)
from training.classification.deconvolution import (
    DECONV_GRAPH,
    ServedDeconvolution,
    deconvolution_parity,
    write_deconvolution,
)
from training.classification.evaluate import ask, intervals, score
from training.classification.golden import describe_golden, golden_example, some_of_each
from training.classification.graph import IMAGE, PROBABILITIES, Served
from training.classification.served_file import run_onnx
from training.classification.subject import Subject
from training.classification.temperature import temperature_for
from training.craft.gate import Bound
from training.craft.metric import ACCURACY, LOSS
from training.data import Split
from training.errors import ExportError
from training.evaluation import Measured, Measuring
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights
from training.export.folding import fold_normalisation
from training.export.how import PLAIN, How, Storage
from training.export.int8 import quantise, some
from training.export.onnx_file import save
from training.export.writer import Arrays, Draft, GraphFile, Store, as_float16, write
from training.packages import CURVE, GRAPH, INT8_SUFFIX, LABELS, largest_batch, shrink

INT8_LOSS = 0.005  # the most accuracy that int8 may lose


def write_package(
    subject: Subject,
    repository: Path,
    *,
    how: How = PLAIN,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``, as its next version unless given.

    Its name is the subject's, followed by ``-int8`` for an int8 package. The same subject, code and libraries give the
    same bytes. The card's ``git_commit`` is that of the exporting code.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, int8
            loses more than half a percentage point of accuracy, or the accuracy gate is missed. The repository is then
            unchanged.
    """
    name = subject.name + (INT8_SUFFIX if how.weights == "int8" else "")
    return write(ClassifierDraft(subject, how), name, repository, version=version, replace=replace)


class ClassifierDraft(Draft[Subject]):
    """The package of a classifier: its graph, and that of its deconvolution if it is asked for and supported."""

    def __init__(self, subject: Subject, how: How) -> None:
        self.subject, self.weights, self.metrics = subject, how.weights, (LOSS, ACCURACY)
        asked = {} if how.temperature is None else {"temperature": how.temperature}
        self.recipe, self.seed = {**subject.recipe, **asked}, subject.seed
        lost = INT8_LOSS if how.weights == "int8" else 0
        self.gate = {} if subject.gate is None else {"accuracy": Bound(subject.gate - lost)}
        model = stored_model(subject.model, how.weights)
        temperature = temperature_for(subject, how, model)
        self.counted = {"temperature": temperature}
        self.stored = Served(model, subject.mean, subject.std, temperature, embedding=how.weights != "int8")
        whole = Served(subject.model, subject.mean, subject.std)
        self.parameters = count_parameters(subject.model)
        self.macs = count_macs(whole, torch.zeros(1, *subject.image_shape, dtype=torch.uint8))
        explained = subject.deconv if how.deconv is None else how.deconv
        self.back = _way_back(self.stored) if explained and how.weights != "int8" else None
        self.deconv: Deconvolution | None = None  # once it is written

    def graphs(self) -> Sequence[GraphFile]:
        """See `Draft`."""
        stores: Mapping[Storage, Store] = {
            "float32": save,
            "float16": as_float16,
            "int8": partial(_write_int8, self.subject),
        }
        return [
            GraphFile(
                GRAPH,
                self.stored,
                {IMAGE: self.subject.images},
                largest_batch(self.macs),
                store=stores[self.weights],
                exact=self.weights != "int8",
            )
        ]

    def golden(self, folder: Path) -> Arrays:
        """See `Draft`."""
        return golden_example(self.subject, self.stored, self.back, self.weights, folder)

    def write_files(self, folder: Path) -> None:
        """Write the deconvolution, the labels, and the learning curve of a package that is exported again."""
        if self.back is not None:
            self.deconv = write_deconvolution(self.back, self.subject.image_shape, folder / DECONV_GRAPH)
            deconvolution_parity(folder / DECONV_GRAPH, self.back, some_of_each(self.subject))
        (folder / LABELS).write_text("".join(f"{label}\n" for label in self.subject.labels), "utf-8")
        if self.subject.curve is not None:
            (folder / CURVE).write_bytes(self.subject.curve)

    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> ClassifyCard:
        """See `Draft`."""
        shapes = {name: golden[name].shape[1:] for name in self.stored.outputs}
        graph = describe_graph(self.subject, shapes, largest_batch(self.macs))
        embedding = describe_embedding(graph, self.stored.scoring_layer)
        explain = describe_explanations(graph, self.deconv)
        return describe(self.subject, graph, explain, embedding, describe_golden(self.weights), provenance, folder)

    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured | None:
        """See `Draft`; the reliability on the test split is drawn into the package."""
        examples = self.subject.validation if split == "validation" else self.subject.test
        if examples is None or (split == "validation" and not self.subject.held_out):
            return None
        probabilities = ask(repository, package, examples.images)
        if split == "test":
            found = reliability(probabilities, examples.labels)
            draw_reliability(found, self.subject.title, package.path(RELIABILITY))
            shrink(package.path(RELIABILITY))
        metrics = score(probabilities, examples.labels, package.classifier.provenance.temperature)
        return Measured(metrics, intervals(probabilities, examples.labels))


def stored_model(model: nn.Module, weights: Storage) -> nn.Module:
    """``model`` as the package computes it: with normalisation folded, and weights rounded for ``float16``."""
    stored = fold_normalisation(model)
    if weights == "float16":
        round_weights(stored)
    return stored


def _way_back(stored: Served) -> ServedDeconvolution | None:
    try:
        return ServedDeconvolution(stored.network, stored.mean, stored.std)
    except TypeError:  # the network does not support deconvolution
        return None


def _write_int8(subject: Subject, model: onnx.ModelProto, path: Path) -> None:
    """Quantise with training images, and compare with the float graph on images that were not trained on."""
    if subject.training is None or subject.validation is None:
        raise ExportError(f"{subject.name}: int8 needs training images and others to check it on; there are none")
    whole = path.with_name("float.onnx")
    save(model, whole)
    quantise(model, some(subject.training.images, subject.seed), path, subject.mean, subject.std)
    before, after = (_accuracy(file, subject.validation) for file in (whole, path))
    whole.unlink()
    if before - after > INT8_LOSS:
        raise ExportError(
            f"int8 loses {100 * (before - after):.2f} points of accuracy on the validation split, from {before:.4f} to "
            f"{after:.4f}; at most {100 * INT8_LOSS} points are allowed"
        )


def _accuracy(path: Path, split: Split) -> float:
    return float((run_onnx(path, split.images, PROBABILITIES).argmax(1) == split.labels).mean())
