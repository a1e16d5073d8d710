"""Whatever is wrong with one package, the others are loaded and served, and the server says what is wrong."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil  # type: ignore[import-untyped]
import pytest

from tests.bare_packages import adder, endless, stuck, write_bare
from tests.packages import change_card, example, write_package
from tests.service.surfaces.oip.repository_calls import RestRepository
from tests.service.surfaces.refusals import refusal_to_start
from tests.service.surfaces.transports import Grpc, Refused, Rest, tensor
from tests.serving import Server, eventually

pytestmark = pytest.mark.server

MANY = 10**12


@contextmanager
def live(folder: Path, home: Path, **settings: Any) -> Iterator[Server]:
    """A server that takes requests, ready or not; it must end well."""
    server = Server(folder, home, **settings)
    server.process = server.launch()
    try:
        assert eventually(lambda: server.answers("/livez")), server.log
        yield server
    finally:
        assert server.stop(within_s=20) == 0, server.log
    assert "Traceback" not in server.log, server.log


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A repository of one good package, `tiny`."""
    write_package(tmp_path / "zoo")
    return tmp_path / "zoo"


def fifo(folder: Path) -> None:
    (folder / "fifo/1").mkdir(parents=True)
    os.mkfifo(folder / "fifo/1/model.onnx")


def test_neither_a_fifo_nor_an_absurd_number_takes_anything_from_others(folder: Path, tmp_path: Path) -> None:
    with Server(folder, tmp_path / "home", model_control="explicit") as server, closing(Rest(server)) as rest:
        models = RestRepository(rest)
        fifo(folder)
        change_card(write_package(folder, "huge"), "graph.max_batch", MANY)
        before = psutil.Process(server.process.pid).memory_info().rss
        with pytest.raises(Refused, match=r"fifo/1/model.onnx is a FIFO; a package may have only regular files"):
            models.load("fifo")
        with pytest.raises(Refused, match=r"huge/1/model.json: classify.graph.max_batch: .*less than or equal to"):
            models.load("huge")
        write_bare(folder, adder(), "good")
        models.load("good")
        assert psutil.Process(server.process.pid).memory_info().rss - before < 200 << 20
        rest.infer("tiny", [tensor(example(2))])


def test_names_of_files_that_are_no_text_and_links_in_a_circle_are_refused_in_words(
    folder: Path, tmp_path: Path
) -> None:
    for name in ("strange", "circle"):
        write_bare(folder, adder(), name)
    os.mkfifo(os.fsencode(folder / "strange/1") + b"/\xff")
    (folder / "circle/1/weights.bin").symlink_to("weights.bin")
    (folder / "flat").mkdir()
    Path(os.fsdecode(os.fsencode(folder / "flat") + b"/\xff.onnx")).touch()
    with live(folder, tmp_path / "home", model_control="explicit") as server, closing(Rest(server)) as rest:
        reasons = {row["name"]: row["reason"] for row in RestRepository(rest).index()}
        assert reasons["strange"].startswith("strange/1/\\udcff is a FIFO")
        assert reasons["circle"] == "circle: Too many levels of symbolic links"
        assert reasons["flat"].startswith("flat/\\udcff.onnx: is directly in the model's folder")
        assert "not loaded: circle: Too many" in httpx.get(server.http + "/readyz").text


def why_refused(load: Callable[[], object]) -> str:
    with pytest.raises(Refused) as refused:
        load()
    return refused.value.message


def test_a_load_that_never_ends_is_left_behind_others_go_on_and_sigterm_ends_the_server(
    folder: Path, tmp_path: Path
) -> None:
    write_bare(folder, stuck(), "stuck")
    with live(folder, tmp_path / "home", model_control="explicit", load_s=1) as server, closing(Rest(server)) as rest:
        models = RestRepository(rest)
        rest.infer("tiny", [tensor(example(2))])
        reason = "1 model is not loaded: stuck: not loaded within load_s, 1 s"
        assert httpx.get(server.http + "/readyz").json() == {"error": reason}
        assert "model stuck: its load has taken longer than 1 s and is abandoned" in server.log
        write_bare(folder, adder(), "good")
        models.load("good")
        for _ in range(3):
            with pytest.raises(Refused, match="stuck: not loaded within load_s, 1 s"):
                models.load("stuck")
        # One that a busy machine had not let begin in a second has ended, and leaves room for another.
        while "still run" not in why_refused(lambda: models.load("stuck")):
            pass
        with pytest.raises(Refused, match="4 loads that took longer than load_s, 1 s, still run; no other load starts"):
            models.load("good")
        rest.infer("tiny", [tensor(example(2))])
    assert "the process ends while loads still run" in server.log


