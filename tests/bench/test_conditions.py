import json
import socket
import subprocess
import sys
import time

import pytest

from deploy.bench.conditions import Conditions


def spin(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_they_name_the_machine_s_make_and_the_settings_and_neither_host_nor_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LECTORIUM_LANES", "2")
    conditions = Conditions()
    found = conditions.found()
    assert found["settings"] == {"LECTORIUM_LANES": "2"}
    assert found["libraries"]["onnxruntime"]
    assert f"{found['cores']} cores" in str(conditions)
    assert socket.gethostname() not in json.dumps(found)


def test_what_this_process_and_its_children_used_is_not_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([(0, 0), (100, 200)])
    monkeypatch.setattr("deploy.bench.conditions._ticks", lambda: next(ticks))
    conditions = Conditions()
    spin(0.2)
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    # Of the 100 ticks in use, 50 or more were ours: 0.2 s here and 0.3 s there, at 100 ticks a second.
    assert 0 <= conditions.others() <= 0.25
