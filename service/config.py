"""The configuration: read once, typed, frozen. An unknown key is an error that names it and the nearest known one.

Sources, the later one winning: the defaults below, the TOML file that ``LECTORIUM_CONFIG`` names, the
environment (``LECTORIUM_REST_PORT=8000`` sets ``rest_port``). Variables that Kubernetes sets for a service called
``lectorium`` or ``lectorium-<anything>`` are ignored.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    SerializationInfo,
    StringConstraints,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)

from service.errors import InvalidConfig
from service.nearest import did_you_mean
from service.package import Name
from service.package.serving import All, Latest, Specific, VersionPolicy

PREFIX = "LECTORIUM_"
# A gRPC message, including its framing, cannot be longer.
MAX_REQUEST_BYTES = 2_000_000_000
FILE_KEY = PREFIX + "CONFIG"
# The names, after the prefix, of the variables that Kubernetes sets for a service.
_LINK = re.compile(r"(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_PORT_LINK = re.compile(r"(.+_)?PORT")
_LINKED = re.compile(r"(tcp|udp|sctp)://.+")
_POLICY_KEYS = [*VersionPolicy.model_fields, *Latest.model_fields, *Specific.model_fields]


def _policy(given: Any) -> Any:
    return VersionPolicy.parse(given) if isinstance(given, str) else given


def _names(given: Any) -> Any:
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


def _pairs(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    pairs = [pair.partition("=") for pair in _names(given)]
    if wrong := [key for key, equals, _ in pairs if not equals]:
        raise ValueError(f"{wrong[0]!r} has no '='; pairs as 'classify=lenet5,caption=scenes-attention' are allowed")
    tasks = [task.strip() for task, _, _ in pairs]
    if len(set(tasks)) < len(tasks):
        raise ValueError(f"a task is named twice: {tasks}")
    return dict(zip(tasks, (model.strip() for _, _, model in pairs), strict=True))


Policy = Annotated[VersionPolicy, BeforeValidator(_policy)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_names)]
DefaultModels = Annotated[Mapping[str, Name], BeforeValidator(_pairs)]
HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$", to_lower=True)]
HostNames = Annotated[tuple[HostName, ...], BeforeValidator(_names)]
# At most a day: workers get their settings as JSON, which has no infinite numbers.
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Threads = Annotated[int, Field(ge=1, le=1024)]
# The context of a dump that includes secrets: for another process of the server, never for a reader.
REVEAL = "reveal"


def _numbers(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Gpus = Annotated[tuple[Annotated[int, Field(ge=0)], ...], BeforeValidator(_numbers)]


class Config(BaseModel):
    """All settings; each field is also a TOML key and, with the prefix, an environment variable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    repository: Path = Field(Path("models/zoo"), description="Folder of packages, <name>/<version>/.")
    model_control: Literal["none", "poll", "explicit"] = Field(
        "none", description="What changes the models after the start: nothing, polling the folder, or requests."
    )
    poll_s: Seconds = Field(5.0, description="poll: seconds between polls; what two polls find unchanged is loaded.")
    load_models: Names | None = Field(None, description="explicit: models loaded at the start, 'a,b'; default: all.")
    control_token: SecretStr | None = Field(
        None,
        description="Token that load, unload and changes of search indexes must send as 'Bearer <token>'; "
        "default: none.",
    )
    allowed_hosts: HostNames = Field(
        (),
        description="Host names, 'a,b', allowed for what control_token guards, besides localhost and addresses.",
    )
    on_load_failure: Literal["refuse", "serve"] | None = Field(
        None,
        description="A model that cannot be loaded at the start: refuse to start, or serve the others, not ready; "
        "default: refuse if model_control is none, because nothing could repair it, else serve.",
    )
    load_s: Seconds = Field(
        300.0, description="Time for a part of a model's load; a load that takes longer is abandoned."
    )
    version_policy: Policy = Field(
        VersionPolicy(all=All()),
        description="Versions served if the card does not say: 'all', 'latest:2' or 'specific:1,3'.",
    )
    indexes: Path = Field(Path("indexes"), description="Folder of search indexes, <name>/, made by 'lectorium index'.")
    index_writes: bool = Field(
        False, description="Let requests add items to the search indexes and remove them; control_token guards it."
    )
    default_max_batch: int = Field(32, ge=1, le=1024, description="Most rows in a run of a model without a card.")
    default_models: DefaultModels = Field(
        {},
        description="Models for requests that name none, by task: 'caption=flickr-attention-scst,classify=lenet5'; "
        "default: the task's only model, or the one whose card has serving.default.",
    )
    host: str = Field("127.0.0.1", description="Address all four ports listen on.")
    http_port: int = Field(3000, ge=1, le=65535, description="BentoML: task endpoints and the OpenAPI page.")
    rest_port: int = Field(8000, ge=1, le=65535, description="Open Inference Protocol over REST.")
    grpc_port: int = Field(8001, ge=1, le=65535, description="Open Inference Protocol and Vision over gRPC.")
    metrics_port: int = Field(8002, ge=1, le=65535, description="Prometheus metrics.")
    workers: int = Field(
        1,
        ge=1,
        le=1024,
        description="Processes that share the ports and divide the cores; lanes and queues are each one's own.",
    )
    lanes: Threads | None = Field(None, description="Inference threads; default: cores / intra_op.")
    intra_op: Threads | None = Field(None, description="Threads inside one run; default: half the cores, 4 at most.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: CUDA if it works, else the CPU.")
    gpus: Gpus = Field((0,), min_length=1, description="CUDA devices, such as 0,1: workers take one each, in turn.")
    gpu_memory_limit: int | None = Field(None, ge=1, description="Bytes of GPU memory a graph may take; default: all.")
    gpu_arena: Literal["same_as_requested", "next_power_of_two"] = Field(
        "same_as_requested", description="How GPU memory grows when more is needed."
    )
    gpu_tf32: bool = Field(
        False, description="Let CUDA round float32 to TF32: faster, but results differ from the cards."
    )
    cudnn_search: Literal["exhaustive", "heuristic", "default"] = Field(
        "exhaustive", description="How cuDNN finds its algorithm for a new batch size; all sizes are warmed at load."
    )
    cuda_graphs: bool = Field(False, description="Record each batch size as a CUDA graph and replay it.")
    max_queue_rows: int = Field(1024, ge=1, description="Rows that may wait for one model before 429.")
    timeout_s: Seconds = Field(30.0, description="A request's deadline if the caller sets none.")
    drain_s: Seconds = Field(30.0, description="Time for in-flight requests after SIGTERM.")
    max_connections: int = Field(
        2048, ge=1, description="HTTP connections a port may have in each worker; less if file descriptors are few."
    )
    max_head_bytes: int = Field(32 << 10, ge=1024, description="Largest head of an HTTP request, and largest trailers.")
    head_s: Seconds = Field(10.0, description="Time for the head of an HTTP request, from a connection's start too.")
    keep_alive_s: Seconds = Field(75.0, description="Time an HTTP connection may be idle after an answer.")
    max_request_bytes: int = Field(
        16 << 20, ge=1, le=MAX_REQUEST_BYTES, description="Largest request body, and largest image file."
    )
    max_images: int = Field(64, ge=1, description="Most images, or texts, in one call.")
    max_image_pixels: int = Field(50_000_000, ge=1, description="Largest decoded image (decompression bombs).")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    data: Path | None = Field(None, description="Folder of data sets; used only by training.")

    @field_validator("control_token")
    @classmethod
    def _token_fits_a_header(cls, token: SecretStr | None) -> SecretStr | None:
        if token is not None and not re.fullmatch("[!-~]+", token.get_secret_value()):
            raise ValueError("it must be one or more printable ASCII characters without a space")
        return token

    @field_serializer("control_token")
    def _hide_token(self, token: SecretStr | None, info: SerializationInfo) -> str | None:
        if token is None:
            return None
        return token.get_secret_value() if info.context == REVEAL else str(token)

    @property
    def serves_without_failed(self) -> bool:
        """Whether the other models are served if one cannot be loaded at the start."""
        return (self.on_load_failure or ("refuse" if self.model_control == "none" else "serve")) == "serve"

    @model_validator(mode="after")
    def _load_models_is_for_explicit(self) -> "Config":
        if self.load_models is not None and self.model_control != "explicit":
            raise ValueError(f"load_models is set and model_control is {self.model_control}; it needs explicit")
        return self

    def for_worker(self, number: int) -> "Config":
        """The configuration of worker ``number``, from 1, with the one GPU it uses; GPUs are assigned in rotation."""
        return self.model_copy(update={"gpus": (self.gpus[(number - 1) % len(self.gpus)],)})

    @property
    def ports(self) -> dict[str, int]:
        """The port of each surface, by the name of its setting."""
        return {name: getattr(self, name) for name in ("http_port", "rest_port", "grpc_port", "metrics_port")}

    @model_validator(mode="after")
    def _ports_differ(self) -> "Config":
        names: dict[int, str] = {}
        for name, port in self.ports.items():
            if port in names:
                raise ValueError(f"{names[port]} and {name} are both {port}; they must differ")
            names[port] = name
        return self


