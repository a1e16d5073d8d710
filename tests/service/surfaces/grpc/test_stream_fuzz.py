"""Whatever a stranger sends to generate or on a stream is answered or refused, and harms no other request."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from protos import open_inference_pb2 as pb
from protos.lectorium.v1 import vision_pb2 as pb_vision
from tests.packages import example, expected
from tests.service.surfaces.conversation import Conversation
from tests.service.surfaces.test_fuzz import (
    ABOUT_A_MASK,
    ABOUT_TILES,
    ANYTHING,
    ASKED,
    IMAGE,
    PICTURE,
    SCALARS,
    TEXT,
    check,
    mostly,
)
from tests.service.surfaces.test_segment_stream import Frames, frame
from tests.service.surfaces.transports import model_path
from tests.service.surfaces.vision_conversation import VisionConversation
from tests.serving import Server
from tests.step_packages import LETTERS, chars

NUMBERS = st.integers(-2, 12) | st.floats(-2, 2) | SCALARS
PARAMETERS = st.dictionaries(st.sampled_from(["steps", "seed", "priority", "else"]), NUMBERS, max_size=3)
GENERATE = st.fixed_dictionaries(
    {},
    optional={
        "token": mostly(st.integers(1, 11) | st.lists(st.integers(1, 11), max_size=9)),
        "temperature": mostly(st.floats(0.1, 2) | st.lists(st.floats(0.1, 2), max_size=9)),
        "id": mostly(st.text(st.characters(exclude_categories=["Cs"]), max_size=9)),
        "parameters": mostly(PARAMETERS),
        "text_input": st.just("a"),
    },
)


@pytest.fixture(scope="module")
def client(loops: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=loops.rest, timeout=30) as client:
        yield client


def is_no_letter(message: Any) -> bool:
    """Whether a token of the message, a number or a list of numbers, is none of the alphabet of ``chars``."""
    token = message.get("token") if isinstance(message, dict) else None
    tokens = token if isinstance(token, list) else [token]
    return any(type(each) is int and not 0 <= each < LETTERS for each in tokens)


@given(
    message=GENERATE | ANYTHING,
    model=st.sampled_from(["chars", "chars", "words", "tiny", "é"]),
    call=st.sampled_from(["generate", "generate_stream"]),
)
def test_any_json_is_generated_from_or_refused(client: httpx.Client, message: Any, model: str, call: str) -> None:
    assume(not is_no_letter(message))  # the graph itself fails on such a token, which the server's log must say
    response = client.post(f"{model_path(quote(model))}/{call}", content=orjson.dumps(message))
    if response.headers["content-type"].startswith("text/event-stream"):
        events = [orjson.loads(event.removeprefix("data: ")) for event in response.text.split("\n\n")[:-1]]
        assert events
        assert all("error" not in event for event in events)
    else:
        check(response)


DECODING = st.fixed_dictionaries(
    {},
    optional={
        "strategy": mostly(st.sampled_from(["greedy", "sample", "beam"])),
        **{name: mostly(st.floats(0.1, 1)) for name in ("temperature", "top_p", "length_penalty")},
        **{name: mostly(st.integers(1, 4)) for name in ("top_k", "beam_width", "n_best", "steps")},
        "prefix": mostly(st.sampled_from(["a", "cat dog", "<end>", "giraffe"])),
        "prefix_tokens": mostly(st.lists(st.integers(0, 8), max_size=3) | st.sampled_from(["4,5", "", "4;5", "²"])),
    },
)


@given(parameters=DECODING)
def test_any_way_to_choose_tokens_is_taken_or_refused(server: Server, parameters: Any) -> None:
    message = {"image": [[0, 0], [0, 0]], "parameters": parameters}
    check(httpx.post(f"{server.rest}{model_path('captioner')}/generate", content=orjson.dumps(message)))


PARAMETER = st.builds(pb.InferParameter, int64_param=st.integers(-2, 12)) | st.builds(
    pb.InferParameter, string_param=st.text(st.characters(exclude_categories=["Cs"]), max_size=3)
)
REQUEST = st.builds(
    pb.ModelInferRequest,
    model_name=st.sampled_from(["chars", "chars", "words", "tiny", ""]),
    id=st.sampled_from(["a", "b", ""]),
    inputs=st.lists(
        st.builds(
            pb.ModelInferRequest.InferInputTensor,
            name=st.sampled_from(["token", "temperature", "image"]),
            datatype=st.sampled_from(["INT64", "FP32", "UINT8"]),
            shape=st.lists(st.integers(-1, 3), max_size=3),
        ),
        max_size=2,
    ),
    raw_input_contents=st.lists(st.binary(max_size=24), max_size=2),
    parameters=st.dictionaries(st.sampled_from(["steps", "seed", "priority", "else"]), PARAMETER, max_size=2),
).map(pb.ModelInferRequest.SerializeToString)


@pytest.fixture(scope="module")
def caller(loops: Server) -> Iterator[Conversation]:
    """All of it goes over one stream, which must stay whole."""
    with Conversation(loops, timeout_s=120) as caller:
        yield caller


@given(messages=st.lists(REQUEST | st.binary(max_size=60), max_size=4))
def test_whatever_is_sent_on_a_stream_another_request_of_it_is_answered(
    caller: Conversation, messages: list[bytes]
) -> None:
    for message in messages:
        caller.send(message)
    caller.ask("chars", "good", ["next_token"], seed=5, steps=3)
    left, tokens = len(messages) + 1, []
    while left:
        answer = caller.read()
        left -= answer.final
        if answer.id == "good":
            tokens.append(int(answer.outputs["next_token"][0]))
    assert tokens == chars(5, 3)


VISION_REQUEST = st.builds(pb_vision.ClassifyRequest, image=IMAGE, **ASKED)


@pytest.fixture(scope="module")
def viewer(server: Server) -> Iterator[VisionConversation]:
    """All of it goes over one stream, which must stay whole."""
    with VisionConversation(server, timeout_s=120) as viewer:
        yield viewer


@given(messages=st.lists(VISION_REQUEST.map(lambda m: m.SerializeToString()) | st.binary(max_size=60), max_size=4))
def test_whatever_is_sent_on_a_classify_stream_another_request_of_it_is_answered(
    viewer: VisionConversation, messages: list[bytes]
) -> None:
    for message in messages:
        viewer.send(message)
    viewer.ask(PICTURE, id="the good one", version="1", top_k=1)
    answers = [viewer.read() for _ in range(len(messages) + 1)]
    (good,) = [answer for answer in answers if answer.id == "the good one"]
    assert good.response.labels[0].index == expected(example(1))[0].argmax()
    for answer in answers:
        assert answer.WhichOneof("outcome") == "response" or answer.error.code in ("INVALID_ARGUMENT", "NOT_FOUND")


FRAME = st.builds(
    pb_vision.SegmentStreamRequest,
    request=st.builds(pb_vision.SegmentRequest, image=IMAGE, id=TEXT, **ABOUT_A_MASK, **ABOUT_TILES),
    skippable=st.booleans(),
)


@pytest.fixture(scope="module")
def frames(server: Server) -> Iterator[Frames]:
    """All of it goes over one stream, which must stay whole."""
    with Frames(server, timeout_s=120) as frames:
        yield frames


@given(messages=st.lists(FRAME.map(lambda m: m.SerializeToString()) | st.binary(max_size=60), max_size=4))
def test_whatever_is_sent_as_frames_they_are_answered_in_order_and_a_good_one_with_its_mask(
    frames: Frames, messages: list[bytes]
) -> None:
    for message in messages:
        frames.send(message)
    image, mask = frame(0)
    frames.frame(image, id="the good one")
    *answers, good = [frames.read() for _ in range(len(messages) + 1)]
    assert (good.id, good.response.indices) == ("the good one", mask)
    for answer in answers:
        code = answer.error.code
        assert answer.WhichOneof("outcome") == "response" or code in ("INVALID_ARGUMENT", "NOT_FOUND", "ABORTED")
