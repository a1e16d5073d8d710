"""A file of weights that no run of ours trained, as the subject of an export."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from models.classification.rows import VARIANTS, build, find
from models.variant import Variant
from models.weights import WeightsError, load_weights
from service.nearest import did_you_mean
from training.classification.evaluate import find_data, relabel
from training.classification.graph import IMAGE
from training.classification.subject import Subject
from training.data import Shape, Source, cut
from training.data.source import preprocessing
from training.errors import ExportError
from training.provenance import describe_dataset, library_versions, with_test

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# What published weights of these were trained with; all others with ImageNet's own statistics.
PUBLISHED = {"googlenet": HALF, "xception": HALF}
MAX_LABELS_BYTES = 1 << 20
HELD_OUT = 0.5  # of the images: int8 is calibrated on the others and proved on these


def read_labels(path: Path) -> tuple[str, ...]:
    """The classes in the text file ``path``, one a line.

    Raises:
        ExportError: it cannot be read or is no text, has fewer than two lines, an empty one, or one twice.
    """
    try:
        with path.open("rb") as file:
            labels = tuple(file.read(MAX_LABELS_BYTES + 1).decode("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: no text file of labels ({error})") from error
    if path.stat().st_size > MAX_LABELS_BYTES:
        raise ExportError(f"{path}: {path.stat().st_size} bytes; labels have at most {MAX_LABELS_BYTES}")
    if len(labels) < 2 or not all(label.strip() for label in labels) or len(set(labels)) < len(labels):
        raise ExportError(f"{path}: wanted two labels or more, one a line, none of them empty or twice")
    return labels


@dataclass(frozen=True)
class Weights:
    """A file of ``model``'s weights, as published or a user's own, and what its classes are called.

    ``mean`` and ``std`` are what pixels in 0..1 were normalised by, a number a channel; None for what the published
    weights were trained with.
    """

    model: str
    file: Path
    labels: tuple[str, ...]
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def from_weights(weights: Weights, dataset: str | None, data: Path | None) -> Subject:
    """The model of ``weights``; ``dataset``, a name or a folder of images by class, is what it is measured on.

    Raises:
        ExportError: the file does not fit the model or its labels, or the statistics its input.
        DataError: the data set cannot be had, or has a class that is no label.
    """
    variant = _variant(weights.model)
    shape = variant.input_shape
    network = build(variant.name, {"classes": len(weights.labels)} if "classes" in variant.config else {}).eval()
    try:
        load_weights(network, weights.file)
    except WeightsError as error:
        raise ExportError(str(error)) from error
    mean, std = _statistics(weights, shape)
    subject = Subject(
        name=weights.name,
        title=variant.title,
        lecture=variant.lecture,
        description=variant.description,
        model=network,
        mean=mean,
        std=std,
        labels=weights.labels,
        preprocessing=preprocessing(shape, IMAGE, "crop"),
        recipe={"name": weights.name, "model": weights.model, "weights": weights.file.name},
        seed=0,
        created=datetime.fromtimestamp(weights.file.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        libraries=library_versions(),
    )
    return _on(subject, find_data(dataset, shape, weights.labels, data)) if dataset else subject


def _on(subject: Subject, source: Source) -> Subject:
    test = relabel(source.test(), source.labels, subject.labels)
    training, validation = cut(source, validation=HELD_OUT, seed=subject.seed)
    described = describe_dataset(source, {"training": len(training), "validation": len(validation)})
    return replace(
        subject,
        title=f"{subject.title} on {source.title}",
        dataset=with_test(described, len(test)),
        training=relabel(training, source.labels, subject.labels),
        validation=relabel(validation, source.labels, subject.labels),
        test=test,
    )


def _variant(model: str) -> Variant:
    try:
        return find(model)
    except KeyError as error:
        raise ExportError(f"{error.args[0]}{did_you_mean(model, VARIANTS)}") from error


def _statistics(weights: Weights, shape: Shape) -> Statistics:
    mean, std = PUBLISHED.get(weights.model, IMAGENET)
    mean, std = weights.mean or mean, weights.std or std
    if not len(mean) == len(std) == shape[0]:
        raise ExportError(
            f"{weights.model} takes {shape[0]} channels; {len(mean)} means and {len(std)} deviations came"
        )
    return mean, std
