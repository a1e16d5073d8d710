"""Starts that are to be refused: each a process of its own, forked from one that has imported what serving needs.

Importing takes a second, the refusal itself a few milliseconds.
"""

import atexit
import json
import os
import select
import signal
import subprocess
import sys
from functools import cache

from tests.needs import met
from tests.serving import Server

PATIENCE_S = 60
FORKING = """
import json, os, sys
from service.commands import main
import service.surfaces.process.serving, service.surfaces.process.supervisor

for order in sys.stdin:
    environment, log = json.loads(order)
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(environment)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0), os.dup2(out, 1), os.dup2(out, 2)
        main(["serve"])
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def refusal_to_start(server: Server) -> str:
    """What `lectorium serve` says before it ends with exit code 1 and no traceback."""
    met("server")
    forking = _forking()
    assert forking.stdin is not None
    assert forking.stdout is not None
    forking.stdin.write(json.dumps([server.environment(), str(server.log_file)]) + "\n")
    forking.stdin.flush()
    ended, _, _ = select.select([forking.stdout], [], [], PATIENCE_S)
    if not ended:
        _end(forking)
        raise AssertionError(f"it was not refused:\n{server.log}")
    code = forking.stdout.readline().strip()
    assert code == "1", server.log
    assert "Traceback" not in server.log, server.log
    return server.log


@cache
def _forking() -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", FORKING]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    atexit.register(_end, process)
    return process


def _end(process: "subprocess.Popen[str]") -> None:
    """With all that it has started."""
    _forking.cache_clear()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
