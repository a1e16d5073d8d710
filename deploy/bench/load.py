"""Load from generators in C, in a closed loop: each connection sends its next request when the last is answered."""

import json
import re
import statistics
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from deploy.bench.server import HOST

POST = Path(__file__).with_name("post.lua")
_DONE = re.compile(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored")


class Post(NamedTuple):
    """The request that is sent repeatedly, to a port of this machine."""

    port: int
    path: str
    body: bytes
    headers: Mapping[str, str]

    @property
    def url(self) -> str:
        """The whole address."""
        return f"http://{HOST}:{self.port}{self.path}"


class NoAnswer(RuntimeError):
    """Not one request was answered in the time."""


class Load(NamedTuple):
    """The requests answered, in all and per second, and their latency in milliseconds."""

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float


def wrk(post: Post, connections: int, seconds: int) -> Load:
    """HTTP/1.1 by `wrk`, the lightest generator. It does not count the requests that are open when it ends.

    Raises:
        NoAnswer: there was no answer.
        RuntimeError: an answer was not 200.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(post.body)
        file.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "-s", str(POST)]
        headers = [word for header in post.headers.items() for word in header]
        said = _run([*command, post.url, "--", file.name, *headers])
    summary = json.loads(said.splitlines()[-1])
    if summary["failed"]:
        raise RuntimeError(f"{post.path}: {summary}")
    if not summary["requests"]:
        raise NoAnswer(f"{post.path}: {connections} connections got no answer in {seconds} s")
    done = summary["requests"]
    return Load(done, done / summary["us"] * 1e6, summary["p50_us"] / 1e3, summary["p99_us"] / 1e3)


def h2load(post: Post, connections: int, seconds: int, protocol: str = "h2c") -> Load:
    """HTTP/2, or "http/1.1", by `h2load`, after an uncounted second of the same load.

    Raises:
        NoAnswer: there was no answer.
        RuntimeError: an answer was not 200.
    """
    with tempfile.TemporaryDirectory() as folder:
        body, log = Path(folder, "body"), Path(folder, "log")
        body.write_bytes(post.body)
        command = ["h2load", "-t1", f"-c{connections}", f"-D{seconds}", "--warm-up-time=1", f"-p{protocol}"]
        command += [f"-d{body}", f"--log-file={log}", *(f"-H{name}: {value}" for name, value in post.headers.items())]
        said = _run([*command, post.url])
        times = [int(line.split("\t")[2]) / 1e3 for line in log.read_text().splitlines()]
    found = _DONE.search(said)
    total, done, *others = map(int, found.groups()) if found else (0, 0)
    if done < total or any(others) or not found:
        raise RuntimeError(f"{post.path}: {said[-600:]}")
    if len(times) < 2:
        raise NoAnswer(f"{post.path}: {connections} connections got {len(times)} answers in {seconds} s")
    cuts = statistics.quantiles(times, n=100)
    return Load(done, done / seconds, cuts[49], cuts[98])


def grpc(port: int, method: str, message: bytes) -> Post:
    """A gRPC call as an HTTP/2 request; `h2load` counts any gRPC status as a success."""
    frame = b"\0" + len(message).to_bytes(4, "big") + message
    return Post(port, method, frame, {"content-type": "application/grpc", "te": "trailers"})


def _run(command: list[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
