"""The golden example: some images and their answers, which a server must reproduce before it serves the package."""

from pathlib import Path
from typing import Any

import numpy as np

from service.package import Golden
from training.classification.deconvolution import ServedDeconvolution, golden_deconvolution
from training.classification.graph import IMAGE, Served
from training.classification.served_file import reference
from training.classification.subject import Subject
from training.data import Bytes, Split
from training.export.how import Storage
from training.export.onnx_file import Answers, open_onnx
from training.packages import GOLDEN, GRAPH, TOLERANCE

ROWS = 10
INT8_TOLERANCE = 1e-2  # larger, because a value rounded to the next of 256 levels changes the layers after it


def golden_example(
    subject: Subject, served: Served, back: ServedDeconvolution | None, weights: Storage, folder: Path
) -> Answers:
    """The example for the package in ``folder``: images, and the answers by output.

    The answers are torch's, or, for int8, which torch does not compute, the graph's own.
    """
    images = some_of_each(subject)
    if weights == "int8":
        outputs = list(served.outputs)
        found: Answers = dict(zip(outputs, open_onnx(folder / GRAPH).run(outputs, {IMAGE: images}), strict=True))
    else:
        found = reference(served, images)
    explanations: dict[str, Any] = golden_deconvolution(back, images, "deconv") if back else {}
    return {IMAGE: images, **found, **explanations}


def describe_golden(weights: Storage) -> Golden:
    """The example on the card."""
    return Golden(file=GOLDEN, tolerance=INT8_TOLERANCE if weights == "int8" else TOLERANCE)


def one_of_each(split: Split) -> Bytes:
    """The first image of every class in ``split``, in the order of the classes."""
    _, first = np.unique(split.labels, return_index=True)
    return split.images[first]


def some_of_each(subject: Subject) -> Bytes:
    """At most ten images, one of each class, from the validation split if there is one."""
    split = subject.validation or subject.training
    return (subject.images if split is None else one_of_each(split))[:ROWS]
