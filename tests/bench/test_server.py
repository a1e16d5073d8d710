from pathlib import Path

import pytest

from deploy.bench import callers
from deploy.bench.server import Bare, Server
from deploy.bench.subject import Subject

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
        assert server.ready_s > 0


def test_a_server_that_does_not_come_up_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="not up, exit code 1"), Bare("no_such_module"):
        raise AssertionError("it is not up")
    assert "no_such_module" in capfd.readouterr().err


def test_a_setting_reaches_the_server(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="not up"), Server(ZOO, no_such_setting=1):
        raise AssertionError("it is not up")
    assert "no_such_setting" in capfd.readouterr().err
