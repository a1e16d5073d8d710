"""From weights to a package: folded, stored small, proved against torch, and measured through the serving engine."""

from training.export.card import How
from training.export.export import export, write_package
from training.export.golden import one_of_each
from training.export.subject import Subject, from_run, from_runs
from training.export.weights_file import Weights, from_weights, read_labels

__all__ = [
    "How",
    "Subject",
    "Weights",
    "export",
    "from_run",
    "from_runs",
    "from_weights",
    "one_of_each",
    "read_labels",
    "write_package",
]
