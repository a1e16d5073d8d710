"""A gRPC call's deadline reaches whatever works for it: nothing is begun for a call that has no time left."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest

from protos import open_inference_pb2 as pb
from protos.lectorium.v1 import vision_pb2
from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Gate
from service.surfaces.grpc.gate import call_deadline
from service.surfaces.grpc.tasks import vision
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.grpc import OipGrpc
from service.tasks.registry import endpoints
from tests.embedding_packages import write_embedding_package
from tests.generate_packages import write_generate_package
from tests.packages import example, write_package
from tests.pictures import png
from tests.search_indexes import indexes_of, write_index
from tests.segment_packages import write_segment_package
from tests.step_packages import write_captioner, write_chars
from tests.text_packages import write_text_package


class Aborted(Exception):
    """The call has ended with a status."""


class Call:
    """A servicer's context of a call with so many seconds left."""

    def __init__(self, remaining_s: float | None) -> None:
        self.remaining_s = remaining_s
        self.written: list[Any] = []
        self.status = ""

    def time_remaining(self) -> float | None:
        return self.remaining_s

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def invocation_metadata(self) -> tuple[()]:
        return ()

    async def send_initial_metadata(self, metadata: tuple[()]) -> None:
        assert not self.written

    async def write(self, response: Any) -> None:
        self.written.append(response)

    async def abort(self, code: grpc.StatusCode, message: str) -> None:
        self.status = f"{code.name}: {message}"
        raise Aborted


@pytest.mark.parametrize(("remaining_s", "allowed_s"), [(None, 30), (2.5, 2.5), (100.0, 30), (0.0, 0)])
def test_the_earlier_of_the_calls_deadline_and_the_configured_limit_counts(
    remaining_s: float | None, allowed_s: float
) -> None:
    assert call_deadline(cast(Any, Call(remaining_s)), 30).allowed_s == allowed_s


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("deadlines")
    write_package(folder)
    write_chars(folder)
    write_captioner(folder)
    write_text_package(folder)
    write_segment_package(folder)
    write_generate_package(folder)
    write_embedding_package(folder)
    write_index(indexes_of(folder), folder)
    return folder


def infer_request(model: str) -> pb.ModelInferRequest:
    image = example(1)
    request = pb.ModelInferRequest(model_name=model)
    if model == "tiny":
        request.inputs.add(name="image", datatype="UINT8", shape=image.shape)
        request.raw_input_contents.append(image.tobytes())
    return request


def segment_request() -> vision_pb2.SegmentRequest:
    return vision_pb2.SegmentRequest(image=png(), model="colours")


async def one(request: Any) -> AsyncIterator[Any]:
    yield request


Ask = Callable[[SimpleNamespace, Any], Awaitable[Any]]
UNARY: dict[str, Ask] = {
    "ModelInfer": lambda on, call: on.oip.ModelInfer(infer_request("tiny"), call),
    "Classify": lambda on, call: on.vision.Classify(vision_pb2.ClassifyRequest(image=png(), model="tiny"), call),
    "ClassifyBatch": lambda on, call: on.vision.ClassifyBatch(
        vision_pb2.ClassifyBatchRequest(images=[png()] * 2, model="tiny"), call
    ),
    "ClassifyText": lambda on, call: on.vision.ClassifyText(
        vision_pb2.ClassifyTextRequest(text="a", model="letters"), call
    ),
    "ClassifyTextBatch": lambda on, call: on.vision.ClassifyTextBatch(
        vision_pb2.ClassifyTextBatchRequest(texts=["a", "b"], model="letters"), call
    ),
    "Segment": lambda on, call: on.vision.Segment(segment_request(), call),
    "SegmentBatch": lambda on, call: on.vision.SegmentBatch(
        vision_pb2.SegmentBatchRequest(images=[png()] * 2, model="colours"), call
    ),
    "SegmentTiles": lambda on, call: on.vision.SegmentTiles(segment_request(), call),
    "Generate": lambda on, call: on.vision.Generate(vision_pb2.GenerateRequest(model="greys"), call),
    "GenerateSteps": lambda on, call: on.vision.GenerateSteps(vision_pb2.GenerateStepsRequest(model="greys"), call),
    "Search": lambda on, call: on.vision.Search(vision_pb2.SearchRequest(image=png(), index="some"), call),
    "SearchAdd": lambda on, call: on.vision.SearchAdd(
        vision_pb2.SearchAddRequest(image=png(), index="some", name="new"), call
    ),
    "Caption": lambda on, call: on.vision.Caption(vision_pb2.CaptionRequest(image=png(), model="captioner"), call),
}
STREAMS: dict[str, Ask] = {
    "ModelStreamInfer": lambda on, call: on.oip.ModelStreamInfer(one(infer_request("tiny")), call),
    "ModelStreamInfer_loop": lambda on, call: on.oip.ModelStreamInfer(one(infer_request("chars")), call),
    "ClassifyStream": lambda on, call: on.vision.ClassifyStream(
        one(vision_pb2.ClassifyRequest(image=png(), model="tiny")), call
    ),
    "SegmentStream": lambda on, call: on.vision.SegmentStream(
        one(vision_pb2.SegmentStreamRequest(request=segment_request())), call
    ),
    "SegmentStream_skippable": lambda on, call: on.vision.SegmentStream(
        one(vision_pb2.SegmentStreamRequest(request=segment_request(), skippable=True)), call
    ),
}


async def ended(ask: Ask, call: Call, zoo: Path) -> int:
    """Ask for it; how many runs that took."""
    indexes = {"indexes": indexes_of(zoo), "index_writes": True}
    config = Config.model_validate({"repository": zoo, "lanes": 1, "intra_op": 1, **indexes})
    async with Engine(config) as engine:
        gate = Gate(engine)
        oip = OipGrpc(DataPlane(engine, gate, config), gate, config)
        on = SimpleNamespace(oip=oip, vision=vision(endpoints(engine, config), gate, config))
        with suppress(Aborted):
            await ask(on, call)
        return sum(model.statistics.execution_count for model in engine.repository)


@pytest.mark.parametrize("ask", UNARY.values(), ids=UNARY)
async def test_a_call_without_time_left_ends_with_its_status_and_runs_nothing(ask: Ask, zoo: Path) -> None:
    call = Call(0.0)
    assert await ended(ask, call, zoo) == 0
    assert call.status.startswith("DEADLINE_EXCEEDED: ")
    assert call.written == []


@pytest.mark.parametrize("ask", STREAMS.values(), ids=STREAMS)
async def test_a_request_of_a_stream_without_time_left_is_refused_in_its_answer_and_runs_nothing(
    ask: Ask, zoo: Path
) -> None:
    call = Call(0.0)
    assert await ended(ask, call, zoo) == 0
    [refusal] = call.written
    assert "no answer in 0 s" in str(refusal)


@pytest.mark.parametrize("ask", {**UNARY, **STREAMS}.values(), ids=[*UNARY, *STREAMS])
async def test_with_time_left_it_is_answered(ask: Ask, zoo: Path) -> None:
    call = Call(30.0)
    assert await ended(ask, call, zoo) > 0
    assert call.status == ""
