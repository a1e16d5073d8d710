"""A container engine, driven by its command line: run, look inside, stop, remove."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

ENGINE = os.environ.get("ENGINE", "podman")
IMAGE = os.environ.get("IMAGE", "lectorium:latest")
# What a careful cluster asks of a container. The user is one the image has never heard of.
HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",  # podman alone would add several
    "--tmpfs=/tmp",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--user=23456:23456",
    "--memory=1g",
    "--cpus=2",
    "--pids-limit=256",
)


def engine(*arguments: str) -> str:
    """What `podman ARGUMENTS` prints; its complaint is the error where it fails."""
    done = subprocess.run([ENGINE, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{ENGINE} {' '.join(arguments)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


class Container:
    """A container by its name or id."""

    def __init__(self, name: str) -> None:
        self.name = name

    def port(self, inside: int) -> int:
        """The loopback port that leads to the container's."""
        return int(engine("port", self.name, f"{inside}/tcp").rpartition(":")[2])

    def execute(self, *command: str) -> str:
        """What a command prints inside the container."""
        return engine("exec", self.name, *command)

    def inspect(self, template: str) -> str:
        """One field of what the engine knows of the container."""
        return engine("inspect", "--format", template, self.name)

    def stop(self, seconds: int) -> int:
        """Send the image's stop signal, wait, and return the exit code (137: it had to be killed)."""
        engine("stop", "--time", str(seconds), self.name)
        return int(self.inspect("{{.State.ExitCode}}"))

    def logs(self) -> str:
        """Everything the container printed."""
        done = subprocess.run([ENGINE, "logs", self.name], capture_output=True, text=True)
        return done.stdout + done.stderr


@contextmanager
def running(*options: str) -> Iterator[Container]:
    """The image in a hardened container, its four ports on free loopback ports; removed at the end."""
    ports = [f"--publish=127.0.0.1::{port}" for port in (3000, 8000, 8001, 8002)]
    container = Container(engine("create", *HARDENED, *ports, *options, IMAGE))
    try:
        engine("start", container.name)
        yield container
    finally:
        print(container.logs())  # pytest shows it beside a failure
        engine("rm", "--force", "--time", "0", container.name)
