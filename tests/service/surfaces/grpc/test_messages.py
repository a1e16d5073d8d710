"""The messages of the protocol have the fields of what tasks are asked and answer; any other is found at the start."""

from typing import Any

import pytest
from pydantic import BaseModel

from protos.lectorium.v1 import vision_pb2 as pb
from service.surfaces.grpc.messages import MessageMismatch, check_answer, event_writer, reader, writer
from service.tasks.answer import Timing
from service.tasks.caption import Caption
from service.tasks.captioning import CaptionAsk, Captioning, Word
from service.tasks.classification import ClassifyAsk, Label
from service.tasks.classify import Classify
from service.tasks.classify_text import ClassifyText
from service.tasks.embed import Embed
from service.tasks.segment import Segment
from service.tasks.segmentation import (
    ClassInstances,
    ClassOutline,
    Instance,
    Polygon,
    Ring,
    RunLengthMask,
    SegmentClass,
    Segmented,
)

REQUESTS = [
    (pb.ClassifyRequest, ClassifyAsk),
    (pb.ClassifyBatchRequest, Classify.batch_ask),
    (pb.CaptionRequest, CaptionAsk),
    (pb.ClassifyTextRequest, ClassifyText.ask),
    (pb.ClassifyTextBatchRequest, ClassifyText.batch_ask),
    (pb.EmbedRequest, Embed.ask),
    (pb.EmbedBatchRequest, Embed.batch_ask),
    (pb.SegmentRequest, Segment.ask),
    (pb.SegmentBatchRequest, Segment.batch_ask),
]
ANSWERS = [
    (pb.ClassifyResponse, Classify.answer),
    (pb.ClassifyBatchResponse, Classify.batch_answer),
    (pb.Captioning, Captioning),
    (pb.Word, Word),
    (pb.ClassifyTextResponse, ClassifyText.answer),
    (pb.ClassifyTextBatchResponse, ClassifyText.batch_answer),
    (pb.EmbedResponse, Embed.answer),
    (pb.EmbedBatchResponse, Embed.batch_answer),
    (pb.SegmentResponse, Segment.answer),
    (pb.SegmentBatchResponse, Segment.batch_answer),
]


def described(message: Any) -> Any:
    """What the protocol says of it."""
    return message.DESCRIPTOR


@pytest.mark.parametrize(("message", "ask"), REQUESTS)
def test_what_is_not_set_is_what_the_task_has_for_it(message: Any, ask: Any) -> None:
    read = reader(described(message), ask)(message())
    for name, field in ask.model_fields.items():
        if not field.is_required():
            assert getattr(read, name) == field.default


def test_what_is_set_is_read() -> None:
    request = pb.ClassifyRequest(image=b"a", model="b", version="c", top_k=0, views="flip", layer="d")
    wanted = ClassifyAsk.model_construct(image=b"a", model="b", version="c", top_k=0, views="flip", layer="d")
    assert reader(described(pb.ClassifyRequest), ClassifyAsk)(request) == wanted


@pytest.mark.parametrize(("message", "answer"), ANSWERS)
def test_a_message_has_the_fields_of_its_answer_and_of_what_is_in_it(message: Any, answer: type[BaseModel]) -> None:
    check_answer(described(message), answer)


class Other(BaseModel):
    """Has more than the protocol."""

    queue_ms: float
    decode_ms: float
    compute_ms: float
    more: int


class Plain(BaseModel):
    """Has a text where the protocol has a message."""

    model: str
    version: str
    labels: list[Label]
    timing: str


def test_other_fields_are_refused_by_their_names() -> None:
    with pytest.raises(MessageMismatch, match=r"lectorium\.v1\.Timing has the fields \['compute_ms', .*'more'"):
        check_answer(described(pb.Timing), Other)
    with pytest.raises(MessageMismatch, match=r"ClassifyTextResponse\.timing and Plain\.timing: one is a message"):
        check_answer(described(pb.ClassifyTextResponse), Plain)
    with pytest.raises(MessageMismatch, match=r"lectorium\.v1\.ClassifyTextRequest has the fields"):
        reader(described(pb.ClassifyTextRequest), ClassifyAsk)
    with pytest.raises(MessageMismatch, match=r"lectorium\.v1\.Captioning has the fields"):
        writer(described(pb.Captioning), Timing)


def test_an_event_is_the_field_of_its_name() -> None:
    word = Word(word="a", log_probability=-1.0)
    write = event_writer(described(pb.CaptionResponse), _Endpoint())  # type: ignore[arg-type]
    assert write(word, "7") == pb.CaptionResponse(id="7", word=pb.Word(word="a", log_probability=-1.0))


class _Endpoint:
    """What is looked at of one."""

    events = Caption.events
    answer = Caption.answer
    large = Caption.large


def test_a_large_answer_written_in_pieces_is_the_same_message() -> None:
    outline = ClassOutline(
        label="b", index=1, coordinates=[Polygon(rings=[Ring(points=[0, 0, 2, 0, 2, 1, 0, 0]), Ring(points=[1, 1])])]
    )
    one = Segmented(
        height=1,
        width=2,
        classes=[
            SegmentClass(label=label, index=i, colour="#000000", background=not i) for i, label in enumerate("ab")
        ],
        mask=b"png",
        polygons=[outline, outline],
        rle=[RunLengthMask(label="b", index=1, size=[1, 2], counts="11")],
        instances=[ClassInstances(label="b", index=1, count=1, objects=[Instance(box=[1, 0, 1, 1], pixels=1)])],
    )
    timing = Timing(queue_ms=1, decode_ms=2, compute_ms=3)
    answer = Segment.answer(model="m", version="1", **vars(one), timing=timing)
    batch = Segment.batch_answer(model="m", version="1", results=[one, one], timing=timing)
    for message, found in ((pb.SegmentResponse, answer), (pb.SegmentBatchResponse, batch)):
        whole = writer(described(message), type(found))(found, "7")
        assert writer(described(message), type(found), large=True)(found, "7") == whole
        assert whole.id == "7"
