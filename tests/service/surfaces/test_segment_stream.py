"""SegmentStream: the frames of a video, answered in order over a real connection."""

from typing import Any

import numpy as np
from PIL import Image

from protos.lectorium.v1 import vision_pb2 as pb
from tests.pictures import encoded
from tests.segment_packages import HEIGHT, WIDTH, segmented
from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.conversation import StreamCall
from tests.service.surfaces.transports import TIMEOUT_S
from tests.serving import Server, eventually

METHOD = "/lectorium.v1.Vision/SegmentStream"
LARGE = encoded(Image.new("RGB", (4000, 3000), (0, 0, 255)), "PNG")  # takes longer to decode than others to arrive


class Frames(StreamCall[pb.SegmentStreamResponse]):
    """A call of SegmentStream."""

    def __init__(self, server: Server, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(server, METHOD, pb.SegmentStreamResponse.FromString, timeout_s)

    def frame(self, image: bytes, *, skippable: bool = False, **fields: Any) -> None:
        """Send one frame."""
        fields = {"model": "colours", "output": "indices", **fields}
        request = pb.SegmentRequest(image=image, **fields)
        self.send(pb.SegmentStreamRequest(request=request, skippable=skippable).SerializeToString())


def frame(seed: int) -> tuple[bytes, bytes]:
    """An image file of the model's size, and the class indices of its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype="u1")
    return encoded(Image.fromarray(pixels), "PNG"), segmented(pixels[None]).mask[0].tobytes()


def test_frames_are_answered_in_their_order_each_with_its_own_mask(server: Server) -> None:
    frames = [frame(seed) for seed in range(200)]
    with Frames(server) as caller:
        caller.frame(LARGE, output="statistics", id="large")  # the others are done before it
        for i, (image, _) in enumerate(frames):
            caller.frame(image, id=f"frame-{i}")
        first, *answers = caller.read_all()
    assert (first.id, first.response.width, first.response.height) == ("large", 4000, 3000)
    assert [answer.id for answer in answers] == [f"frame-{i}" for i in range(200)]
    assert [answer.response.indices for answer in answers] == [mask for _, mask in frames]


def test_frames_that_come_too_late_are_skipped_and_the_newest_is_answered(server: Server) -> None:
    frames = [frame(seed) for seed in range(50)]
    with Frames(server) as caller:
        caller.frame(LARGE, output="statistics", skippable=True)
        assert eventually(lambda: in_flight(server, "vision_grpc") == 1)
        for image, _ in frames:
            caller.frame(image, skippable=True)
        first, *answers = caller.read_all()
    assert first.response.width == 4000
    assert [answer.id for answer in answers] == [str(i) for i in range(2, 52)]
    assert answers[-1].response.indices == frames[-1][1]
    skipped = [answer for answer in answers if answer.HasField("error")]
    assert skipped
    for answer in skipped:
        assert answer.error.code == "ABORTED"
        newer = int(answer.id) + 1
        assert answer.error.message == f"frame '{answer.id}' was skipped: '{newer}' arrived before its turn"
    labels = {"model": "", "surface": "vision_grpc", "reason": "skipped"}
    assert server.metric("lectorium_rejections_total", **labels) >= len(skipped)


def test_a_frame_that_is_refused_is_answered_in_its_turn_and_the_stream_goes_on(server: Server) -> None:
    image, mask = frame(0)
    with Frames(server) as caller:
        caller.frame(LARGE, output="statistics")
        caller.frame(b"a cat", id="cat")
        caller.send(b"\xff" * 100)
        caller.send(b"")
        caller.frame(image, output="svg")
        caller.frame(image, id="good")
        answers = caller.read_all()
    found = [(answer.id, answer.error.code, answer.error.message[:40]) for answer in answers[1:-1]]
    assert found == [
        ("cat", "INVALID_ARGUMENT", "the 5 bytes are not an image in PNG, JPE"),
        ("3", "INVALID_ARGUMENT", "the request's 100 bytes cannot be read: "),
        ("4", "INVALID_ARGUMENT", "the image has 0 bytes"),
        ("5", "INVALID_ARGUMENT", "output is 'svg'; model 'colours' allows "),
    ]
    assert (answers[-1].id, answers[-1].response.indices) == ("good", mask)


def test_a_caller_that_leaves_ends_its_frames(server: Server) -> None:
    with Frames(server) as caller:
        for _ in range(5):
            caller.frame(LARGE, output="statistics", skippable=True)
        assert eventually(lambda: in_flight(server, "vision_grpc") > 0)
        caller.call.cancel()
        assert eventually(lambda: in_flight(server, "vision_grpc") == 0)
