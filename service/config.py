"""The configuration: read once, typed, frozen. An unknown key is an error that names it.

Sources, the later one winning: the defaults below, the TOML file that ``LECTORIUM_CONFIG`` names, the
environment (``LECTORIUM_REST_PORT=8000`` sets ``rest_port``).
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.errors import InvalidConfig

PREFIX = "LECTORIUM_"
FILE_KEY = PREFIX + "CONFIG"


class Config(BaseModel):
    """Everything that can be set; each field is also a TOML key and, with the prefix, a variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: Path = Field(Path("models/zoo"), description="Folder of packages, <name>/<version>/model.json.")
    default_classifier: str = Field("lenet5", description="Model that classifies where a request names none.")
    host: str = Field("127.0.0.1", description="Address all four ports listen on.")
    http_port: int = Field(3000, ge=1, le=65535, description="BentoML: task endpoints and the OpenAPI page.")
    rest_port: int = Field(8000, ge=1, le=65535, description="Open Inference Protocol over REST.")
    grpc_port: int = Field(8001, ge=1, le=65535, description="Open Inference Protocol and Vision over gRPC.")
    metrics_port: int = Field(8002, ge=1, le=65535, description="Prometheus metrics.")
    lanes: int | None = Field(None, ge=1, description="Inference threads; default: cores / intra_op.")
    intra_op: int | None = Field(None, ge=1, description="Threads inside one run; default: the cores, 4 at most.")
    max_queue_rows: int = Field(1024, ge=1, description="Rows that may wait for one model before 429.")
    timeout_s: float = Field(30.0, gt=0, description="A request's deadline where the caller sets none.")
    drain_s: float = Field(30.0, gt=0, description="Time for in-flight requests after SIGTERM.")
    max_request_bytes: int = Field(16 << 20, ge=1, description="Largest request body, and largest image file.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Largest decoded image (decompression bombs).")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    data: Path | None = Field(None, description="Folder of data sets already at hand; read by training only.")


def load_config(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration from ``environ`` and the TOML file it may name.

    Raises:
        InvalidConfig: naming each unknown key, each value of the wrong kind, or the unreadable file.
    """
    values = _from_file(environ[FILE_KEY]) if environ.get(FILE_KEY) else {}
    for key, value in environ.items():
        if key.startswith(PREFIX) and key != FILE_KEY:
            values[key.removeprefix(PREFIX).lower()] = value
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidConfig(f"configuration: {problems}") from error


def _from_file(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"{FILE_KEY}={name}: {error}") from error