def load_config(environ: Mapping[str, str] = os.environ) -> Config:
    """The configuration from ``environ`` and the TOML file it may name.

    Raises:
        InvalidConfig: a key is unknown, a value is of the wrong kind, or the file unreadable; the message says which.
    """
    values = _from_file(environ[FILE_KEY]) if environ.get(FILE_KEY) else {}
    for key, value in environ.items():
        if key.startswith(PREFIX) and key != FILE_KEY and not _is_service_link(key.removeprefix(PREFIX), value):
            values[key.removeprefix(PREFIX).lower()] = value
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(e["type"], list(map(str, e["loc"])), e["msg"]) for e in error.errors())
        raise InvalidConfig(f"configuration: {problems}") from error


def _problem(kind: str, keys: list[str], message: str) -> str:
    message = message.removeprefix("Value error, ")
    if not keys:  # the message names several keys itself
        return message
    if kind == "extra_forbidden":
        known = Config.model_fields if len(keys) == 1 else _POLICY_KEYS
        message = f"no such setting{did_you_mean(keys[-1], known)}"
    return f"{'.'.join(keys)}: {message}"


def _is_service_link(key: str, value: str) -> bool:
    """Whether it is one of the variables that Kubernetes sets in every pod for each service of the namespace.

    For a service ``lectorium-http`` one of them is ``LECTORIUM_HTTP_PORT=tcp://10.0.0.1:3000``, which is not a setting.
    """
    return bool(_LINK.fullmatch(key) or (_PORT_LINK.fullmatch(key) and _LINKED.fullmatch(value)))


def _from_file(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(Path(name).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidConfig(f"{FILE_KEY}={name}: {error}") from error
