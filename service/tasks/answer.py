"""What the answers of all tasks have in common."""

from base64 import b64encode
from typing import Annotated

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

Base64 = Annotated[
    bytes,
    PlainSerializer(lambda value: b64encode(value).decode(), str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class Timing(BaseModel):
    """Where the time went, in milliseconds."""

    queue_ms: float = Field(description="Waiting for a lane.")
    decode_ms: float = Field(description="Image file or text to tensor, waiting for a decoder included.")
    compute_ms: float = Field(description="In the lane; shared with the rows of the same batch.")
