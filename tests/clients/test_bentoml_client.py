"""BentoML's own clients."""

import asyncio
import gc
import warnings
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings(category=DeprecationWarning, action="ignore"):
    # It calls its own libraries by old names when it is imported.
    from bentoml import AsyncHTTPClient, SyncHTTPClient
    from bentoml.exceptions import BentoMLException, InvalidArgument, NotFound

from tests.embedding_packages import vectors
from tests.explaining_packages import activation_maps
from tests.packages import CLASSES, example, expected
from tests.pictures import png
from tests.serving import Server
from tests.text_packages import text_probabilities

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
    """An endpoint of a client that lives for one call, ``classify`` where none is named."""

    def call(endpoint: str = "classify", **arguments: Any) -> Any:
        with SyncHTTPClient(server.http) as client:
            return client.call(endpoint, **arguments)

    async def call_async(endpoint: str, **arguments: Any) -> Any:
        async with AsyncHTTPClient(server.http) as client:
            return await client.call(endpoint, **arguments)

    def run(endpoint: str = "classify", **arguments: Any) -> Any:
        with asyncio.Runner() as runner:
            return runner.run(call_async(endpoint, **arguments))

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
        ({"top_k": 99}, InvalidArgument, "top_k is 99; model 'tiny' allows 1 to 3"),
        ({"top_k": "many"}, InvalidArgument, "'top_k' is 'many'; it must be a whole number"),
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
    with pytest.raises(InvalidArgument, match="the 5 bytes are not an image"):
        classify(image=text)


def test_the_client_knows_the_endpoint_and_that_the_server_is_ready(server: Server) -> None:
    with SyncHTTPClient(server.http) as client:
        assert client.is_ready()
        tasks = {"classify", "classify_batch", "caption", "caption_stream", "classify_text", "classify_text_batch"}
        tasks |= {"embed", "embed_batch", "segment", "segment_batch", "segment_tiles"}
        tasks |= {"generate", "generate_steps", "search", "search_add", "search_remove"}
        assert set(client.endpoints) == tasks


def test_views_and_explanation_are_understood(classify: Classify, picture: Path) -> None:
    answer = classify(image=picture, model="seeing", views="flip", explain="cam", explain_label="one", layer=None)
    seen = np.concatenate([example(1), example(1)[:, :, ::-1]])
    assert answer["labels"][0]["probability"] == pytest.approx(expected(seen).mean(0).max(), abs=1e-6)
    explanation = answer["explanation"]
    assert (explanation["method"], explanation["label"], explanation["index"]) == ("cam", "one", 1)
    (evidence,) = explanation["evidence"]
    values = np.frombuffer(b64decode(evidence["values"]), "<f4").reshape(evidence["shape"])
    np.testing.assert_allclose(values, activation_maps(example(1))[0, 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("top_k", [1, 4])
def test_texts_are_classified_one_and_several(classify: Classify, top_k: int) -> None:
    texts = ["Zwölf", "a longer one, of another length"]
    one = classify(endpoint="classify_text", text=texts[0], model="letters", top_k=top_k)
    several = classify(endpoint="classify_text_batch", texts=texts, version=None, top_k=top_k)
    assert (one["model"], several["model"]) == ("letters", "letters")
    assert [len(result["labels"]) for result in (one, *several["results"])] == [top_k] * 3
    tops = [result["labels"][0]["index"] for result in (one, *several["results"])]
    assert tops == [text_probabilities(text).argmax() for text in (texts[0], *texts)]


def test_a_text_that_is_refused_is_the_clients_error(classify: Classify) -> None:
    with pytest.raises(InvalidArgument, match="the text is empty"):
        classify(endpoint="classify_text", text="")


@pytest.mark.parametrize("normalize", [True, False, None])
def test_images_are_embedded_one_and_several(classify: Classify, picture: Path, normalize: bool | None) -> None:
    asked = {"model": "vectors", "normalize": normalize}
    one = classify(endpoint="embed", image=picture, **asked)
    several = classify(endpoint="embed_batch", images=[picture, picture], **asked)
    wanted = vectors(example(1))[0]
    for found in (one, *several["results"]):
        np.testing.assert_allclose(
            found["embedding"], wanted / np.linalg.norm(wanted) if normalize else wanted, rtol=1e-6
        )


@pytest.mark.parametrize("opacity", [0.25, None])
def test_images_are_segmented_one_and_several(classify: Classify, picture: Path, opacity: float | None) -> None:
    asked = {"output": "statistics,overlay,polygons", "opacity": opacity}
    one = classify(endpoint="segment", image=picture, **asked)
    several = classify(endpoint="segment_batch", images=[picture, picture], **asked)
    for found in (one, *several["results"]):
        assert sum(each["pixels"] for each in found["classes"]) == example(1).size
        assert b64decode(found["overlay"]).startswith(b"\x89PNG")
        assert (found["mask"], found["rle"]) == (None, [])


def test_several_images_are_classified_at_once(classify: Classify, tmp_path: Path) -> None:
    pictures = example(3, seed=9)
    files = [tmp_path / f"{i}.png" for i in range(3)]
    for file, pixels in zip(files, pictures, strict=True):
        file.write_bytes(png(pixels))
    answer = classify(endpoint="classify_batch", images=files, version="1", top_k=1)
    tops = [result["labels"][0]["index"] for result in answer["results"]]
    assert (answer["version"], tops) == ("1", list(expected(pictures).argmax(1)))


def test_an_image_of_several_that_is_refused_is_named(classify: Classify, picture: Path, tmp_path: Path) -> None:
    text = tmp_path / "hello.txt"
    text.write_text("hello")
    with pytest.raises(InvalidArgument, match=r"images\[1\]: the 5 bytes are not an image"):
        classify(endpoint="classify_batch", images=[picture, text])
