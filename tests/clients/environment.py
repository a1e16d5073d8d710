"""The environments of clients whose libraries do not agree with ours: `make clients` builds them."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def binary(environment: str, name: str = "python") -> Path:
    """A program of the environment that `environments/<environment>.txt` lists."""
    found = Path(sys.prefix) / "clients" / environment / "bin" / name
    assert found.exists(), f"{found} is missing: make clients"
    return found


def run(command: list[str | Path], timeout_s: float = 60, **variables: str) -> str:
    """What a client's program prints; the test fails with all of it where its exit code is not 0."""
    # The program's own packages, not ours.
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        command, env={**inherited, **variables}, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert done.returncode == 0, f"exit code {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout
