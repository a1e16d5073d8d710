"""Weak localisation: where a classifier, which has only learnt what is in an image, finds it, as a mask."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from service.engine import Model
from service.engine.tensors import Tensor
from service.masks.activation import strong
from service.package.explain import ActivationMap
from service.tasks.fitted_image import FittedImage
from service.tasks.locate_options import LocateOptions
from service.tasks.mask_forms import MaskForms
from service.tasks.mask_model import BACKGROUND, FOUND, LOCATED, MaskModel
from service.tasks.segment_options import SegmentOptions
from service.tasks.segmentation import Segmented


class LocatedForms:
    """Makes the results of one request to a classifier, as `MaskForms` does for a segmenter.

    The mask has two classes: 1 is where the class activation map of a label is strong, 0 is the rest. The confidence of
    class 1 is the probability of the label.
    """

    def __init__(
        self, model: Model, options: SegmentOptions, locate: LocateOptions, images: int, max_pixels: int
    ) -> None:
        self._card = model.package.classifier
        self._labels = model.package.labels
        self._locate = locate
        self._model = MaskModel.of(model)
        self._forms = MaskForms(self._model, options, images, max_pixels)

    def outputs_needed(self, images: Sequence[FittedImage]) -> list[str]:
        """The outputs of the graph that the results need."""
        return [self._card.classes.tensor, self._map.tensor]

    def result(self, data: bytes, image: FittedImage, outputs: Mapping[str, Tensor]) -> Segmented:
        """The result for the image in the file ``data``; ``outputs`` are the graph's, without the batch dimension.

        Raises:
            InvalidArgument: as `MaskForms.result`.
            InternalError: the probability is not finite.
        """
        probabilities: NDArray[np.float32] = np.asarray(outputs[self._card.classes.tensor], "f4")
        label = int(probabilities.argmax()) if self._locate.label is None else self._locate.label
        activation = np.asarray(outputs[self._map.tensor][label], "f4")
        height, width = image.rows.shape[1:3]
        found = strong(activation, height, width, self._locate.share)
        forms = self._forms.with_labels((BACKGROUND, self._labels[label]))
        return forms.result(data, image, _tensors(found, float(probabilities[label])))

    @property
    def _map(self) -> ActivationMap:
        assert self._card.explain.cam is not None  # Segment.serves
        return self._card.explain.cam


def _tensors(found: NDArray[np.bool_], probability: float) -> dict[str, Tensor]:
    """What a segmenter's graph would answer."""
    pixels = np.count_nonzero(found)
    return {
        LOCATED.mask: found.astype("u1") * FOUND,
        LOCATED.probability: found * np.float32(probability),
        LOCATED.area: np.array([found.size - pixels, pixels]),
        LOCATED.confidence: np.array([0, probability if pixels else 0]),
    }
