"""Shows what a classifier looked at: class activation maps, or its strongest maps projected back to pixels."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from service.engine import Answer, Engine, Model, Options
from service.engine.options import DEFAULTS
from service.engine.tensors import Tensor
from service.errors import InvalidArgument
from service.package.explain import LAYER, MAPS, RECONSTRUCTIONS, STRENGTHS
from service.tasks.classification import Evidence, Explanation
from service.tasks.classify_options import ClassifyOptions
from service.tasks.picture import overlay, picture_size, signed


class Explainer:
    """Explains the answers of one classifier, with the options of one request."""

    def __init__(
        self, engine: Engine, model: Model, options: ClassifyOptions, engine_options: Options = DEFAULTS
    ) -> None:
        self._engine = engine
        self._model = model
        self._card = model.package.classifier
        self._options = options
        self._engine_options = engine_options

    def check_size(self, images: int, most_bytes: int) -> None:
        """Check that the explanations of this many images take at most ``most_bytes``.

        Raises:
            InvalidArgument: they may take more.
        """
        if images * self._bytes > most_bytes:
            raise InvalidArgument(
                f"{images} images were sent; explain {self._options.explain!r} of model {self._model.name!r} "
                f"answers at most {most_bytes // self._bytes} at once"
            )

    @property
    def output(self) -> str:
        """The output of the classifier that explains its answer; "" if the explanation needs a run of its own."""
        return self._card.explain.cam.tensor if self._options.explain == "cam" and self._card.explain.cam else ""

    async def ask(self, images: NDArray[np.uint8]) -> Answer:
        """Run what explains the answers to ``images``, (N, H, W) or (N, H, W, 3) uint8.

        Raises:
            QueueFull, DeadlineExceeded, InternalError: as `Engine.infer`.
        """
        inputs = {self._card.preprocessing.tensor: images}
        if self.output:
            return await self._engine.infer(self._model, None, inputs, [self.output], self._engine_options)
        layers = np.full(len(images), self._options.layer, "<i8")
        inputs = {**inputs, LAYER: layers}
        return await self._engine.infer(self._model, None, inputs, options=self._engine_options, part="deconv")

    def explain(self, image: NDArray[np.uint8], outputs: Mapping[str, Tensor], row: int, top: int) -> Explanation:
        """The explanation of row ``row`` of ``outputs``, with pictures; ``top`` is the most probable class."""
        if self.output:
            label = top if self._options.label is None else self._options.label
            activation = np.asarray(outputs[self.output][row, label], "<f4")
            evidence = [_evidence(overlay(image, activation), activation)]
            return Explanation(method="cam", label=self._model.package.labels[label], index=label, evidence=evidence)
        maps, strengths = outputs[MAPS][row], outputs[STRENGTHS][row]
        evidence = []
        for number, strength, values in zip(maps, strengths, outputs[RECONSTRUCTIONS][row], strict=True):
            values = np.asarray(values, "<f4")
            evidence.append(_evidence(signed(values), values, map=int(number), strength=float(strength)))
        return Explanation(method="deconv", layer=self._layer, evidence=evidence)

    @property
    def _layer(self) -> str:
        deconv = self._card.explain.deconv
        assert deconv is not None  # checked by ClassifyOptions.of
        return deconv.layers[self._options.layer]

    @property
    def _bytes(self) -> int:
        """About the most bytes that the explanation of one image takes: its values and its pictures, uncompressed."""
        preprocessing = self._card.preprocessing
        picture = 3 * math.prod(picture_size(preprocessing.height, preprocessing.width))
        if self.output or self._card.explain.deconv is None:
            return picture
        shape = self._card.explain.deconv.reconstruction
        return 4 * math.prod(shape) + shape[0] * picture


def _evidence(
    png: bytes, values: NDArray[np.float32], map: int | None = None, strength: float | None = None
) -> Evidence:
    return Evidence(map=map, strength=strength, png=png, shape=list(values.shape), values=values.tobytes())
