"""What all rivals share: a package's graph in a bare session, with its card's preprocessing and labels."""

import io
import os
from pathlib import Path
from typing import Any

# Read when the library is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from PIL import Image

from service.package import read_package

_MODES = {"grey": "L", "rgb": "RGB"}


class Classifier:
    """The classifier in ``folder``; its images are stretched to the size that the graph takes."""

    def __init__(self, folder: Path) -> None:
        package = read_package(folder)
        card = package.classifier
        self._labels = package.labels
        self._mode = _MODES[card.preprocessing.colour]
        self._size = (card.preprocessing.width, card.preprocessing.height)
        self._input, self._output = card.preprocessing.tensor, card.classes.tensor
        self._count = card.parameters.top_k.default
        options = ort.SessionOptions()
        options.log_severity_level = 3
        path = str(package.path(card.graph.file))
        self._session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def pixels(self, image: bytes) -> NDArray[np.uint8]:
        """The image file as the graph's input, (H, W) or (H, W, 3)."""
        return self.fitted(Image.open(io.BytesIO(image)))

    def fitted(self, image: Image.Image) -> NDArray[np.uint8]:
        """The opened ``image`` as the graph's input, (H, W) or (H, W, 3)."""
        return np.asarray(image.convert(self._mode).resize(self._size))

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The probabilities, (B, classes), of images (B, H, W) or (B, H, W, 3)."""
        found: NDArray[np.float32] = self._session.run([self._output], {self._input: batch})[0]
        return found

    def answer(self, probabilities: NDArray[np.float32]) -> dict[str, Any]:
        """The answer for one image with ``probabilities`` (classes,)."""
        best = (-probabilities).argsort()[: self._count].tolist()
        labels = [{"label": self._labels[i], "index": i, "probability": float(probabilities[i])} for i in best]
        return {"labels": labels}
