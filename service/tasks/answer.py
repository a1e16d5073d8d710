"""What the answers of all tasks contain."""

from base64 import b64encode
from typing import Annotated

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema

Base64 = Annotated[
    bytes,
    PlainSerializer(lambda value: b64encode(value).decode(), str, when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


class Timing(BaseModel):
    """How long the stages of the request took, in milliseconds."""

    queue_ms: float = Field(description="Waiting in the model's queue.")
    decode_ms: float = Field(
        description="Turning the image file or text into a tensor, including the wait for a decoder."
    )
    compute_ms: float = Field(description="Running the model, together with the other rows of the batch.")
