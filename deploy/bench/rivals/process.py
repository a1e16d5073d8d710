"""The rivals as child processes."""

import sys
from pathlib import Path

from deploy.bench.rivals import FOLDER
from deploy.bench.server import HOST, Bare, OnePort, free_port


def module(name: str, package: Path) -> OnePort:
    """The module ``name`` of this folder, serving ``package``."""
    return Bare(f"rivals.{name}", str(package))


def bentoml(package: Path) -> OnePort:
    """BentoML's service, started by its own command."""
    port, service = free_port(), "deploy.bench.rivals.bentoml_service:Rival"
    command = [str(Path(sys.executable).with_name("bentoml")), "serve", service, "--host", HOST, "--port", str(port)]
    return OnePort(port, command, {FOLDER: package})
