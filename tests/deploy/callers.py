"""Callers of a served model, one for each surface, and bounded load made of them."""

import io
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import httpx
import numpy as np
from PIL import Image

from protos import open_inference_pb2, open_inference_pb2_grpc
from protos.lectorium.v1 import vision_pb2, vision_pb2_grpc

MODEL = "lenet5"
SEVEN = (Path(__file__).parents[1] / "data/seven.png").read_bytes()
PAUSE_S = 0.01

Outcome = tuple[str, str]  # surface and canonical gRPC code, as the metrics label them
HTTP_CODES = {200: "OK", 400: "INVALID_ARGUMENT", 404: "NOT_FOUND", 503: "UNAVAILABLE"}


class Callers:
    """Calls the service whose HTTP, REST, gRPC and metrics ports on loopback are given."""

    def __init__(self, http: int, rest: int, grpc_: int, metrics: int) -> None:
        self.http = f"http://127.0.0.1:{http}"
        self.rest = f"http://127.0.0.1:{rest}"
        self.metrics = f"http://127.0.0.1:{metrics}"
        # No proxy that the environment may name: everything here is loopback.
        self.client = httpx.Client(timeout=30, trust_env=False)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{grpc_}", [("grpc.enable_http_proxy", 0)])
        self.vision = vision_pb2_grpc.VisionStub(self.channel)
        self.inference = open_inference_pb2_grpc.GRPCInferenceServiceStub(self.channel)

    def close(self) -> None:
        """Close every connection."""
        self.client.close()
        self.channel.close()

    def await_ready(self, seconds: float) -> None:
        """Wait until the service is ready.

        Raises:
            TimeoutError: it was not, in the time given.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.ready():
                return
            time.sleep(0.02)
        raise TimeoutError(f"not ready after {seconds} s")

    def ready(self) -> bool:
        """Whether the service says that it is."""
        try:
            return self.client.get(f"{self.rest}/v2/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def classify_http(self, image: bytes = SEVEN, model: str = MODEL) -> httpx.Response:
        """`POST /v1/classify`."""
        return self.client.post(
            f"{self.http}/v1/classify", files={"image": ("digit.png", image)}, data={"model": model}
        )

    def classify_grpc(self, image: bytes = SEVEN, model: str = MODEL) -> vision_pb2.ClassifyResponse:
        """`lectorium.v1.Vision/Classify`."""
        request = vision_pb2.ClassifyRequest(image=image, model=model)
        answer: vision_pb2.ClassifyResponse = self.vision.Classify(request, timeout=30)
        return answer

    def infer_rest(self, model: str = MODEL) -> httpx.Response:
        """`POST /v2/models/{model}/infer`, the tensor as JSON."""
        pixels = _pixels(SEVEN)
        tensor = {
            "name": self.input_name(),
            "datatype": "UINT8",
            "shape": pixels.shape,
            "data": pixels.ravel().tolist(),
        }
        return self.client.post(f"{self.rest}/v2/models/{model}/infer", json={"inputs": [tensor]})

    def infer_grpc(self, model: str = MODEL) -> open_inference_pb2.ModelInferResponse:
        """`inference.GRPCInferenceService/ModelInfer`, the tensor as raw bytes."""
        pixels = _pixels(SEVEN)
        request = open_inference_pb2.ModelInferRequest(model_name=model, raw_input_contents=[pixels.tobytes()])
        request.inputs.add(name=self.input_name(), datatype="UINT8", shape=pixels.shape)
        answer: open_inference_pb2.ModelInferResponse = self.inference.ModelInfer(request, timeout=30)
        return answer

    def input_name(self) -> str:
        """The name of the model's input, asked once."""
        if not hasattr(self, "_input"):
            metadata = self.client.get(f"{self.rest}/v2/models/{MODEL}").json()
            self._input: str = metadata["inputs"][0]["name"]
        return self._input

    def samples(self, metric: str) -> dict[str, float]:
        """The samples of a metric, each by its labels as they stand in the exposition."""
        lines = self.client.get(f"{self.metrics}/metrics").raise_for_status().text.splitlines()
        found = (line.rpartition(" ") for line in lines if line.startswith(metric + "{"))
        return {labels.removeprefix(metric): float(value) for labels, _, value in found}

    def load(self, seconds: float) -> Counter[Outcome]:
        """Call every surface for so many seconds, one call in twenty a bad one; how often each outcome came."""
        calls: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "http": (self.classify_http, lambda: self.classify_http(b"no image")),
            "vision_grpc": (self.classify_grpc, lambda: self.classify_grpc(b"no image")),
            "oip_rest": (self.infer_rest, lambda: self.infer_rest("no-such-model")),
            "oip_grpc": (self.infer_grpc, lambda: self.infer_grpc("no-such-model")),
        }
        self.input_name()
        end = time.monotonic() + seconds
        with ThreadPoolExecutor(len(calls)) as pool:
            parts = [pool.submit(_call_until, end, surface, *pair) for surface, pair in calls.items()]
        return sum((part.result() for part in parts), Counter())


def _call_until(end: float, surface: str, good: Callable[[], object], bad: Callable[[], object]) -> Counter[Outcome]:
    outcomes: Counter[Outcome] = Counter()
    while time.monotonic() < end:
        call = bad if sum(outcomes.values()) % 20 == 19 else good
        outcomes[surface, outcome_of(call)] += 1
        time.sleep(PAUSE_S)
    return outcomes


def outcome_of(call: Callable[[], object]) -> str:
    """Make the call; the canonical gRPC code of what came of it, whichever the transport."""
    try:
        answer = call()
    except grpc.RpcError as error:
        code: str = error.code().name
        return code
    return HTTP_CODES.get(answer.status_code, "?") if isinstance(answer, httpx.Response) else "OK"


def enlarged(image: bytes, side: int) -> bytes:
    """The image as a PNG of ``side`` by ``side`` pixels, which takes the service a while to decode."""
    file = io.BytesIO()
    Image.open(io.BytesIO(image)).resize((side, side)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _pixels(image: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.asarray(Image.open(io.BytesIO(image)), np.uint8)[np.newaxis]  # (1, H, W)
