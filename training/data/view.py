"""A data set with its images prepared for another input size, or with only some of its classes."""

from collections.abc import Mapping

import numpy as np

from service.nearest import did_you_mean
from service.package import Preprocessing
from training.data.preparation import prepare_images
from training.data.source import Shape, Source, preprocessing
from training.data.split import Split
from training.data.statistics import Measured
from training.errors import DataError


class View(Measured):
    """The `Source` ``source`` with images of ``shape`` (C, H, W) and of ``classes`` only, numbered in that order.

    Raises:
        DataError: one of ``classes`` is not the source's or is repeated, there are fewer than two, or the shape is
            neither grey nor colour.
    """

    def __init__(self, source: Source, shape: Shape, classes: tuple[str, ...]) -> None:
        self._source = source
        self.name, self.title, self.licence, self.homepage = source.name, source.title, source.licence, source.homepage
        self.shape, self.labels = shape, classes
        self._preprocessing = self.preprocessing("image")
        if strange := [label for label in classes if label not in source.labels]:
            known = did_you_mean(strange[0], source.labels) or f"; it has {', '.join(source.labels)}"
            raise DataError(f"{self.title} has no class {strange[0]!r}{known}")
        if len(set(classes)) != len(classes) or len(classes) < 2:
            raise DataError(f"classes is {', '.join(classes)}; it needs two or more, each once")

    @property
    def files(self) -> Mapping[str, str]:
        """The source's files."""
        return self._source.files

    def preprocessing(self, tensor: str) -> Preprocessing:
        """The source's preprocessing, for this shape."""
        return preprocessing(self.shape, tensor, self._source.preprocessing(tensor).fit)

    def read_training(self) -> Split:
        """The source's training examples."""
        return self._seen(self._source.training())

    def validation(self) -> Split | None:
        """The source's own validation examples, if it has any."""
        whole = self._source.validation()
        return None if whole is None else self._seen(whole)

    def test(self) -> Split:
        """The source's test examples."""
        return self._seen(self._source.test())

    def _seen(self, whole: Split) -> Split:
        place = {label: index for index, label in enumerate(self.labels)}
        labels = np.array([place.get(label, -1) for label in self._source.labels])[whole.labels]
        kept = Split(whole.images, labels)[np.flatnonzero(labels >= 0)]
        if self.shape == self._source.shape:
            return kept
        return Split(prepare_images(kept.images, self._preprocessing, self.title), kept.labels)
