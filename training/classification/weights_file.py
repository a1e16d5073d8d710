"""A file of weights that were not trained by a run, as the subject of an export."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from models.classification.resnet import PADDINGS
from models.classification.rows import VARIANTS, build, find
from models.variant import Variant
from models.weights import WeightsError, give_weights, read_weights
from service.nearest import did_you_mean
from training.classification.evaluate import find_data, relabel
from training.classification.graph import IMAGE
from training.classification.subject import Subject
from training.data import HoldOut, Shape, Source, split
from training.data.source import preprocessing
from training.errors import ExportError
from training.provenance import describe_dataset, library_versions, with_test

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

IMAGENET: Statistics = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALF: Statistics = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
# The statistics that the published weights of these were trained with; all others used ImageNet's.
PUBLISHED = {"googlenet": HALF, "xception": HALF}
MAX_LABELS_BYTES = 1 << 20
PROJECTIONS = ("downsample", "shortcut")  # names of a ResNet's shortcut that has weights
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
    were trained with. ``config`` replaces values of the model's row, such as ``shortcut``.
    """

    model: str
    file: Path
    labels: tuple[str, ...]
    name: str
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


def from_weights(weights: Weights, dataset: str | None, data: Path | None, *, unmeasured: bool = False) -> Subject:
    """The model of ``weights``, to be measured on ``dataset``, a name or a folder of images by class.

    Without a ``dataset`` nobody can know whether the network is the one that the weights were trained in, so that
    case must be asked for as ``unmeasured``.

    Raises:
        ExportError: the file does not fit the model or its labels, it does not say how its shortcuts pad, the
            statistics do not fit the input, or it would be exported unmeasured without being asked for.
        DataError: the data set cannot be obtained, or has fewer than two of the labels.
    """
    variant = _variant(weights.model)
    try:
        values = read_weights(weights.file)
        config = _config(weights, variant, values)
        network = _network(weights, config)
        give_weights(network, values, str(weights.file))
    except WeightsError as error:
        raise ExportError(str(error)) from error
    shape = (config.get("channels", variant.input_shape[0]), *variant.input_shape[1:])
    mean, std = _statistics(weights, shape)
    if dataset is None and not unmeasured:
        raise ExportError(
            f"{weights.file}: nobody has measured these weights here; give --data, a folder of images by class or a "
            "published set's name, to measure them, or --unmeasured to export them without figures"
        )
    said: dict[str, Any] = {"name": weights.name, "model": weights.model, "weights": weights.file.name}
    if config:
        said["config"] = config
    subject = Subject(
        name=weights.name,
        title=variant.title,
        lecture=variant.lecture,
        description=variant.description,
        model=network.eval(),
        mean=mean,
        std=std,
        labels=weights.labels,
        preprocessing=preprocessing(shape, IMAGE, "crop"),
        recipe=said,
        seed=0,
        created=datetime.fromtimestamp(weights.file.stat().st_mtime, UTC).isoformat(timespec="seconds"),
        libraries=library_versions(),
    )
    return _on(subject, find_data(dataset, shape, weights.labels, data)) if dataset else subject


def _on(subject: Subject, source: Source) -> Subject:
    test = relabel(source.test(), source.labels, subject.labels)
    training, validation = split(HoldOut(HELD_OUT, subject.seed), source)
    described = describe_dataset(source, {"training": len(training), "validation": len(validation)})
    return replace(
        subject,
        title=f"{subject.title} on {source.title}",
        dataset=with_test(described, len(test)),
        training=relabel(training, source.labels, subject.labels),
        validation=relabel(validation, source.labels, subject.labels),
        test=test,
        held_out=False,  # the weights may have been trained on these images
    )


def _variant(model: str) -> Variant:
    try:
        return find(model)
    except KeyError as error:
        raise ExportError(f"{error.args[0]}{did_you_mean(model, VARIANTS)}") from error


def _config(weights: Weights, variant: Variant, values: Mapping[str, Tensor]) -> dict[str, Any]:
    """The asked values of the model's row, and the kind of shortcut where that follows from the file.

    Raises:
        ExportError: the row's shortcut pads with zeros, which leaves no trace in the file, and its kind is not asked.
    """
    config = dict(weights.config)
    if "shortcut" in config or variant.config.get("shortcut") not in PADDINGS:
        return config
    if any(part in PROJECTIONS for name in values for part in name.split(".")):
        return {**config, "shortcut": "projection"}
    raise ExportError(
        f"{weights.file}: the shortcuts of {variant.name} pad with zeros, and no file of weights says on which side; "
        "give --config shortcut=zero_padding_both_sides, as most published CIFAR ResNets have it, or --config "
        "shortcut=zero_padding, as those trained here, and see with --data which of the two is accurate"
    )


def _network(weights: Weights, config: Mapping[str, Any]) -> nn.Module:
    if "classes" in config:
        raise ExportError(f"config.classes is {config['classes']!r}; it follows from the labels, so leave it out")
    classes = {"classes": len(weights.labels)} if "classes" in find(weights.model).config else {}
    try:
        return build(weights.model, {**classes, **config})
    except (KeyError, IndexError, ValueError, TypeError, RuntimeError) as error:
        message = str(error.args[0] if error.args else error).partition("\n")[0]
        raise ExportError(f"{weights.model}, config: {message}") from error


def _statistics(weights: Weights, shape: Shape) -> Statistics:
    mean, std = PUBLISHED.get(weights.model, IMAGENET)
    mean, std = weights.mean or mean, weights.std or std
    if not len(mean) == len(std) == shape[0]:
        raise ExportError(
            f"there are {len(mean)} means and {len(std)} deviations; {weights.model} needs {shape[0]}, one per channel"
        )
    return mean, std
