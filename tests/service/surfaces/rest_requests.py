"""REST bodies for the tiny model, and how a wrong one is refused."""

from typing import Any

import orjson
import pytest

from tests.packages import example
from tests.service.surfaces.transports import JSON_LENGTH, Refused, Rest, infer_path

PATH = infer_path("tiny")
PIXELS = example(1)
IMAGE = {"name": "image", "datatype": "UINT8", "shape": [1, 4, 4]}
LISTED = {**IMAGE, "data": PIXELS.ravel().tolist()}
BINARY = {**IMAGE, "parameters": {"binary_data_size": 16}}


def body(blobs: bytes = b"", **message: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with those JSON keys, and those bytes behind it."""
    header = orjson.dumps(message)
    return header + blobs, {JSON_LENGTH: str(len(header))}


def refusal(rest: Rest, content: bytes, headers: dict[str, str] | None = None) -> str:
    """The message with which a wrong argument is refused."""
    with pytest.raises(Refused) as caught:
        rest.post(PATH, content, headers or {})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert len(caught.value.message) < 1000
    return caught.value.message
