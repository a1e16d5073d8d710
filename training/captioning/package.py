"""What a captioner's package has beside what all packages have (`training.export.writer`)."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.captioning.graphs import EncoderGraph, StepGraph
from models.captioning.network import CaptionNetwork
from service.package import CaptionCard, Golden, Package, Provenance
from training.captioning.card import (
    ENCODER,
    STEP,
    VOCABULARY,
    describe,
    describe_loop,
)
from training.captioning.evaluate import measure
from training.captioning.subject import CaptionSubject
from training.data import Bytes, CaptionSource
from training.evaluation import Measured, Measuring
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights
from training.export.folding import fold_normalisation
from training.export.onnx_file import answer
from training.export.writer import Arrays, Draft, GraphFile, write
from training.packages import GOLDEN, TOLERANCE, largest_batch

LONGEST_BATCH = 64  # rows of a step


def write_captioner(
    subject: CaptionSubject,
    repository: Path,
    *,
    name: str | None = None,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``; its name is ``name``, by default its recipe's.

    Weights are stored in 16 bits. The same subject, code and libraries give the same bytes.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, or
            the recipe's gate is missed on the validation split. The repository is then unchanged.
    """

    return write(CaptionerDraft(subject), name or subject.recipe.name, repository, version=version, replace=replace)


class CaptionerDraft(Draft[CaptionSubject]):
    """The package of a captioner: the encoder's graph, and that of a step of the decoder."""

    def __init__(self, subject: CaptionSubject) -> None:
        self.subject, self.metrics = subject, subject.recipe.metrics
        self.recipe, self.seed = subject.recipe.model_dump(mode="json"), subject.recipe.seed
        self.gate = subject.recipe.targets
        network = stored_network(subject.network)
        self.encoder = EncoderGraph(network, subject.source.mean, subject.source.std)
        self.step = StepGraph(network)
        self.images = example(subject.source, subject.validation.images)
        self.example = _golden(self.encoder, self.step, self.images)
        self.parameters = count_parameters(subject.network)
        self.macs = count_macs(self.encoder, torch.from_numpy(self.images[:1].copy()))
        self.batches = (largest_batch(self.macs), LONGEST_BATCH)

    def graphs(self) -> Sequence[GraphFile]:
        """See `Draft`."""
        seen = {self.encoder.inputs[0]: self.subject.validation.images}
        state = {name: self.example[f"step.{name}"] for name in self.step.inputs}
        return [
            GraphFile(ENCODER, self.encoder, seen, self.batches[0], name="encoder"),
            GraphFile(STEP, self.step, state, self.batches[1], name="step"),
        ]

    def golden(self, folder: Path) -> Arrays:
        """See `Draft`."""
        return self.example

    def write_files(self, folder: Path) -> None:
        """Write the vocabulary."""
        self.subject.vocabulary.write(folder / VOCABULARY)

    def describe(self, folder: Path, golden: Arrays, provenance: Provenance) -> CaptionCard:
        """See `Draft`."""
        loop = describe_loop(self.subject, self.encoder, self.step, golden, self.batches)
        return describe(self.subject, loop, Golden(file=GOLDEN, tolerance=TOLERANCE), provenance, folder)

    def measure(self, repository: Path, package: Package, split: Measuring) -> Measured:
        """See `Draft`."""
        return measure(repository, package, self.subject.source, split)


def stored_network(network: CaptionNetwork) -> CaptionNetwork:
    """``network`` as the package computes it: with the backbone's normalisation folded, and weights rounded."""
    stored = deepcopy(network).eval()
    stored.encoder.backbone = fold_normalisation(stored.encoder.backbone, "maps")
    round_weights(stored)
    return stored


def example(source: CaptionSource, images: Bytes) -> Bytes:
    """An example (1, H, W[, 3]) of ``images`` (N, H, W[, 3]): the first, or their mean if none may be redistributed."""
    return images[:1] if source.shareable else images.mean(0, keepdims=True).astype(np.uint8)


def _golden(encoder: EncoderGraph, step: StepGraph, images: Bytes) -> dict[str, npt.NDArray[Any]]:
    """The golden example: images with the encoder's outputs, and a second step, with states that are not initial."""
    encoded = answer(encoder, {encoder.inputs[0]: images})
    first = {name: tensor.numpy() for name, tensor in step.examples(len(images)).items()}
    first |= {name: array for name, array in encoded.items() if name in first}
    first[step.inputs[0]] = np.full(len(images), 1)
    after = answer(step, first)
    second = first | {name: after[output] for output, name in step.fed.items()}
    second[step.inputs[0]] = after[step.outputs[0]].argmax(1)
    answers = answer(step, second)
    graphs: Mapping[str, Mapping[str, npt.NDArray[Any]]] = {
        "encoder": {encoder.inputs[0]: images, **encoded},
        "step": {**{name: second[name] for name in step.inputs}, **answers},
    }
    return {f"{graph}.{name}": array for graph, arrays in graphs.items() for name, array in arrays.items()}
