"""The GPU's bench, by the code that runs there, on the CPU's provider with memory of its own."""

import json
import math
from pathlib import Path
from shutil import copytree

import onnxruntime as ort
import pytest

from deploy.bench.gpu import __main__ as bench
from deploy.bench.gpu import memory, recording, served, steps, zoo
from deploy.bench.gpu.resnet50 import resnet50
from deploy.bench.plan import Plan
from deploy.bench.subject import WrongAnswer
from service.engine.device import CPU, CPU_PROVIDER, CUDA_PROVIDER, Device
from service.engine.nvml import Reading
from service.errors import InvalidPackage
from service.package import Loop, Package, read_package
from tests.bench.tools import needs_generators
from tests.needs import needs
from tests.step_packages import write_chars, write_diffusion

OWN = Device("cpu", own_memory=True)
SHORTEST = Plan(rounds=1, block_s=1, calls=3)
NARROW = {"depths": (1, 1), "widths": (8, 16)}


@pytest.fixture(scope="module")
@needs("export")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a ResNet-50 that is neither wide nor deep; read it only."""
    repository = tmp_path_factory.mktemp("narrow")
    resnet50(repository, NARROW)
    return repository


@pytest.fixture(scope="module")
def decoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty repository, where the first to measure steps writes the decoders."""
    return tmp_path_factory.mktemp("decoders")


@pytest.mark.skipif(CUDA_PROVIDER in ort.get_available_providers(), reason="this onnxruntime has CUDA")
def test_without_cuda_it_stops_with_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench-gpu"])
    with pytest.raises(SystemExit) as left:
        bench.main()
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("bench-gpu needs a working CUDA device; there is none: onnxruntime")


def test_a_section_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["bench-gpu", "zoo", "vgg"])
    with pytest.raises(SystemExit):
        bench.main()
    assert "no section vgg" in capsys.readouterr().err


def files(package: Package) -> list[str]:
    """Of its program's graphs."""
    program = package.card.program
    if not isinstance(program, Loop):
        return [program.file]
    return [graph.file for graph in (program.step, program.encoder) if graph]


def test_the_zoo_is_compared_graph_by_graph_and_the_nodes_are_counted() -> None:
    found = {row.what: row for row in zoo.rows(SHORTEST, OWN)}
    packages = [read_package(path.parent) for path in zoo.ZOO.glob("*/*/model.json")]
    for graph in (f"{each.card.name}/{each.card.version} {file}" for each in packages for file in files(each)):
        nodes = found.pop(f"{graph}, nodes on CPU")
        assert (nodes.value, list(nodes.beside)) == (100, [CPU_PROVIDER])
        assert nodes.beside[CPU_PROVIDER] >= 1
        assert found.pop(f"{graph}, CPU against the CPU").value == 0
        if "-int8/" not in graph:
            assert 0 < found.pop(f"{graph}, float16 on CPU against the CPU").value < zoo.FLOAT16_TOLERANCE
    assert not found


def test_both_graphs_of_a_loop_are_compared(tmp_path: Path) -> None:
    write_diffusion(tmp_path)
    write_chars(tmp_path)
    found = [row.what for row in zoo.rows(SHORTEST, OWN, tmp_path)]
    graphs = ("chars/1 model", "diffusion/1 model", "diffusion/1 encoder")
    assert found[::3] == [f"{graph}.onnx, nodes on CPU" for graph in graphs]


@pytest.mark.slow
@needs_generators
def test_serving_is_measured_against_the_bare_session_and_its_answer_checked(narrow: Path) -> None:
    bare, share = served.rows(SHORTEST, CPU, narrow, batch=2)
    assert bare.value > 0
    assert 0 < share.value < 1000
    assert share.target is not None


def test_a_wrong_answer_of_the_server_ends_the_measurement(narrow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "TOLERANCE", -1)
    with pytest.raises(WrongAnswer, match="logits differ by"):
        list(served.rows(SHORTEST, CPU, narrow, batch=2))


@pytest.mark.slow
def test_steps_with_the_state_kept_give_the_words_of_steps_with_copies(decoders: Path) -> None:
    attending, plain = steps.rows(SHORTEST, OWN, decoders)
    assert attending.target is not None
    assert min(attending.value, plain.value) > 0


@pytest.mark.slow
def test_other_words_end_the_measurement(decoders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forgets(self: steps._Copied) -> dict[str, object]:
        found = dict(zip(self._outputs, self._session.run(self._outputs, self._inputs), strict=True))
        return found | {"next_token": found["next_token"] + 1}

    monkeypatch.setattr(steps._Copied, "step", forgets)
    with pytest.raises(RuntimeError, match="with the state kept"):
        list(steps.rows(SHORTEST, OWN, decoders))


def test_recorded_and_launched_runs_are_measured(narrow: Path) -> None:
    found = list(recording.rows(SHORTEST, OWN, narrow, sizes=(1, 2)))
    assert len(found) == 4
    assert all(row.value > 0 and row.beside["launched ms"] > 0 for row in found)


def test_memory_is_measured_by_what_nvml_says_and_too_little_must_be_refused(
    narrow: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = iter(range(10))
    monkeypatch.setattr(memory, "readings", lambda _: [Reading("GPU-1", 0.5, 80 << 30, next(used) * memory.MIB, 300.0)])

    def cpu_of_so_much(config: object) -> Device:
        assert getattr(config, "gpu_memory_limit") in (memory.ENOUGH, memory.TOO_LITTLE)  # noqa: B009
        if getattr(config, "gpu_memory_limit") == memory.TOO_LITTLE:  # noqa: B009
            raise InvalidPackage("no memory")
        return OWN

    monkeypatch.setattr(memory, "cuda", cpu_of_so_much)
    power, *arenas, limit = memory.rows(SHORTEST, OWN, narrow)
    assert power.value == 300
    assert [row.value for row in arenas] == [1, 1]
    assert limit.met


def test_what_was_measured_is_written_with_the_device(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copytree(zoo.ZOO / "softmax", tmp_path / "zoo" / "softmax")
    monkeypatch.setattr(bench, "FILE", tmp_path / "new" / "gpu.json")
    monkeypatch.setitem(bench.SECTIONS, "zoo", lambda plan, device: zoo.rows(plan, device, tmp_path / "zoo"))
    bench.measure(["zoo"], SHORTEST, OWN)
    written = json.loads((tmp_path / "new" / "gpu.json").read_text())
    assert written["conditions"]["device"] == "CPU"
    assert len(written["rows"]) == 3
    assert all(math.isfinite(row["value"]) for row in written["rows"])
    assert "3 of 3 targets met" in capsys.readouterr().out
