"""A model under measurement: one row, the requests that carry it, the answer they must get."""

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


class Subject:
    """The highest version of ``name`` in ``repository``, a graph of one uint8 input; and one random row for it.

    ``outputs`` is what bare ONNX Runtime answers for the row: to the names in ``wanted``, all where there is none.
    """

    def __init__(self, repository: Path, name: str, seed: int = 0, wanted: Sequence[str] = ()) -> None:
        version = max((repository / name).iterdir(), key=lambda folder: int(folder.name))
        self.repository, self.name, self._seed, self._wanted = repository, name, seed, wanted
        self.graph = version / "model.onnx"
        session = self.session(1)
        (tensor,) = session.get_inputs()
        self.input = str(tensor.name)
        self.row = patches(seed, tensor.shape[1:])
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
        """The same model with another row, and so another answer."""
        return Subject(self.repository, self.name, self._seed + 1, self._wanted)

    @property
    def path(self) -> str:
        """Where REST takes the model's requests."""
        return f"/v2/models/{self.name}/infer"

    def rest(self) -> tuple[bytes, dict[str, str]]:
        """The body and the headers of a REST request, binary tensors both ways."""
        tensor = {"name": self.input, "shape": self.row.shape, "datatype": "UINT8"}
        head = orjson.dumps(
            {
                "inputs": [{**tensor, "parameters": {"binary_data_size": self.row.nbytes}}],
                "parameters": {"binary_data_output": True},
            }
        )
        return head + self.row.tobytes(), {JSON_LENGTH: str(len(head))}

    def grpc(self) -> pb.ModelInferRequest:
        """The gRPC request, raw contents."""
        tensor = pb.ModelInferRequest.InferInputTensor(name=self.input, datatype="UINT8", shape=self.row.shape)
        return pb.ModelInferRequest(model_name=self.name, inputs=[tensor], raw_input_contents=[self.row.tobytes()])

    def check_rest(self, body: bytes) -> None:
        """Check a REST answer, whose JSON part says how long each tensor behind it is.

        Raises:
            WrongAnswer: it is not what bare ONNX Runtime answers.
        """
        length = body.index(b"}]}") + 3
        outputs = orjson.loads(body[:length])["outputs"]
        sizes = [output["parameters"]["binary_data_size"] for output in outputs]
        raw = [body[length + sum(sizes[:i]) :][:size] for i, size in enumerate(sizes)]
        self._check([output["name"] for output in outputs], raw)

    def check_grpc(self, answer: pb.ModelInferResponse) -> None:
        """Check a gRPC answer.

        Raises:
            WrongAnswer: it is not what bare ONNX Runtime answers.
        """
        self._check([output.name for output in answer.outputs], list(answer.raw_output_contents))

    def _check(self, names: list[str], raw: list[bytes]) -> None:
        if names != list(self.outputs):
            raise WrongAnswer(f"{self.name}: outputs {names} came, {list(self.outputs)} wanted")
        for (name, wanted), data in zip(self.outputs.items(), raw, strict=True):
            came = np.frombuffer(data, wanted.dtype).reshape(wanted.shape)
            if not np.allclose(came, wanted, atol=TOLERANCE):
                raise WrongAnswer(f"{self.name}: output {name!r} differs by {np.abs(came - wanted).max()}")


class WrongAnswer(Exception):
    """A figure of a server that answers wrongly is worth nothing."""


def patches(seed: int, shape: list[int]) -> Array:
    """One image (1, H, W, ...) of random patches, about 7 x 7 of them: to a trained model all noise is alike."""
    height, width, *colours = shape
    coarse = np.random.default_rng(seed).integers(0, 256, (1, 7, 7, *colours), dtype="u1")
    return coarse.repeat(math.ceil(height / 7), 1).repeat(math.ceil(width / 7), 2)[:, :height, :width]
