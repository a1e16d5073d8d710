import subprocess
import sys
from pathlib import Path

HEALTHCHECK = Path(__file__).parents[2] / "deploy/docker/healthcheck.py"


def test_a_link_to_a_service_called_lectorium_rest_is_no_port_to_ask() -> None:
    environment = {"LECTORIUM_REST_PORT": "tcp://127.0.0.1:9"}
    done = subprocess.run([sys.executable, HEALTHCHECK], env=environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "") or done.stdout.startswith("not ready: ")
