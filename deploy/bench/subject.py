"""A model to measure: one row of input, the requests with it, and the answer they must get."""

import math
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

# Read when the library is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import numpy as np
import onnxruntime as ort
import orjson
from numpy.typing import NDArray

from protos import open_inference_pb2 as pb

Array = NDArray[Any]
JSON_LENGTH = "Inference-Header-Content-Length"
TOLERANCE = 1e-4
# What a classifier's caller asks for of all that its graph can answer.
PROBABILITIES = "probabilities"


class Subject:
    """The highest version of ``name`` in ``repository``, a graph with one uint8 input, and one random row for it.

    ``outputs`` is bare ONNX Runtime's answer for the row: the outputs in ``wanted``, or all if it is empty. ``size`` is
    the height and width of the row for a graph that takes any.
    """

    def __init__(
        self,
        repository: Path,
        name: str,
        seed: int = 0,
        wanted: Sequence[str] = (),
        size: tuple[int, int] | None = None,
    ) -> None:
        version = max((repository / name).iterdir(), key=lambda folder: int(folder.name))
        self.repository, self.name, self._seed, self._wanted, self._size = repository, name, seed, wanted, size
        self.graph = version / "model.onnx"
        session = self.session(1)
        (tensor,) = session.get_inputs()
        self.input = str(tensor.name)
        shape = tensor.shape[1:]
        self.row = patches(seed, shape if size is None else [*size, *shape[2:]])
        names = list(wanted) or [output.name for output in session.get_outputs()]
        self.outputs: dict[str, Array] = dict(zip(names, session.run(names, {self.input: self.row}), strict=True))

    def session(self, threads: int, *, spin: bool = True) -> Any:
        """A bare ONNX Runtime session of the graph; ``spin`` is the library's own way to wait for work."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
        return ort.InferenceSession(str(self.graph), options, providers=["CPUExecutionProvider"])

    @cached_property
    def another(self) -> "Subject":
        """The same model with another row and therefore another answer."""
        return Subject(self.repository, self.name, self._seed + 1, self._wanted, self._size)

    @property
    def path(self) -> str:
        """The REST path of the model's requests."""
        return f"/v2/models/{self.name}/infer"

    def rest(self) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a REST request, binary tensors both ways."""
        tensor = {"name": self.input, "shape": self.row.shape, "datatype": "UINT8"}
        request = {
            "inputs": [{**tensor, "parameters": {"binary_data_size": self.row.nbytes}}],
            "parameters": {"binary_data_output": True},
        }
        if self._wanted:
            request["outputs"] = [{"name": name} for name in self._wanted]
        head = orjson.dumps(request)
        return head + self.row.tobytes(), {JSON_LENGTH: str(len(head))}

    def grpc(self) -> pb.ModelInferRequest:
        """The gRPC request, raw contents."""
        tensor = pb.ModelInferRequest.InferInputTensor(name=self.input, datatype="UINT8", shape=self.row.shape)
        outputs = [pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in self._wanted]
        raw = [self.row.tobytes()]
        return pb.ModelInferRequest(model_name=self.name, inputs=[tensor], outputs=outputs, raw_input_contents=raw)

    def check_rest(self, body: bytes) -> None:
        """Check a REST answer, whose JSON part has the length of each binary tensor after it.

        Raises:
            WrongAnswer: it differs from bare ONNX Runtime's.
        """
        length = body.index(b"}]}") + 3
        outputs = orjson.loads(body[:length])["outputs"]
        sizes = [output["parameters"]["binary_data_size"] for output in outputs]
        raw = [body[length + sum(sizes[:i]) :][:size] for i, size in enumerate(sizes)]
        self._check([output["name"] for output in outputs], raw)

    def check_grpc(self, answer: pb.ModelInferResponse) -> None:
        """Check a gRPC answer.

        Raises:
            WrongAnswer: it differs from bare ONNX Runtime's.
        """
        self._check([output.name for output in answer.outputs], list(answer.raw_output_contents))

    def _check(self, names: list[str], raw: list[bytes]) -> None:
        if names != list(self.outputs):
            raise WrongAnswer(f"{self.name}: the outputs are {names}; expected {list(self.outputs)}")
        for (name, wanted), data in zip(self.outputs.items(), raw, strict=True):
            found = np.frombuffer(data, wanted.dtype).reshape(wanted.shape)
            if not np.allclose(found, wanted, atol=TOLERANCE):
                raise WrongAnswer(f"{self.name}: output {name!r} differs by {np.abs(found - wanted).max()}")


class WrongAnswer(Exception):
    """A measured server answers wrongly, so its figure is invalid."""


def patches(seed: int, shape: list[int]) -> Array:
    """An image (1, H, W, ...) of about 7 x 7 random patches: a trained model gives all plain noise the same answer."""
    height, width, *colours = shape
    coarse = np.random.default_rng(seed).integers(0, 256, (1, 7, 7, *colours), dtype="u1")
    return coarse.repeat(math.ceil(height / 7), 1).repeat(math.ceil(width / 7), 2)[:, :height, :width]
