"""A caller of ClassifyStream that sends and reads when the test says so."""

from typing import Any

from protos.lectorium.v1 import vision_pb2 as pb
from tests.service.surfaces.conversation import StreamCall
from tests.service.surfaces.transports import TIMEOUT_S
from tests.serving import Server

METHOD = "/lectorium.v1.Vision/ClassifyStream"


class VisionConversation(StreamCall[pb.ClassifyStreamResponse]):
    """A call of ClassifyStream."""

    def __init__(self, server: Server, timeout_s: float = TIMEOUT_S) -> None:
        super().__init__(server, METHOD, pb.ClassifyStreamResponse.FromString, timeout_s)

    def ask(self, image: bytes, **fields: Any) -> None:
        """Send one request."""
        self.send(pb.ClassifyRequest(image=image, **fields).SerializeToString())
