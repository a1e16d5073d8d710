"""Exports a classifier: the package is written to a temporary folder, checked, measured, and then moved into place."""

from pathlib import Path

import onnx
import torch
from torch import nn

from service.package import ClassifyCard, Deconvolution, Package, read_package
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
from training.classification.evaluate import ask, score
from training.classification.golden import some_of_each, write_golden
from training.classification.graph import PROBABILITIES, Served
from training.classification.recipe import ClassifierRecipe
from training.classification.served_file import parity, run_onnx, to_onnx
from training.classification.subject import Subject, from_run
from training.classification.temperature import temperature_for
from training.data import Split
from training.errors import ExportError
from training.export.counts import count_macs, count_parameters
from training.export.float16 import round_weights, store_float16
from training.export.folding import fold_normalisation
from training.export.how import PLAIN, How, Storage
from training.export.int8 import quantise, some
from training.export.onnx_file import check_parity, save
from training.history import draw
from training.packages import (
    CURVE,
    GRAPH,
    INT8_SUFFIX,
    LABELS,
    check_gate,
    checksums,
    largest_batch,
    place,
    shrink,
    write_card,
)
from training.provenance import describe_origin

INT8_LOSS = 0.005  # the most accuracy that int8 may lose


def export(
    run: Path, repository: Path, *, version: int | None = None, replace: bool = False, data: Path | None = None
) -> Package:
    """Write the package of the finished run in ``run`` as its recipe says; published data sets are in ``data``.

    Raises:
        RunError, ExportError, DataError: as `from_run` and `write_package`.
    """
    return write_package(from_run(run, data), repository, version=version, replace=replace)


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
    return place(name, repository, lambda folder: _write(subject, how, folder), version=version, replace=replace)


def _write(subject: Subject, how: How, folder: Path) -> None:
    """Write the package, check it against torch, and measure it through the engine against the gate."""
    model = stored_model(subject.model, how.weights)
    temperature = temperature_for(subject, how, model)
    stored = Served(model, subject.mean, subject.std, temperature, embedding=how.weights != "int8")
    whole = Served(subject.model, subject.mean, subject.std)
    macs = count_macs(whole, torch.zeros(1, *subject.image_shape, dtype=torch.uint8))
    max_batch = largest_batch(macs)
    _write_graph(subject, stored, how.weights, folder / GRAPH)
    differences = parity(folder / GRAPH, stored, subject.images, (1, 3, max_batch))
    if how.weights != "int8":
        check_parity(differences)
    explained = subject.deconv if how.deconv is None else how.deconv
    back = _way_back(stored) if explained and how.weights != "int8" else None
    deconv = _write_way_back(subject, back, folder / DECONV_GRAPH) if back else None
    _write_words(subject, folder)

    answers, golden = write_golden(subject, stored, back, how.weights, folder)
    graph = describe_graph(subject, {name: array.shape[1:] for name, array in answers.items()}, max_batch)
    asked = {} if how.temperature is None else {"temperature": how.temperature}
    origin = describe_origin(
        subject,
        {**subject.recipe, **asked},
        subject.seed,
        parity=differences,
        parameters=count_parameters(subject.model),
        macs=macs,
        weights=how.weights,
        temperature=temperature,
    )
    embedding = describe_embedding(graph, stored.scoring_layer)
    card = describe(subject, graph, describe_explanations(graph, deconv), embedding, golden, origin, folder)
    write_card(card, folder)
    if subject.test is not None:
        _measure(subject, subject.test, card, folder)


def _write_words(subject: Subject, folder: Path) -> None:
    """Write the labels, and the learning curve of a run."""
    (folder / LABELS).write_text("".join(f"{label}\n" for label in subject.labels), "utf-8")
    if subject.history:
        draw(subject.history, ClassifierRecipe.metrics, subject.title, folder / CURVE)
        shrink(folder / CURVE)
    elif subject.curve is not None:
        (folder / CURVE).write_bytes(subject.curve)


def _write_way_back(subject: Subject, back: ServedDeconvolution, path: Path) -> Deconvolution:
    written = write_deconvolution(back, subject.image_shape, path)
    deconvolution_parity(path, back, some_of_each(subject))
    return written


def _measure(subject: Subject, test: Split, card: ClassifyCard, folder: Path) -> None:
    """Measure the package in ``folder`` through the engine, check the gate, and write the metrics to the card."""
    probabilities = ask(folder.parent.parent, read_package(folder), test.images)
    metrics = score(probabilities, test.labels, card.provenance.temperature)
    if subject.gate is not None:
        lost = INT8_LOSS if card.provenance.weights == "int8" else 0
        check_gate({"accuracy": subject.gate - lost}, metrics)
    draw_reliability(reliability(probabilities, test.labels), subject.title, folder / RELIABILITY)
    shrink(folder / RELIABILITY)
    measured = card.provenance.model_copy(update={"metrics": metrics})
    write_card(card.model_copy(update={"files": checksums(folder), "provenance": measured}), folder)


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


def _write_graph(subject: Subject, stored: Served, weights: Storage, path: Path) -> None:
    model = to_onnx(stored, subject.image_shape)
    if weights == "int8":
        _write_int8(subject, model, path)
        return
    if weights == "float16":
        store_float16(model)
    save(model, path)


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
