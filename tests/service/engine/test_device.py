import logging
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from service.config import Config
from service.engine import device
from service.engine.device import CPU, CPU_PROVIDER, CUDA_PROVIDER, PROBE, Device, choose, cuda, why_not
from service.errors import InvalidConfig
from tests.service.engine.asking import serving

here = pytest.mark.skipif(CUDA_PROVIDER in ort.get_available_providers(), reason="this onnxruntime has CUDA")

REAL = ort.InferenceSession


class FallsBack:
    """ONNX Runtime as it is where CUDA's libraries are missing: it has the provider, and quietly takes the CPU."""

    def __init__(self, model: bytes, *, providers: list[object], enable_fallback: int) -> None:
        self._real = REAL(model, providers=[CPU_PROVIDER], enable_fallback=enable_fallback)
        self.run, self.get_providers = self._real.run, self._real.get_providers


def has_cuda(monkeypatch: pytest.MonkeyPatch, session: object) -> None:
    """Have ONNX Runtime name the CUDA provider, and make its sessions so."""
    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA_PROVIDER, CPU_PROVIDER])
    monkeypatch.setattr(ort, "InferenceSession", session)


def refuse(*_: object, **__: object) -> NoReturn:
    raise AssertionError("CUDA was touched")


def test_the_probe_is_the_graph_the_onnx_package_writes_and_the_library_runs_it() -> None:
    specs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Neg", ["x"], ["y"])], "probe", specs[:1], specs[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(onnx.load_from_string(PROBE), full_check=True)
    assert model.SerializeToString() == PROBE
    session = ort.InferenceSession(PROBE, providers=[CPU_PROVIDER])
    assert session.run(None, {"x": np.ones(1, "f4")})[0] == [-1]


def test_cpu_never_touches_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", refuse)
    monkeypatch.setattr(ort, "preload_dlls", refuse)
    has_cuda(monkeypatch, refuse)
    assert choose(Config(device="cpu")) is CPU
    assert CPU.providers == [CPU_PROVIDER]


@here
def test_cuda_is_refused_where_the_library_is_built_without_it() -> None:
    with pytest.raises(InvalidConfig, match=r"device is cuda.*onnxruntime \d.* is built without CUDA"):
        choose(Config(device="cuda"))


@here
async def test_an_engine_that_cannot_have_its_device_does_not_start(repository: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"device is cuda"):
        async with serving(repository, device="cuda"):
            raise AssertionError("it has started")


@here
def test_auto_takes_the_cpu_and_logs_why(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, device.__name__):
        assert choose(Config()) is CPU
    assert "device: CPU, because CUDA does not work here: onnxruntime" in caplog.text


@here
def test_a_session_that_fell_back_to_the_cpu_is_not_taken_for_cuda_and_the_linkers_reason_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    has_cuda(monkeypatch, FallsBack)
    with pytest.raises(InvalidConfig, match=r"libonnxruntime_providers_cuda.so: cannot open shared object file"):
        choose(Config(device="cuda"))


@here
def test_auto_warns_where_the_library_has_cuda_and_it_does_not_work(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    has_cuda(monkeypatch, FallsBack)
    assert choose(Config()) is CPU
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "libonnxruntime_providers_cuda.so: cannot open" in record.getMessage()


def test_what_the_library_raises_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise RuntimeError("CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version")

    has_cuda(monkeypatch, fail)
    with pytest.raises(InvalidConfig, match=r"CUDA failure 35: CUDA driver version is insufficient"):
        choose(Config(device="cuda"))


def test_a_device_that_miscomputes_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(FallsBack):
        def __init__(self, model: bytes, *, providers: list[object], enable_fallback: int) -> None:
            super().__init__(model, providers=providers, enable_fallback=enable_fallback)
            self.run = lambda *_: [np.zeros(1, "f4")]
            self.get_providers = lambda: [CUDA_PROVIDER, CPU_PROVIDER]

    has_cuda(monkeypatch, Wrong)
    assert why_not(cuda(Config())) == "CUDA device 0 gives [0.] for -1"


def test_a_device_that_computes_is_taken_by_auto(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Works(FallsBack):
        def __init__(self, model: bytes, *, providers: list[object], enable_fallback: int) -> None:
            super().__init__(model, providers=providers, enable_fallback=enable_fallback)
            assert providers == cuda(Config(gpus=(3,))).providers
            self.get_providers = lambda: [CUDA_PROVIDER, CPU_PROVIDER]

    has_cuda(monkeypatch, Works)
    with caplog.at_level(logging.INFO, device.__name__):
        chosen = choose(Config(gpus=(3,)))
    assert (chosen.kind, chosen.number, chosen.own_memory) == ("cuda", 3, True)
    assert "device: CUDA device 3" in caplog.text


def test_the_settings_reach_the_provider_in_its_own_words() -> None:
    assert cuda(Config()).providers == [
        (
            CUDA_PROVIDER,
            {
                "device_id": "0",
                "enable_cuda_graph": "0",
                "arena_extend_strategy": "kSameAsRequested",
                "cudnn_conv_algo_search": "EXHAUSTIVE",
                "use_tf32": "0",
            },
        ),
        CPU_PROVIDER,
    ]
    set_all = Config(
        gpus=(1,),
        gpu_memory_limit=2 << 30,
        gpu_arena="next_power_of_two",
        gpu_tf32=True,
        cudnn_search="heuristic",
        cuda_graphs=True,
    )
    assert cuda(set_all).providers[0][1] == {
        "device_id": "1",
        "enable_cuda_graph": "1",
        "arena_extend_strategy": "kNextPowerOfTwo",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "1",
        "gpu_mem_limit": "2147483648",
    }


def test_more_devices_than_workers_are_refused() -> None:
    with pytest.raises(InvalidConfig, match=r"gpus has 2 devices; 1 worker\(s\) use one each"):
        choose(Config(gpus=(0, 1)))


def test_both_wheels_in_one_environment_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(device, "version", lambda wheel: "1.0")
    why_not(Device("cuda"))
    assert "onnxruntime 1.0 and onnxruntime-gpu 1.0 are both installed" in caplog.text


def test_one_wheel_is_warned_of_by_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def only_one(wheel: str) -> str:
        if wheel != "onnxruntime":
            raise PackageNotFoundError(wheel)
        return "1.0"

    monkeypatch.setattr(device, "version", only_one)
    why_not(Device("cuda"))
    assert not caplog.records
