"""Segmentation in tiles over real connections: streamed, bounded in memory, and ended when the caller leaves."""

import io
import time
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import orjson
import pytest
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray
from PIL import Image

from protos.lectorium.v1 import vision_pb2, vision_pb2_grpc
from tests.needs import needs
from tests.pictures import encoded
from tests.segment_packages import segmented, untiled, write_segment_package
from tests.service.surfaces.callers import in_flight
from tests.service.surfaces.transports import TIMEOUT_S, Grpc, open_channel
from tests.serving import Server, eventually

REACH = 2
HEIGHT, WIDTH = 180, 240
STREAM = "/v1/segment/stream"
MOST_RESIDENT = 1_500 << 20
OPTIONS = {"output": "statistics,mask", "overlap": 2 * REACH}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`colours`, trained at 240x180."""
    folder = tmp_path_factory.mktemp("tiles")
    size = {"height": HEIGHT, "width": WIDTH}
    write_segment_package(folder, reach=REACH, preprocessing={"tensor": "image", "colour": "rgb", **size})
    return folder


@pytest.fixture(scope="module")
@needs("server")
def tiling(zoo: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(zoo, tmp_path_factory.mktemp("server") / "home", max_request_bytes=16 << 20) as server:
        yield server


def picture(width: int, height: int) -> NDArray[np.uint8]:
    """Blocks of 5x5 pixels of random colours, (H, W, 3)."""
    small = np.random.default_rng(0).integers(0, 256, (-(-height // 5), -(-width // 5), 3), dtype="u1")
    return np.kron(small, np.ones((5, 5, 1), "u1"))[:height, :width]


def read(png: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(b64decode(png))))


def by_http(server: Server, image: bytes, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    """The events of the stream, by name, and at last the answer."""
    found = httpx.post(server.http + STREAM, files={"image": image}, data=fields, timeout=TIMEOUT_S)
    assert found.status_code == 200, found.text
    lines = [event.split("\n") for event in found.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))) for name, data in lines]


def by_grpc(server: Server, image: bytes, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    with open_channel(server) as channel:
        request = vision_pb2.SegmentRequest(image=image, id="7", **fields)
        responses = list(vision_pb2_grpc.VisionStub(channel).SegmentTiles(request, timeout=TIMEOUT_S))
    assert {response.id for response in responses} == {"7"}
    return [
        (
            name := response.WhichOneof("event"),
            MessageToDict(
                getattr(response, name), preserving_proto_field_name=True, always_print_fields_with_no_presence=True
            ),
        )
        for response in responses
    ]


@pytest.mark.parametrize("ask", [by_http, by_grpc])
def test_the_mask_of_each_tile_is_streamed_and_then_the_answer(
    ask: Callable[..., list[tuple[str, dict[str, Any]]]], tiling: Server, zoo: Path
) -> None:
    pixels = picture(700, 500)
    *tiles, (last, answer) = ask(tiling, encoded(Image.fromarray(pixels), "PNG"), **OPTIONS)
    assert (last, answer["width"], answer["height"]) == ("answer", 700, 500)
    joined = np.full((500, 700), 255, "u1")
    for number, (name, tile) in enumerate(tiles, 1):
        assert (name, tile["number"], tile["tiles"]) == ("tile", number, len(tiles))
        part = np.s_[tile["top"] : tile["top"] + tile["height"], tile["left"] : tile["left"] + tile["width"]]
        joined[part] = read(tile["mask"])
    wanted = untiled(zoo / "colours" / "1", pixels[None])
    np.testing.assert_array_equal(joined, wanted.mask[0])
    np.testing.assert_array_equal(read(answer["mask"]), wanted.mask[0])
    assert [each["pixels"] for each in answer["classes"]] == wanted.area[0].tolist()


def test_the_answer_alone_and_the_picture_alone_are_the_same(tiling: Server, zoo: Path) -> None:
    pixels = picture(500, 300)
    image = encoded(Image.fromarray(pixels), "PNG")
    fields = {"tile": "true", "overlap": str(2 * REACH)}
    answer = httpx.post(tiling.http + "/v1/segment", files={"image": image}, data=fields, timeout=TIMEOUT_S).json()
    head = {"content-type": "image/png", "accept": "image/png"}
    alone = httpx.post(tiling.http + "/v1/segment", content=image, params=fields, headers=head, timeout=TIMEOUT_S)
    assert alone.content == b64decode(answer["mask"])
    np.testing.assert_array_equal(read(answer["mask"]), untiled(zoo / "colours" / "1", pixels[None]).mask[0])


def test_twelve_million_pixels_are_tiled_in_little_memory(tiling: Server) -> None:
    pixels = np.tile(picture(200, 150), (20, 20, 1))
    image = encoded(Image.fromarray(pixels), "PNG")
    *tiles, (_, answer) = by_http(tiling, image, output="statistics,mask")
    assert (answer["width"], answer["height"], len(tiles)) == (4000, 3000, tiles[0][1]["tiles"])
    assert sum(each["pixels"] for each in answer["classes"]) == 12_000_000
    inside = segmented(pixels[None, 1000:1100, 1000:1100]).mask[0][2::5, 2::5]  # the middle of each block
    np.testing.assert_array_equal(read(answer["mask"])[1002:1100:5, 1002:1100:5], inside)
    status = Path(f"/proc/{tiling.process.pid}/status").read_text()
    (peak,) = [int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM")]
    assert peak < MOST_RESIDENT


def rows_run(server: Server) -> int:
    """How many tiles have been run for anybody."""
    oip = Grpc(server)
    (found,) = oip.statistics("colours")
    oip.close()
    return int(found.inference_count)


def test_no_tile_is_run_for_a_caller_that_has_left(tiling: Server) -> None:
    image = encoded(Image.fromarray(np.tile(picture(200, 150), (20, 20, 1))), "PNG")
    before = rows_run(tiling)
    files = {"image": image}
    with httpx.stream("POST", tiling.http + STREAM, files=files, timeout=TIMEOUT_S) as answer:
        first = next(line for line in answer.iter_lines() if line.startswith("data: "))
    tiles = orjson.loads(first.removeprefix("data: "))["tiles"]
    assert eventually(lambda: in_flight(tiling, "http") == 0)
    assert eventually(lambda: not running(tiling))
    assert rows_run(tiling) - before < tiles


def running(server: Server) -> bool:
    """Whether tiles are still run; a batch that has begun ends."""
    before = rows_run(server)
    time.sleep(0.3)
    return rows_run(server) > before


@pytest.mark.parametrize("ask", [by_http, by_grpc])
def test_an_error_before_the_first_tile_is_the_answer(ask: Callable[..., Any], tiling: Server) -> None:
    with pytest.raises((AssertionError, grpc.RpcError), match="overlap is 91; model 'colours' with tiles of 240x180"):
        ask(tiling, encoded(Image.new("RGB", (9, 9)), "PNG"), overlap=91)
