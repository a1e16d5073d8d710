"""Reading a body within bounds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import CallerGone, InvalidArgument, TooLarge
from service.surfaces.http.body import length_header, read_body
from tests.service.surfaces.asgi import DISCONNECT, Receive, body, scope

LIMIT = 10


@pytest.mark.parametrize("chunks", [[b""], [b"abc"], [b"a", b"", b"bc"], [b"0123456789"], [b"01234", b"56789"]])
async def test_the_chunks_come_out_as_one(chunks: list[bytes]) -> None:
    assert await read_body(scope(), Receive(body(*chunks)), LIMIT) == b"".join(chunks)


async def test_an_announced_length_over_the_limit_is_refused_before_anything_is_read() -> None:
    receive = Receive(body(b"a"))
    with pytest.raises(TooLarge, match="has 11 bytes; at most 10 are allowed"):
        await read_body(scope(content_length="11"), receive, LIMIT)
    assert len(receive.left) == 1


async def test_an_announced_length_at_the_limit_is_taken() -> None:
    assert await read_body(scope(content_length="10"), Receive(body(b"0123456789")), LIMIT) == b"0123456789"


async def test_reading_stops_where_the_limit_is_passed() -> None:
    receive = Receive(body(b"01234", b"567890", b"never read"))
    with pytest.raises(TooLarge, match="over 11 bytes; at most 10 are allowed"):
        await read_body(scope(), receive, LIMIT)
    assert len(receive.left) == 1


async def test_a_caller_that_hangs_up_inside_its_body_has_gone() -> None:
    chunks = body(b"abc", b"unsent")[:1]
    with pytest.raises(CallerGone, match="hung up after 3 bytes"):
        await read_body(scope(), Receive([*chunks, DISCONNECT]), LIMIT)


@given(st.integers(0, 10**15 - 1))
def test_a_length_is_read_as_the_number_it_is(length: int) -> None:
    assert length_header(scope(content_length=str(length)), b"content-length") == length


def test_a_length_that_is_not_there_is_none() -> None:
    assert length_header(scope(), b"content-length") is None


@pytest.mark.parametrize("value", ["-1", "+1", "1.0", "1e3", " 1", "0x1", "one", "1" * 16, "1" * 5000, "٣"])
def test_what_is_no_plausible_length_is_refused_by_name(value: str) -> None:
    with pytest.raises(InvalidArgument, match=r"^content-length is .*; it must be a number of bytes$") as caught:
        length_header(scope(content_length=value), b"content-length")
    assert len(str(caught.value)) < 100
