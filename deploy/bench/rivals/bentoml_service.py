"""An idiomatic BentoML service: an image in, and `batchable`, so that BentoML's dispatcher forms the batches.

It is started by ``bentoml serve``, so the package's folder is in the environment.
"""

import os
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
from PIL.Image import Image

from deploy.bench.rivals import FOLDER
from deploy.bench.rivals.classifier import Classifier

MAX_BATCH, MAX_LATENCY_MS = 32, 10_000


@bentoml.service(workers=1, traffic={"max_concurrency": 256}, logging={"access": {"enabled": False}})
class Rival:
    """Classifies one image per request."""

    def __init__(self) -> None:
        self._classifier = Classifier(Path(os.environ[FOLDER]))

    @bentoml.api(  # type: ignore[untyped-decorator]
        route="/v1/classify", batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=MAX_LATENCY_MS
    )
    def classify(self, image: list[Image]) -> list[dict[str, Any]]:
        """The labels of each image."""
        probabilities = self._classifier.run(np.stack([self._classifier.fitted(each) for each in image]))
        return [self._classifier.answer(row) for row in probabilities]
