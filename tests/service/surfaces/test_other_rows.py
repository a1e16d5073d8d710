"""Graphs that answer other rows than came, over the wire: each of many callers at once gets its own."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto

from tests.bare_packages import adder, box_suppressor, compressor, some_rows, unique_rows, write_bare
from tests.lying_packages import MAX_BATCH, numbered, write_carded
from tests.needs import needs
from tests.service.surfaces.transports import Grpc, Rest, TensorTransport, tensor
from tests.serving import Server

CALLERS = 32
REQUESTS = 6
HUGE = 2e6
Transport = Callable[[Server], TensorTransport]


def boxes(count: int, seed: int) -> Any:
    """Of which some lie on one another, (count, 4)."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 3, (count, 2)) * 10 + random.random((count, 2))
    return np.concatenate([corners, corners + 9], axis=1).astype("f4")


def with_huge(count: int, seed: int) -> Any:
    """Now and then one whose last row is spoiled: `some_rows` then leaves the first one away."""
    rows = numbered(count, seed)
    rows[-1, 2] = HUGE if seed % 10 == 7 else rows[-1, 2]
    return rows


MODELS: dict[str, tuple[ModelProto, Callable[[int, int], Any]]] = {
    "compress": (compressor(), numbered),
    "unique": (unique_rows("N"), lambda count, seed: np.repeat(numbered(count, seed), 2, axis=0)[::-1]),
    "suppress": (box_suppressor(), boxes),
    "some": (some_rows(HUGE / 2), with_huge),
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each of `MODELS` as a bare graph and, as ``carded-<name>``, with a card; and ``adder``, which keeps its rows."""
    folder = tmp_path_factory.mktemp("other_rows")
    for name, (model, _) in MODELS.items():
        write_bare(folder, model, name)
        write_carded(folder, model, f"carded-{name}")
    write_bare(folder, adder(), "adder")
    return folder


@pytest.fixture(scope="module")
@needs("server")
def serving(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(repository, tmp_path_factory.mktemp("serving") / "home", lanes=2, default_models="") as server:
        yield server


def ask(server: Server, transport: Transport, model: str, asked: list[Any]) -> list[Any]:
    """What one caller is answered, request by request."""
    with closing(transport(server)) as caller:
        return [caller.infer(model, [tensor(x, "x")]).outputs["y"] for x in asked]


WAYS = [(f"{card}{name}", Rest) for card in ("", "carded-") for name in MODELS] + [
    ("unique", Grpc),
    ("carded-some", Grpc),
]


@pytest.mark.parametrize(
    ("model", "transport"), WAYS, ids=[f"{name}-{'grpc' if way is Grpc else 'rest'}" for name, way in WAYS]
)
def test_each_of_many_callers_at_once_gets_what_its_request_alone_gives(
    model: str, transport: Transport, serving: Server, repository: Path
) -> None:
    rows = MODELS[model.removeprefix("carded-")][1]
    asked = [[rows(1 + (caller + i) % 3, 100 * caller + i) for i in range(REQUESTS)] for caller in range(CALLERS)]
    with ThreadPoolExecutor(CALLERS) as pool:
        answers = list(pool.map(lambda mine: ask(serving, transport, model, mine), asked))
    alone: Any = ort.InferenceSession(repository / model / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    for mine, came in zip(asked, answers, strict=True):
        for x, y in zip(mine, came, strict=True):
            np.testing.assert_array_equal(y, alone.run(None, {"x": x})[0])


@pytest.mark.parametrize("transport", [Rest, Grpc])
def test_the_configuration_says_that_requests_share_no_runs(
    transport: type[Rest] | type[Grpc], serving: Server
) -> None:
    with closing(transport(serving)) as oip:
        assert oip.model_config("adder").max_batch_size == 32
        for name in ("compress", "unique", "suppress", "carded-compress"):
            found = oip.model_config(name)
            assert found.max_batch_size == 0
            assert [*found.input[0].dims] == [*found.output[0].dims] == [-1, 4]


def test_the_card_of_a_bare_graph_says_why_requests_share_no_runs(serving: Server) -> None:
    card = httpx.get(f"{serving.http}/v1/models/unique").json()
    assert (
        card["description"]
        == "Each request has a run of its own: Unique in the graph may return other rows than it gets."
    )


@pytest.mark.server
def test_the_configuration_changes_once_a_run_has_shown_that_the_card_is_wrong(tmp_path: Path) -> None:
    write_carded(tmp_path / "zoo", some_rows(HUGE / 2), "carded-some")
    with Server(tmp_path / "zoo", tmp_path / "home", default_models="") as server, closing(Rest(server)) as oip:
        assert oip.model_config("carded-some").max_batch_size == MAX_BATCH
        x = with_huge(2, 7)
        np.testing.assert_array_equal(oip.infer("carded-some", [tensor(x, "x")]).outputs["y"], x[1:])
        assert oip.model_config("carded-some").max_batch_size == 0
        assert "from now on each request has runs of its own: its output 'y' has 1 rows after a run of 2" in server.log
