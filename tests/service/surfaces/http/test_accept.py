"""The media type that a caller prefers."""

import pytest

from service.errors import InvalidArgument
from service.surfaces.http.accept import preferred

JSON, PNG = "application/json", "image/png"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
IMAGE_OF_A_PAGE = "image/avif,image/webp,image/apng,image/*,*/*;q=0.8"


def choice(*headers: str) -> str:
    scope = {"headers": [(b"accept", header.encode()) for header in headers] + [(b"accept-language", b"de")]}
    return preferred(scope, (JSON, PNG))


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ((), JSON),
        (("",), JSON),
        (("*/*",), JSON),
        ((BROWSER,), JSON),
        ((IMAGE_OF_A_PAGE,), PNG),
        (("image/png",), PNG),
        (("IMAGE/PNG",), PNG),
        (("image/*",), PNG),
        (("application/*, image/*",), JSON),
        (("image/png, application/json",), JSON),
        (("image/png, */*",), PNG),
        (("image/png;q=0.5, application/json;q=0.4",), PNG),
        (("image/png;q=0.4, application/json; q=0.500",), JSON),
        (("image/png;q=0, */*",), JSON),
        (("application/json;q=0, */*;q=0.1",), PNG),
        (("image/*;q=0.9, image/png;q=0.1, application/json;q=0.5",), JSON),
        (("application/json;q=0.1", "image/png"), PNG),
        (("image/png;level=1;q=0.2, application/json;q=0.1",), PNG),
        (("text/html, image/png;q=0.001",), PNG),
    ],
)
def test_the_quality_decides_then_the_precision_then_the_order(headers: tuple[str, ...], wanted: str) -> None:
    assert choice(*headers) == wanted


@pytest.mark.parametrize("header", ["image/jpeg", "text/html", "image/png;q=0", "*/*;q=0", "a", "image", "image/png/x"])
def test_a_caller_that_takes_neither_is_refused(header: str) -> None:
    with pytest.raises(InvalidArgument, match=r"accept is '.*'; it must allow application/json or image/png"):
        choice(header)


@pytest.mark.parametrize("quality", ["", "2", "1.1", "-1", "0.1234", "high", "nan", "1e9"])
def test_a_quality_that_is_none_is_refused(quality: str) -> None:
    with pytest.raises(InvalidArgument, match="it must be a number from 0 to 1"):
        choice(f"image/png;q={quality}")
