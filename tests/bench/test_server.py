import sys
from pathlib import Path

import pytest

from deploy.bench import callers
from deploy.bench.server import HOST, Bare, OnePort, Server, free_port
from deploy.bench.subject import Subject
from tests.serving import eventually

ZOO = Path("models/zoo")


def test_the_server_counts_its_answers_by_model_surface_and_outcome() -> None:
    subject = Subject(ZOO, "lenet5")
    with Server(ZOO) as server:
        assert not server.outcomes("lenet5", "oip_rest")
        with callers.rest(server.ports["rest"], subject) as call:
            subject.check_rest(call())
            subject.check_rest(call())
        with callers.grpc_raw(server.ports["grpc"], subject) as infer:
            subject.check_grpc(infer())
        with callers.post(server.ports["rest"], subject.path, b"[]", {}) as post, pytest.raises(callers.Refused):
            post()
        assert server.outcomes("lenet5", "oip_rest") == {"OK": 2, "INVALID_ARGUMENT": 1}
        assert server.outcomes("lenet5", "oip_grpc") == {"OK": 1}
        assert server.memory() > 20 << 20
        assert server.footprint() > 20 << 20
        assert server.processor_s() > 0
        assert server.ready_s > 0


def test_a_server_that_does_not_come_up_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="not up, exit code 1"), Bare("no_such_module"):
        raise AssertionError("it is not up")
    assert "no_such_module" in capfd.readouterr().err


def test_a_setting_reaches_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="not up"), Server(ZOO, no_such_setting=1):
        raise AssertionError("it is not up")
    assert "no_such_setting" in capfd.readouterr().err


def test_what_a_server_started_ends_with_it() -> None:
    port = free_port()
    serves = [sys.executable, "-m", "http.server", "--bind", HOST, str(port)]
    starts = f"import subprocess, time; subprocess.Popen({serves!r}); time.sleep(60)"
    with OnePort(port, [sys.executable, "-c", starts], {}) as server:
        assert server.answers()
    assert eventually(lambda: not server.answers())
