from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from deploy.bench.subject import TOLERANCE, Subject, WrongAnswer
from protos import open_inference_pb2 as pb

ZOO = Path("models/zoo")


@pytest.fixture(scope="module")
def subject() -> Subject:
    return Subject(ZOO, "lenet5", wanted=["probabilities"])


def rest_answer(subject: Subject, **changes: str) -> bytes:
    ((name, tensor),) = subject.outputs.items()
    output: dict[str, Any] = {"name": name, "datatype": "FP32", "shape": tensor.shape} | changes
    output["parameters"] = {"binary_data_size": tensor.nbytes}
    return orjson.dumps({"model_name": "lenet5", "outputs": [output]}) + tensor.tobytes()


def grpc_answer(subject: Subject) -> pb.ModelInferResponse:
    ((name, tensor),) = subject.outputs.items()
    output = pb.ModelInferResponse.InferOutputTensor(name=name, datatype="FP32", shape=tensor.shape)
    return pb.ModelInferResponse(outputs=[output], raw_output_contents=[tensor.tobytes()])


def test_another_row_has_an_answer_that_cannot_be_taken_for_the_first(subject: Subject) -> None:
    for name, tensor in subject.outputs.items():
        assert np.abs(tensor - subject.another.outputs[name]).max() > 100 * TOLERANCE


def test_a_request_names_the_outputs_that_are_wanted(subject: Subject) -> None:
    body, headers = subject.rest()
    head = orjson.loads(body[: int(headers["Inference-Header-Content-Length"])])
    assert [output["name"] for output in head["outputs"]] == ["probabilities"]
    assert [output.name for output in subject.grpc().outputs] == ["probabilities"]
    every = Subject(ZOO, "lenet5")
    assert list(every.outputs) == ["probabilities", "embedding"]
    assert not every.grpc().outputs


def test_the_right_answer_passes(subject: Subject) -> None:
    subject.check_rest(rest_answer(subject))
    subject.check_grpc(grpc_answer(subject))


def test_the_answer_to_another_row_does_not_pass(subject: Subject) -> None:
    with pytest.raises(WrongAnswer, match="differs by"):
        subject.check_rest(rest_answer(subject.another))
    with pytest.raises(WrongAnswer, match="differs by"):
        subject.check_grpc(grpc_answer(subject.another))


def test_an_answer_with_other_outputs_does_not_pass(subject: Subject) -> None:
    with pytest.raises(WrongAnswer, match="logits"):
        subject.check_rest(rest_answer(subject, name="logits"))
    with pytest.raises(WrongAnswer, match=r"outputs are \[\]"):
        subject.check_grpc(pb.ModelInferResponse())
