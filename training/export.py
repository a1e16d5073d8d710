"""From a run to a package: written whole beside its place, proved, measured, and only then moved there."""

import os
import tempfile
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

import numpy as np

from models.registry import find
from service import package as contract
from service.package import (
    Classes,
    ClassifyCard,
    ClassifyParameters,
    Golden,
    Graph,
    IntegerParameter,
    Package,
    Preprocessing,
    Provenance,
    TensorSpec,
)
from training.checkpoint import Checkpoint, read_checkpoint
from training.data import Bytes, Source, Split, find_source
from training.errors import ExportError, RunError
from training.evaluate import measure, versions
from training.graph import Served, count_macs, count_parameters
from training.history import draw
from training.onnx_file import INPUT, OUTPUT, parity, reference, write_onnx
from training.provenance import git_commit

MAX_BATCH = 64
BATCHES = (1, 3, MAX_BATCH)
GRAPH, LABELS, GOLDEN, PICTURE = "model.onnx", "labels.txt", "golden.npz", "card.png"
GOLDEN_TOLERANCE = 1e-4  # other processors sum in another order
EXPORTERS = ("onnx", "onnxscript", "onnxruntime")


def export(
    run: Path,
    repository: Path,
    *,
    version: int | None = None,
    replace: bool = False,
    data: Path | None = None,
) -> Package:
    """Write the package of the finished run in ``run`` into ``repository``, as its next version unless given.

    The same run, code and libraries give the same bytes. The card's ``git_commit`` is the exporting code's.

    Raises:
        RunError: the folder holds no finished run.
        ExportError: the version exists (and not ``replace``), parity with torch is broken, or the accuracy
            gate is missed. The repository is then as it was.
        DataError: the test split cannot be had.
    """
    checkpoint = read_checkpoint(run)
    if not checkpoint.finished:
        raise RunError(f"{run}: {len(checkpoint.history)} of {checkpoint.recipe.epochs} epochs done; `train` goes on")
    source = find_source(checkpoint.recipe.dataset)
    test = source.test(data)
    name = checkpoint.recipe.name
    version = version or max(versions(repository, name), default=0) + 1
    target = repository / name / str(version)
    if target.exists() and not replace:
        raise ExportError(f"{target} exists; a version never changes (--replace makes an exception)")
    repository.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=repository, prefix=".export-") as temporary:
        candidate = Path(temporary) / name / str(version)
        _write(checkpoint, source, test, candidate)
        _move(candidate, target, Path(temporary) / "replaced")
    return contract.read_package(target)


def _write(checkpoint: Checkpoint, source: Source, test: Split, folder: Path) -> None:
    """Write the package, check it against torch, and measure it through the engine against the gate."""
    folder.mkdir(parents=True)
    served = Served(checkpoint.model(), source.mean, source.std)
    write_onnx(served, test.images.shape[1:], folder / GRAPH)
    differences = parity(folder / GRAPH, served, test.images, BATCHES)
    (folder / LABELS).write_text("".join(f"{label}\n" for label in source.labels), "utf-8")
    draw(checkpoint.history, _title(checkpoint, source), folder / PICTURE)
    _write_golden(served, one_of_each(test), folder / GOLDEN)

    provenance = _provenance(checkpoint, served, test, differences)
    card = _card(checkpoint, source, provenance, folder)
    _write_card(card, folder)
    metrics = measure(folder.parent.parent, contract.read_package(folder), test)
    _check_gate(checkpoint, metrics)
    measured = provenance.model_copy(update={"metrics": metrics})
    _write_card(card.model_copy(update={"provenance": measured}), folder)


def _check_gate(checkpoint: Checkpoint, metrics: dict[str, float]) -> None:
    reached, wanted = metrics["accuracy"], checkpoint.recipe.gate.accuracy
    if not reached >= wanted:
        raise ExportError(f"accuracy gate: {reached:.4f} on the test split, the recipe asks for {wanted}")


def _move(candidate: Path, target: Path, replaced: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if target.exists():
        os.rename(target, replaced)
    os.rename(candidate, target)


def one_of_each(split: Split) -> Bytes:
    """The first image of every class there is, in the order of the classes."""
    _, first = np.unique(split.labels, return_index=True)
    return split.images[first]


def _write_golden(served: Served, images: Bytes, path: Path) -> None:
    arrays: dict[str, Any] = {INPUT: images, OUTPUT: reference(served, images)}
    np.savez_compressed(path, **arrays)


def _title(checkpoint: Checkpoint, source: Source) -> str:
    return f"{find(checkpoint.recipe.model).title} on {source.title}"


def _card(checkpoint: Checkpoint, source: Source, provenance: Provenance, folder: Path) -> ClassifyCard:
    variant = find(checkpoint.recipe.model)
    channels, height, width = variant.input_shape
    return ClassifyCard(
        name=checkpoint.recipe.name,
        version=int(folder.name),
        task="classify",
        title=_title(checkpoint, source),
        lecture=variant.lecture,
        description=variant.description,
        graph=Graph(
            file=GRAPH,
            inputs=(
                TensorSpec(
                    name=INPUT,
                    datatype="UINT8",
                    shape=(-1, height, width) if channels == 1 else (-1, height, width, channels),
                ),
            ),
            outputs=(TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, len(source.labels))),),
            max_batch=MAX_BATCH,
        ),
        # The digits are white on black, so a border is black too.
        preprocessing=Preprocessing(
            tensor=INPUT, colour="grey" if channels == 1 else "rgb", height=height, width=width, fit="pad", background=0
        ),
        classes=Classes(tensor=OUTPUT, labels=LABELS),
        parameters=ClassifyParameters(
            top_k=IntegerParameter(default=min(5, len(source.labels)), minimum=1, maximum=len(source.labels))
        ),
        golden=Golden(file=GOLDEN, tolerance=GOLDEN_TOLERANCE),
        files={path.name: contract.sha256(path) for path in sorted(folder.iterdir())},
        provenance=provenance,
    )


def _provenance(checkpoint: Checkpoint, served: Served, test: Split, differences: dict[str, float]) -> Provenance:
    """Everything but the metrics, which only the written package can have."""
    dataset = checkpoint.dataset
    return Provenance(
        recipe=checkpoint.recipe.model_dump(mode="json"),
        seed=checkpoint.recipe.seed,
        git_commit=git_commit(),
        created=checkpoint.created,
        libraries=checkpoint.libraries | {name: library_version(name) for name in EXPORTERS},
        dataset=dataset.model_copy(update={"splits": dataset.splits | {"test": len(test)}}),
        metrics={},
        parity=differences,
        parameters=count_parameters(served),
        macs=count_macs(served, test.images.shape[1:]),
    )


def _write_card(card: ClassifyCard, folder: Path) -> None:
    (folder / contract.CARD).write_text(card.model_dump_json(indent=2) + "\n", "utf-8")