def test_a_graph_that_runs_for_ever_is_stopped_with_its_load(folder: Path, tmp_path: Path) -> None:
    write_bare(folder, endless(), "endless")
    with live(folder, tmp_path / "home", model_control="explicit", load_s=1) as server, closing(Rest(server)) as rest:
        for _ in range(5):  # more than may be left behind
            with pytest.raises(Refused, match="endless: not loaded within load_s, 1 s"):
                RestRepository(rest).load("endless")
        process = psutil.Process(server.process.pid)
        assert eventually(lambda: process.cpu_percent(interval=0.2) < 20)
    assert "the process ends while loads still run" not in server.log


def test_sigterm_ends_a_server_that_still_loads(folder: Path, tmp_path: Path) -> None:
    write_bare(folder, endless(), "endless")
    server = Server(folder, tmp_path / "home")
    server.process = server.launch()
    process = psutil.Process(server.process.pid)
    assert eventually(lambda: process.cpu_times().user > 2)
    assert server.stop() == 0, server.log
    assert "Traceback" not in server.log


def spoil(folder: Path) -> None:
    """Two packages that cannot be loaded, beside a good one."""
    (write_package(folder, "bad") / "labels.txt").unlink()
    (write_package(folder, "worse") / "model.json").write_text("{")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_start_that_is_refused_names_every_package_that_cannot_be_loaded(
    folder: Path, tmp_path: Path, workers: int
) -> None:
    spoil(folder)
    said = refusal_to_start(Server(folder, tmp_path / "home", workers=workers))
    assert "2 models cannot be loaded:" in said
    assert "bad/1/labels.txt is missing; the card names it" in said
    assert "worse/1/model.json: card: Invalid JSON" in said


def test_a_server_told_to_serve_the_rest_does_and_says_which_models_are_missing(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    with live(folder, tmp_path / "home", on_load_failure="serve") as server, closing(Rest(server)) as rest:
        rest.infer("tiny", [tensor(example(2))])
        answer = httpx.get(server.http + "/readyz")
        assert answer.status_code == 503
        why = answer.json()["error"]
        assert why.startswith("2 models are not loaded: bad/1/labels.txt is missing; ")
        assert "; worse/1/model.json: " in why
        ready = httpx.get(server.rest + "/v2/health/ready")
        assert (ready.status_code, ready.json()) == (400, {"ready": False, "reason": why})
        with closing(Grpc(server)) as grpc:
            assert [grpc.ready(), grpc.ready("tiny")] == [False, True]


def test_a_server_told_to_refuse_does_though_requests_could_mend_it(folder: Path, tmp_path: Path) -> None:
    spoil(folder)
    settings = {"model_control": "explicit", "on_load_failure": "refuse"}
    assert "2 models cannot be loaded:" in refusal_to_start(Server(folder, tmp_path / "home", **settings))


def test_a_model_laid_out_otherwise_is_named_with_what_the_layout_must_be(folder: Path, tmp_path: Path) -> None:
    graph = write_bare(folder, adder(), "good") / "model.onnx"
    for place in ("flat/model.onnx", "letter/v1/model.onnx", "pb/1/mymodel.onnx", "two words/1/model.onnx"):
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(graph.read_bytes())
    (folder / "loose.onnx").write_bytes(graph.read_bytes())
    flat = "flat/model.onnx: is directly in the model's folder; the layout is <repository>/<name>/<version>/model.onnx"
    letter = "letter/v1: is no version; versions are whole numbers from 1, as in letter/1/model.onnx"
    other_name = "there is mymodel.onnx: without a card, its name must be model.onnx"
    with live(folder, tmp_path / "home", model_control="explicit") as server, closing(Rest(server)) as rest:
        models = RestRepository(rest)
        for words in (
            flat,
            letter,
            other_name,
            "loose.onnx: is directly in the repository",
            "'two words' is no valid model name",
        ):
            assert words in server.log
        reasons = {row["name"]: row["reason"] for row in models.index()}
        for name, words in (("flat", flat), ("letter", letter), ("pb", other_name)):
            assert words in reasons[name]
            with pytest.raises(Refused) as refused:
                models.load(name)
            assert words in refused.value.message
        assert other_name in httpx.get(server.http + "/readyz").text


def test_a_new_broken_model_is_not_said_to_be_served_on(folder: Path, tmp_path: Path) -> None:
    with Server(folder, tmp_path / "home", model_control="poll", poll_s=0.05) as server:
        (write_package(folder, "new") / "labels.txt").unlink()
        assert eventually(lambda: "model new: not loaded: new/1/labels.txt" in server.log)
        (folder / "tiny/1/labels.txt").unlink()
        words = "model tiny: its files have changed and cannot be served; the old ones still are: tiny/1/labels.txt"
        assert eventually(lambda: words in server.log)
        assert "stays" not in server.log.split("model new: ")[1].split("\n")[0]
