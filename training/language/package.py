"""Exports a trained language recogniser: compared with torch, and measured through the serving engine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.export import Dim

from models.language.recogniser import LanguageGraph, LanguageRecogniser
from models.registry import find
from service.package import (
    Classes,
    Dataset,
    Golden,
    Graph,
    InitialWeights,
    IntegerParameter,
    Package,
    Provenance,
    TensorSpec,
    TextClassifyCard,
    TextClassifyParameters,
    TextInput,
    read_package,
)
from training.checkpoint import read_finished, tested
from training.data import find_texts
from training.data.languages import Texts, excerpts
from training.errors import ExportError
from training.export.counts import count_parameters
from training.export.float16 import round_weights, store_float16
from training.export.onnx_file import answer, check_parity, differences, save, trace
from training.history import Row, draw
from training.language.evaluate import measure
from training.language.learner import encode
from training.language.recipe import LanguageRecipe
from training.packages import (
    CURVE,
    GOLDEN,
    GRAPH,
    LABELS,
    SHOWN,
    TOLERANCE,
    check_gate,
    checksums,
    place,
    shrink,
    write_card,
)
from training.provenance import describe_origin

MAX_BATCH = 32
MAX_BYTES = 1024  # of a text
GOLDEN_LENGTH = 64


@dataclass(frozen=True)
class LanguageSubject:
    """A trained recogniser and everything for its card except what the export measures."""

    recipe: LanguageRecipe
    title: str
    lecture: str
    description: str
    network: LanguageRecogniser
    labels: tuple[str, ...]
    examples: Texts
    dataset: Dataset
    created: str
    libraries: Mapping[str, str]
    trained_commit: str
    initial_weights: InitialWeights | None
    history: Sequence[Row]


def from_run(run: Path) -> LanguageSubject:
    """The finished run of a recogniser in the folder ``run``.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the run is of another task, or its texts have changed since.
    """
    checkpoint, recipe = read_finished(run, LanguageRecipe, "a language recogniser's")
    source, row, network = find_texts(recipe.dataset), find(recipe.model), checkpoint.model()
    assert isinstance(network, LanguageRecogniser)
    return LanguageSubject(
        recipe=recipe,
        title=f"{row.title}: {len(source.labels)} languages",
        lecture=row.lecture,
        description=row.description,
        network=network,
        labels=source.labels,
        examples=excerpts(source.validation().declaration, len(source.labels), recipe.pieces.lengths, recipe.seed),
        dataset=tested(run, checkpoint, source, len(source.test())),
        created=checkpoint.created,
        libraries=checkpoint.libraries,
        trained_commit=checkpoint.git_commit,
        initial_weights=checkpoint.initial_weights,
        history=checkpoint.history,
    )


def write_recogniser(
    subject: LanguageSubject,
    repository: Path,
    *,
    name: str | None = None,
    version: int | None = None,
    replace: bool = False,
) -> Package:
    """Write the package of ``subject`` into ``repository``; its name is ``name``, by default its recipe's.

    Weights are stored in 16 bits.

    Raises:
        ExportError: the name is invalid, the version exists and ``replace`` is false, parity with torch is broken, or
            the recipe's gate is missed. The repository is then unchanged.
    """
    return place(
        name or subject.recipe.name,
        repository,
        lambda folder: _write(subject, folder),
        version=version,
        replace=replace,
    )


def _write(subject: LanguageSubject, folder: Path) -> None:
    round_weights(subject.network)
    graph = _graph(subject)
    rows = encode(subject.examples.texts, GOLDEN_LENGTH)
    text, probabilities = graph.inputs[0], graph.outputs[0]
    model = trace(graph, {text: torch.from_numpy(rows)}, graph.outputs, {text: {1: Dim("bytes", min=2)}})
    store_float16(model)
    save(model, folder / GRAPH)
    parity = differences(folder / GRAPH, graph, {text: rows}, (1, 3, MAX_BATCH))
    check_parity(parity)
    answers = answer(graph, {text: rows})
    np.savez_compressed(folder / GOLDEN, **{text: rows, **answers})  # type: ignore[arg-type]
    (folder / LABELS).write_text("".join(f"{label}\n" for label in subject.labels), "utf-8")
    draw(subject.history, subject.recipe.metrics, subject.title, folder / CURVE)
    shrink(folder / CURVE)
    said = Graph(
        file=GRAPH,
        inputs=(TensorSpec(name=text, datatype="UINT8", shape=(-1, -1)),),
        outputs=(TensorSpec(name=probabilities, datatype="FP32", shape=(-1, len(subject.labels))),),
        max_batch=MAX_BATCH,
    )
    origin = describe_origin(
        subject,
        subject.recipe.model_dump(mode="json"),
        subject.recipe.seed,
        parity=parity,
        parameters=count_parameters(subject.network),
        macs=find(subject.recipe.model).macs,
        weights="float16",
    )
    _write_card(subject, said, origin, folder)
    metrics = measure(folder.parent.parent, read_package(folder), find_texts(subject.recipe.dataset).test())
    check_gate(subject.recipe.targets, metrics)
    _write_card(subject, said, origin.model_copy(update={"metrics": metrics}), folder)


def _graph(subject: LanguageSubject) -> LanguageGraph:
    try:
        return LanguageGraph(subject.network).eval()
    except TypeError as error:
        raise ExportError(f"{subject.recipe.name}: {error}") from error


def _write_card(subject: LanguageSubject, graph: Graph, provenance: Provenance, folder: Path) -> None:
    card = TextClassifyCard(
        name=folder.parent.name,
        version=int(folder.name),
        title=subject.title,
        lecture=subject.lecture,
        description=subject.description,
        graph=graph,
        text=TextInput(tensor=graph.inputs[0].name, max_bytes=MAX_BYTES),
        classes=Classes(tensor=graph.outputs[0].name, labels=LABELS),
        parameters=TextClassifyParameters(
            top_k=IntegerParameter(default=SHOWN, minimum=1, maximum=len(subject.labels))
        ),
        golden=Golden(file=GOLDEN, tolerance=TOLERANCE),
        files=checksums(folder),
        provenance=provenance,
    )
    write_card(card, folder)
