"""Samples: what `POST /v1/generate[/stream]` and `Vision/Generate[Steps]` do alike."""

import io
from base64 import b64decode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from protos.lectorium.v1 import vision_pb2 as pb
from tests.generate_packages import HEIGHT, LABELS, MAX_COUNT, WIDTH, grey, noise, noisy
from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.captioning import events
from tests.service.surfaces.image_transports import Http, Vision, read_message, without_unset
from tests.service.surfaces.transports import TIMEOUT_S, Refused, refuse, refuse_unless_ok
from tests.serving import Server, eventually

PATH, STREAM = "/v1/generate", "/v1/generate/stream"


class HttpGenerate(Http):
    """`POST /v1/generate`."""

    def generate(self, **fields: Any) -> dict[str, Any]:
        return dict(without_unset(refuse_unless_ok(self.client.post(PATH, json=fields)).json()))


class HttpGenerateStream(Http):
    """`POST /v1/generate/stream`; the previews are left out."""

    def generate(self, **fields: Any) -> dict[str, Any]:
        response = refuse_unless_ok(self.client.post(STREAM, json=fields))
        *previews, (name, answer) = events(response.text)
        assert {name for name, _ in previews} <= {"preview"}
        assert name == "answer", answer
        return dict(without_unset(answer))


class VisionGenerate(Vision):
    """`lectorium.v1.Vision/Generate`."""

    def generate(self, **fields: Any) -> dict[str, Any]:
        return read_message(self._call("Generate", pb.GenerateRequest(**fields)))


class VisionGenerateSteps(Vision):
    """`lectorium.v1.Vision/GenerateSteps`; the previews are left out."""

    def generate(self, **fields: Any) -> dict[str, Any]:
        try:
            *previews, last = self.stub.GenerateSteps(pb.GenerateStepsRequest(**fields), timeout=TIMEOUT_S)
        except grpc.RpcError as error:
            refuse(error)
        assert all(each.WhichOneof("event") == "preview" for each in previews)
        return read_message(last.answer)


Transport = HttpGenerate | HttpGenerateStream | VisionGenerate | VisionGenerateSteps
TRANSPORTS: dict[str, Callable[[Server], Transport]] = {
    "http": HttpGenerate,
    "http_stream": HttpGenerateStream,
    "vision_grpc": VisionGenerate,
    "vision_stream": VisionGenerateSteps,
}


@pytest.fixture(scope="module", params=TRANSPORTS)
def samples(request: pytest.FixtureRequest, server: Server) -> Iterator[Transport]:
    """Each way to ask for samples in turn."""
    with closing(TRANSPORTS[request.param](server)) as transport:
        yield transport


def read(png: bytes | str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png if isinstance(png, bytes) else b64decode(png))))


def test_the_samples_are_those_of_the_seed(samples: Transport) -> None:
    answer = samples.generate(model="greys", count=2, seed=7, steps=5)
    assert answer.keys() == {"model", "version", "images", "height", "width", "labels", "seed", "steps", "timing"}
    assert (answer["model"], answer["version"], int(answer["seed"]), answer["steps"]) == ("greys", "1", 7, 5)
    for row, picture in enumerate(answer["images"]):
        np.testing.assert_array_equal(read(picture), noisy(noise(7, row, (HEIGHT, WIDTH)), 5))


def test_a_label_and_its_guidance(samples: Transport) -> None:
    answer = samples.generate(label="dark", guidance=3.0, truncation=0.0, output="grid", count=4)
    assert answer["labels"] == ["dark"] * 4
    picture = read(answer["grid"])
    assert set(np.unique(picture)) == {grey(4, LABELS.index("dark"), 3.0), 255}


def test_many_callers_get_their_own_samples(samples: Transport) -> None:
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda seed: samples.generate(seed=seed, steps=1 + seed % 7), range(48)))
    for seed, answer in enumerate(answers):
        np.testing.assert_array_equal(read(answer["images"][0]), noisy(noise(seed, 0, (HEIGHT, WIDTH)), 1 + seed % 7))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"count": MAX_COUNT + 1}, f"count is {MAX_COUNT + 1}; model 'greys' allows 1 to {MAX_COUNT}"),
        ({"steps": 101}, "steps is 101; model 'greys' allows 1 to 100"),
        ({"label": "blue"}, "label is 'blue'; model 'greys' allows ['pale', 'dark', '0..1']"),
        ({"label": "dark", "guidance": 6.0}, "guidance is 6; model 'greys' allows 0 to 5"),
        ({"temperature": 2.0}, "temperature is 2; model 'greys' allows none"),
        ({"output": "gif"}, "output is 'gif'; model 'greys' allows ['images', 'grid']"),
    ],
)
def test_a_refusal_says_what_came_and_what_is_allowed(samples: Transport, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused) as caught:
        samples.generate(**fields)
    assert caught.value.code == "INVALID_ARGUMENT"
    assert words in caught.value.message


def test_previews_come_every_so_many_steps(server: Server) -> None:
    asked: dict[str, Any] = {"steps": 7, "every": 2, "seed": 1, "count": 2}
    with closing(Http(server)) as http, closing(Vision(server)) as vision:
        *previews, _ = events(refuse_unless_ok(http.client.post(STREAM, json=asked)).text)
        *responses, _ = vision.stub.GenerateSteps(pb.GenerateStepsRequest(**asked), timeout=TIMEOUT_S)
        assert [event["step"] for _, event in previews] == [each.preview.step for each in responses] == [2, 4, 6]
        for (_, event), response in zip(previews, responses, strict=True):
            assert b64decode(event["grid"]) == response.preview.grid
            found = vision.stub.Generate(pb.GenerateRequest(steps=event["step"], seed=1, count=2, output="grid"))
            assert response.preview.grid == found.grid


def test_a_caller_that_prefers_a_picture_gets_the_grid_itself(server: Server) -> None:
    with httpx.Client(base_url=server.http, timeout=TIMEOUT_S) as client:
        response = client.post(PATH, json={"seed": 3, "count": 4}, headers={"accept": "image/png"})
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        grid = client.post(PATH, json={"seed": 3, "count": 4, "output": "grid"}).json()["grid"]
        assert response.content == b64decode(grid)
        refused = client.post(PATH, json={"output": "images"}, headers={"accept": "image/png"})
        assert refused.status_code == 400
        assert "output is 'images'; with 'accept: image/png' it may be grid" in refused.json()["error"]


def test_a_stream_whose_caller_leaves_takes_no_further_step(server: Server) -> None:
    with httpx.Client(base_url=server.http, timeout=TIMEOUT_S) as client:
        for _ in range(5):
            with client.stream("POST", STREAM, json={"steps": 100, "every": 1, "count": 9}) as response:
                assert next(response.iter_lines()).startswith("event: preview")
    assert eventually(lambda: in_flight(server, "http") == 0)
