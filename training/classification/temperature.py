"""The temperature of a package: chosen on the validation split, for the graph that is served."""

from pathlib import Path
from tempfile import TemporaryDirectory

from torch import nn

from training.classification.calibration import Floats, as_logits, choose_temperature
from training.classification.graph import PROBABILITIES, Served
from training.classification.served_file import logits, run_onnx, to_onnx
from training.classification.subject import Subject
from training.data import Split
from training.errors import ExportError
from training.export.how import How
from training.export.int8 import quantise, some


def temperature_for(subject: Subject, how: How, stored: nn.Module) -> float:
    """The temperature of the graph of ``stored``, the subject's model as the package computes it; 1 for none.

    It is fitted if ``how`` asks for it, or else if the subject says so, and left out if it does not help on the
    validation split; one that the subject already has is kept unless another is asked for. Quantisation changes the
    logits, so an int8 graph always gets its own.

    Raises:
        ExportError: there are no images that were not trained on.
    """
    quantised = how.weights == "int8"
    if how.temperature is None and subject.fitted_temperature is not None and not quantised:
        return subject.fitted_temperature
    if not (subject.temperature if how.temperature is None else how.temperature):
        return 1.0
    if subject.validation is None or (quantised and subject.training is None):
        raise ExportError(f"{subject.name}: a temperature needs images that were not trained on; there are none")
    if quantised:
        found = _quantised_logits(subject, stored, subject.validation)
    else:
        found = logits(Served(subject.model, subject.mean, subject.std), subject.validation.images)
    return choose_temperature(found, subject.validation.labels)


def _quantised_logits(subject: Subject, stored: nn.Module, split: Split) -> Floats:
    """The logits (N, classes) of the int8 graph for the images of ``split``."""
    assert subject.training is not None  # temperature_for
    model = to_onnx(Served(stored, subject.mean, subject.std, embedding=False), subject.image_shape)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        quantise(model, some(subject.training.images, subject.seed), path, subject.mean, subject.std)
        return as_logits(run_onnx(path, split.images, PROBABILITIES))
