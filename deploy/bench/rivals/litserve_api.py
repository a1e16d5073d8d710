"""LitServe as its documentation shows it: an image in the form, decoded and run in a worker process, in batches."""

import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
from starlette.requests import Request

from deploy.bench.rivals.classifier import Classifier
from deploy.bench.server import HOST

MAX_BATCH, WAIT_S = 32, 0.001


class Api(litserve.LitAPI):  # type: ignore[misc]  # its types are not exported
    """Classifies one image per request."""

    def __init__(self, folder: Path) -> None:
        super().__init__(max_batch_size=MAX_BATCH, batch_timeout=WAIT_S, api_path="/v1/classify")
        self._folder = folder

    def setup(self, device: str) -> None:
        """Load the model, in the worker."""
        self._classifier = Classifier(self._folder)

    def decode_request(self, request: Request) -> Any:
        """The image, (H, W) or (H, W, 3)."""
        form: Any = request  # the library passes the parsed form of a request with this annotation
        return self._classifier.pixels(form["image"].file.read())

    def predict(self, inputs: list[Any]) -> Any:
        """The probabilities of each image."""
        return self._classifier.run(np.stack(inputs))

    def unbatch(self, output: Any) -> list[Any]:
        """The rows of the output, one per request."""
        return list(output)

    def encode_response(self, output: Any) -> dict[str, Any]:
        """The labels."""
        return self._classifier.answer(output)


if __name__ == "__main__":
    server = litserve.LitServer(Api(Path(sys.argv[2])), accelerator="cpu", workers_per_device=1)
    server.run(host=HOST, port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
