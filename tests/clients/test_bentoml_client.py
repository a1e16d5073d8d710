"""BentoML's own clients."""

import asyncio
import gc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
    # It calls its own libraries by old names when it is imported.
    from bentoml import AsyncHTTPClient, SyncHTTPClient
    from bentoml.exceptions import BentoMLException, InvalidArgument, NotFound

from tests.packages import CLASSES, example, expected
from tests.pictures import png
from tests.serving import Server

# A closed client leaves its temporary folder to the garbage collector, which mentions it.
pytestmark = pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")

Classify = Callable[..., Any]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    file = tmp_path / "picture.png"
    file.write_bytes(png())
    return file


@pytest.fixture(autouse=True)
def _no_client_left() -> Iterator[None]:
    yield
    gc.collect()


@pytest.fixture(params=["sync", "async"])
def classify(request: pytest.FixtureRequest, server: Server) -> Classify:
    """``classify`` of a client that lives for one call."""

    def call(**arguments: Any) -> Any:
        with SyncHTTPClient(server.http) as client:
            return client.classify(**arguments)

    async def call_async(**arguments: Any) -> Any:
        async with AsyncHTTPClient(server.http) as client:
            return await client.classify(**arguments)

    def run(**arguments: Any) -> Any:
        with asyncio.Runner() as runner:
            return runner.run(call_async(**arguments))

    return call if request.param == "sync" else run


def test_an_image_is_classified_with_nothing_else_said(classify: Classify, picture: Path) -> None:
    answer = classify(image=picture)
    assert (answer["model"], answer["version"]) == ("tiny", "2")
    assert answer["labels"][0]["index"] == expected(example(1), 2)[0].argmax()


def test_model_version_and_top_k_are_understood(classify: Classify, picture: Path) -> None:
    answer = classify(image=picture, model="tiny", version="1", top_k=CLASSES)
    assert (answer["model"], answer["version"]) == ("tiny", "1")
    probabilities = {label["index"]: label["probability"] for label in answer["labels"]}
    np.testing.assert_allclose([probabilities[i] for i in range(CLASSES)], expected(example(1), 1)[0], atol=1e-6)


def test_none_means_the_default(classify: Classify, picture: Path) -> None:
    answer = classify(image=picture, model=None, version=None, top_k=None)
    assert (answer["model"], answer["version"], len(answer["labels"])) == ("tiny", "2", 2)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"model": "nope"}, NotFound, "no model 'nope'"),
        ({"version": "9"}, NotFound, "has no version '9'"),
        ({"top_k": 99}, InvalidArgument, "top_k 99 came; model 'tiny' takes 1 to 3"),
        ({"top_k": "many"}, InvalidArgument, "wants a whole number"),
        ({"model": ["tiny"]}, BentoMLException, "tiny"),
    ],
)
def test_a_refusal_is_the_clients_error_with_the_servers_words(
    classify: Classify, picture: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        classify(image=picture, **arguments)


def test_a_file_that_is_no_image_is_refused(classify: Classify, tmp_path: Path) -> None:
    text = tmp_path / "hello.txt"
    text.write_text("hello")
    with pytest.raises(InvalidArgument, match="the 5 bytes are no image"):
        classify(image=text)


def test_the_client_knows_the_endpoint_and_that_the_server_is_ready(server: Server) -> None:
    with SyncHTTPClient(server.http) as client:
        assert client.is_ready()
        assert list(client.endpoints) == ["classify"]
