"""A form's parts, and what is no form."""

from typing import Any

import pytest

from service.errors import InvalidArgument
from service.surfaces.http.multipart import MAX_TEXT_BYTES, SPARE, Part, read_parts

FORM = "multipart/form-data; boundary=edge"
FILE = b"\r\n--edge--\r\n\0\xff\r\n--edg"  # whatever is in it, its boundary excepted
NAME = b'Content-Disposition: form-data; name="%b"'


def form(*parts: bytes, boundary: bytes = b"edge") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


def text(name: bytes, content: bytes) -> bytes:
    return NAME % name + b"\r\n\r\n" + content


def file(name: bytes, content: bytes) -> bytes:
    return NAME % name + b'; filename="a.png"\r\nContent-Type: image/png\r\n\r\n' + content


def read(body: bytes, content_type: str = FORM, **most: int) -> list[Part]:
    return read_parts(content_type, body, **{"files": 1, "texts": 2, **most})


def test_the_parts_come_in_their_order_byte_for_byte() -> None:
    body = form(text(b"top_k", b"3"), file(b"image", FILE), text(b"model", "Zürich".encode()), boundary=b"another")
    assert read(body, "multipart/form-data; boundary=another") == [
        Part("top_k", b"3", is_file=False),
        Part("image", FILE, is_file=True),
        Part("model", "Zürich".encode(), is_file=False),
    ]


@pytest.mark.parametrize("content", [b"", b"\r\n", b"\r", b"--edge", b"\n--edge\n"])
def test_a_part_may_be_empty_or_look_like_an_end(content: bytes) -> None:
    assert read(form(file(b"image", content))) == [Part("image", content, is_file=True)]


@pytest.mark.parametrize(
    "header",
    [
        b'content-disposition: FORM-DATA; NAME="image"; FileName="a"',
        b"Content-Disposition: form-data; name=image; filename=a",
        b'X-Other: 1\r\nContent-Disposition: form-data; filename="a"; name="image"',
        b'Content-Disposition: form-data; name="image"; filename=""',
        b'Content-Disposition: form-data; name="image"; filename="a"; filename*=UTF-8\'\'a',
    ],
)
def test_a_files_header_may_be_written_in_many_ways(header: bytes) -> None:
    assert read(form(header + b"\r\n\r\nx")) == [Part("image", b"x", is_file=True)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no boundary": ({"body": b"", "content_type": "multipart/form-data"}, "its content-type has no boundary"),
    "another charset": (
        {"body": b"", "content_type": f"{FORM}; charset=utf-7"},
        "is 'utf-7'; it must be utf-8",
    ),
    "nothing": ({"body": b""}, "the form cannot be read: "),
    "no form": ({"body": b"\x89PNG" * 10}, "the form cannot be read: "),
    "another boundary": ({"body": form(file(b"image", b"x"), boundary=b"other")}, "the form cannot be read: "),
    "no end": ({"body": form(file(b"image", b"x"))[:-8]}, "the form cannot be read: "),
    "no name": ({"body": form(b"Content-Disposition: form-data\r\n\r\nx")}, "has no name in its Content-Disposition"),
    "no disposition": ({"body": form(b"Content-Type: image/png\r\n\r\nx")}, "Missing Content-Disposition"),
    "another disposition": ({"body": form(b"Content-Disposition: attachment\r\n\r\nx")}, "Wrong type"),
    "a name not of UTF-8": ({"body": form(text(b"\xff", b""))}, "failed to decode$"),
    "a head without an end": ({"body": b"--edge\r\n" + b"a" * 10_000}, "the form cannot be read: "),
    "too many files": (
        {"body": form(*[file(b"image", b"x")] * (SPARE + 1))},
        f"over {SPARE} files; at most 1",
    ),
    "too many texts": ({"body": form(*[text(b"top_k", b"1")] * 3)}, "over 2 text fields"),
    "a long text": ({"body": form(text(b"layer", bytes(MAX_TEXT_BYTES + 1)))}, "form field 'layer' has over 1048576"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_form_is_refused_in_words(case: str) -> None:
    asked, message = WRONG[case]
    with pytest.raises(InvalidArgument, match=message):
        read(**asked)
