"""A file of weights that were not trained by a run, as the subject of an export."""

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
# The statistics that the published weights of these were trained with; all others used ImageNet's.
PUBLISHED = {"googlenet": HALF, "xception": HALF}
MAX_LABELS_BYTES = 1 << 20
HELD_OUT = 0.5  # the share of images to check int8 on; it is calibrated on the others


def read_labels(path: Path) -> tuple[str, ...]:
    """The classes in the text file ``path``, one per line.

    Raises:
        ExportError: it cannot be read or is not text, has fewer than two lines, an empty line, or a label twice.
    """
    try:
        with path.open("rb") as file:
            labels = tuple(file.read(MAX_LABELS_BYTES + 1).decode("utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise ExportError(f"{path}: is not a text file of labels ({error})") from error
    if path.stat().st_size > MAX_LABELS_BYTES:
        raise ExportError(f"{path}: has {path.stat().st_size} bytes; at most {MAX_LABELS_BYTES} are allowed")
    if len(labels) < 2 or not all(label.strip() for label in labels) or len(set(labels)) < len(labels):
        raise ExportError(f"{path}: it needs two or more labels, one per line, none of them empty or repeated")
    return labels


@dataclass(frozen=True)
class Weights:
    """A file of weights of ``model``, published or a user's own, and the names of its classes.

    ``mean`` and ``std`` normalise pixels in 0..1, one number per channel; None means those that the published weights
    were trained with.
    """

    model: str
    file: Path
    labels: tuple[str, ...]
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def from_weights(weights: Weights, dataset: str | None, data: Path | None) -> Subject:
    """The model of ``weights``, to be measured on ``dataset``, a name or a folder of images by class, if given.

    Raises:
        ExportError: the file does not fit the model or its labels, or the statistics do not fit its input.
        DataError: the data set cannot be obtained, or has fewer than two of the labels.
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
            f"there are {len(mean)} means and {len(std)} deviations; {weights.model} needs {shape[0]}, one per channel"
        )
    return mean, std
