"""Exports a trained captioner: two graphs, compared with torch and measured through the serving engine."""

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from models.captioning.graphs import EncoderGraph, StepGraph
from models.captioning.network import CaptionNetwork
from service.package import Golden, Package, read_package
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
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights, store_float16
from training.export.folding import fold_normalisation
from training.export.onnx_file import answer, check_parity, differences, save, trace
from training.history import draw
from training.packages import CURVE, GOLDEN, TOLERANCE, check_gate, largest_batch, place, shrink, write_card
from training.provenance import describe_origin

LONGEST_BATCH = 64  # rows of a step

Arrays = dict[str, npt.NDArray[Any]]


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
            the recipe's gate is missed. The repository is then unchanged.
    """

    def write(folder: Path) -> None:
        _write(subject, folder)

    return place(name or subject.recipe.name, repository, write, version=version, replace=replace)


def _write(subject: CaptionSubject, folder: Path) -> None:
    network = stored_network(subject.network)
    encoder = EncoderGraph(network, subject.source.mean, subject.source.std)
    step = StepGraph(network)
    images = example(subject.source, subject.validation.images)
    golden = _golden(encoder, step, images)
    inputs = {name: golden[f"step.{name}"] for name in step.inputs}
    _save(encoder, {encoder.inputs[0]: images}, folder / ENCODER)
    _save(step, inputs, folder / STEP)
    macs = count_macs(encoder, torch.from_numpy(images[:1].copy()))
    batches = (largest_batch(macs), LONGEST_BATCH)
    found = {
        **_parity("encoder", folder / ENCODER, encoder, {encoder.inputs[0]: subject.validation.images}, batches[0]),
        **_parity("step", folder / STEP, step, inputs, batches[1]),
    }
    np.savez_compressed(folder / GOLDEN, **golden)  # type: ignore[arg-type]
    subject.vocabulary.write(folder / VOCABULARY)
    draw(subject.history, subject.recipe.metrics, subject.title, folder / CURVE)
    shrink(folder / CURVE)
    loop = describe_loop(subject, encoder, step, golden, batches)
    origin = describe_origin(
        subject,
        subject.recipe.model_dump(mode="json"),
        subject.recipe.seed,
        parity=found,
        parameters=count_parameters(subject.network),
        macs=macs,
        weights="float16",
    )
    word = Golden(file=GOLDEN, tolerance=TOLERANCE)
    write_card(describe(subject, loop, word, origin, folder), folder)
    metrics = measure(folder.parent.parent, read_package(folder), subject.source)
    check_gate(subject.recipe.targets, metrics)
    write_card(describe(subject, loop, word, origin.model_copy(update={"metrics": metrics}), folder), folder)


def stored_network(network: CaptionNetwork) -> CaptionNetwork:
    """``network`` as the package computes it: with the backbone's normalisation folded, and weights rounded."""
    stored = deepcopy(network).eval()
    stored.encoder.backbone = fold_normalisation(stored.encoder.backbone, "maps")
    round_weights(stored)
    return stored


def example(source: CaptionSource, images: Bytes) -> Bytes:
    """An example (1, H, W[, 3]) of ``images`` (N, H, W[, 3]): the first, or their mean if none may be redistributed."""
    return images[:1] if source.shareable else images.mean(0, keepdims=True).astype(np.uint8)


def _golden(encoder: EncoderGraph, step: StepGraph, images: Bytes) -> Arrays:
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


def _save(module: EncoderGraph | StepGraph, inputs: Mapping[str, npt.NDArray[Any]], path: Path) -> None:
    model = trace(module, {name: torch.from_numpy(array[:2].copy()) for name, array in inputs.items()}, module.outputs)
    store_float16(model)
    save(model, path)


def _parity(
    name: str, path: Path, module: EncoderGraph | StepGraph, inputs: Mapping[str, npt.NDArray[Any]], most: int
) -> dict[str, float]:
    found = differences(path, module, inputs, (1, 3, most))
    check_parity(found)
    return {f"{name}, {batch}": value for batch, value in found.items()}
