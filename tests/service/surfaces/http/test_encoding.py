"""Undoing a body's Content-Encoding within bounds."""

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidArgument, TooLarge
from service.surfaces.http.disconnect import Scope
from service.surfaces.http.encoding import decoded
from tests.service.surfaces.asgi import scope

LIMIT = 1 << 16
ENCODERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
encodings = pytest.mark.parametrize("encoding", ENCODERS)


def undone(scope: Scope, body: bytes, limit: int) -> bytes:
    return asyncio.run(decoded(scope, body, limit))


@encodings
@given(plain=st.binary(max_size=1000))
def test_a_body_comes_out_as_it_was_before_its_encoding(encoding: str, plain: bytes) -> None:
    assert undone(scope(content_encoding=encoding), ENCODERS[encoding](plain), LIMIT) == plain


@pytest.mark.parametrize("headers", [{}, {"content_encoding": "identity"}, {"content_encoding": ""}])
def test_a_body_without_encoding_is_left_alone(headers: dict[str, str]) -> None:
    assert undone(scope(**headers), b"plain", LIMIT) == b"plain"


def test_the_encoding_is_named_in_any_case() -> None:
    assert undone(scope(content_encoding=" GZip"), gzip.compress(b"plain"), LIMIT) == b"plain"


@encodings
def test_a_body_that_would_grow_over_the_limit_is_refused(encoding: str) -> None:
    bomb = ENCODERS[encoding](bytes(LIMIT + 1))
    assert len(bomb) < 200
    with pytest.raises(TooLarge, match=f"the {encoding} body holds over {LIMIT} bytes"):
        undone(scope(content_encoding=encoding), bomb, LIMIT)


@encodings
def test_a_body_that_grows_to_the_limit_is_taken(encoding: str) -> None:
    assert len(undone(scope(content_encoding=encoding), ENCODERS[encoding](bytes(LIMIT)), LIMIT)) == LIMIT


@encodings
def test_a_truncated_body_is_refused(encoding: str) -> None:
    for end in range(1, len(whole := ENCODERS[encoding](b"the whole of it"))):
        with pytest.raises(InvalidArgument, match=f"the {encoding} body is truncated"):
            undone(scope(content_encoding=encoding), whole[:end], LIMIT)


@encodings
def test_what_follows_the_end_is_refused(encoding: str) -> None:
    with pytest.raises(InvalidArgument, match=f"3 bytes follow the end of the {encoding} body"):
        undone(scope(content_encoding=encoding), ENCODERS[encoding](b"plain") + b"abc", LIMIT)


@encodings
def test_a_body_of_another_kind_is_refused(encoding: str) -> None:
    with pytest.raises(InvalidArgument, match=f"the body's 13 bytes are not {encoding}"):
        undone(scope(content_encoding=encoding), b'{"inputs":[]}', LIMIT)


def test_an_unknown_encoding_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="content-encoding is 'br'; allowed are gzip, deflate and none"):
        undone(scope(content_encoding="br"), b"", LIMIT)
