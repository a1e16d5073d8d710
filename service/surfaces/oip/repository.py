"""The model repository extension: what a load request asks for, and the index. REST and gRPC share this."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from pydantic import ValidationError

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Model, Override, Row
from service.errors import InvalidArgument
from service.package.serving import DynamicBatching, VersionPolicy
from service.surfaces.oip.json_messages import read_json
from service.surfaces.oip.model import configuration

MAX_FILES = 64
FILE = "file:"
# What a plain file name is to a package is one here.
_FILE = re.compile(FILE + r"(?P<version>[1-9][0-9]{0,8})/(?P<name>[A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
_APPLIED = frozenset({"version_policy", "max_batch_size", "dynamic_batching"})
_MAX_ECHO = 300


def read_load(parameters: Mapping[str, object], config: Config) -> Override:
    """What the parameters of a load change: ``config`` is a ModelConfig in JSON, ``file:<version>/<name>`` a file.

    Of the configuration, the version policy, the batch size and the scheduling are applied; whatever else it says must
    be so. Files need a configuration beside them, and stand for the whole model. Other parameters are passed over.

    Raises:
        InvalidArgument: naming the parameter, what came and what was wanted.
    """
    files: dict[int, dict[str, bytes]] = {}
    named = [name for name in parameters if name.startswith(FILE)]
    if len(named) > MAX_FILES:
        raise InvalidArgument(f"load: {len(named)} files came; at most {MAX_FILES} are taken")
    for name in named:
        version, file = _file_name(name)
        files.setdefault(version, {})[file] = _content(name, parameters[name])
    if "config" in parameters:
        return _read_config(parameters["config"], files, config)
    if files:
        raise InvalidArgument("load: files came without the parameter config, which they need; '{}' will do")
    return Override()


def read_unload(parameters: Mapping[str, object]) -> None:
    """Check ``unload_dependents`` of an unload, which changes nothing: no model here depends on another.

    Raises:
        InvalidArgument: it is of another kind.
    """
    value = parameters.get("unload_dependents", False)
    if not isinstance(value, bool):
        raise InvalidArgument(f"unload: unload_dependents wants true or false, {type(value).__name__} came")


def check_repository(name: str) -> None:
    """Check the repository's name, which a request may give.

    Raises:
        InvalidArgument: there is only one, which has none.
    """
    if name:
        raise InvalidArgument(f"repository {name[:80]!r} came; there is one here, and it has no name")


def index(rows: list[Row], *, ready: bool) -> list[dict[str, str]]:
    """RepositoryIndexResponse's models, only those that are ``ready`` where so asked."""
    return [row._asdict() for row in rows if row.state == "READY" or not ready]


def _file_name(name: str) -> tuple[int, str]:
    found = _FILE.fullmatch(name)
    if found is None:
        raise InvalidArgument(f"load: parameter {name[:80]!r}; file:<version>/<name> of a plain file name is wanted")
    return int(found["version"]), found["name"]


def _content(name: str, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidArgument(f"load: {name[:80]} wants bytes, {type(value).__name__} came")
    return value


def _read_config(text: object, files: dict[int, dict[str, bytes]], config: Config) -> Override:
    if not isinstance(text, str):
        raise InvalidArgument(f"load: config wants a JSON text, {type(text).__name__} came")
    came = pb.ModelConfig()
    try:
        ParseDict(_object(text), came)
        return Override(
            version_policy=_version_policy(came.version_policy) if came.HasField("version_policy") else None,
            max_batch=came.max_batch_size or None,
            dynamic_batching=_batching(came.dynamic_batching) if came.HasField("dynamic_batching") else None,
            files=files,
            accept=partial(_check_rest, came, config),
        )
    except ParseError as error:
        raise InvalidArgument(f"load: config: {str(error)[:_MAX_ECHO]}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidArgument(f"load: config: {problems[:_MAX_ECHO]}") from error


def _object(text: str) -> dict[str, Any]:
    found = read_json(text.encode("utf-8", "replace"))
    if not isinstance(found, dict):
        raise InvalidArgument("load: config wants a JSON object, as ModelConfig has it")
    return found


def _version_policy(came: pb.ModelVersionPolicy) -> VersionPolicy:
    return VersionPolicy.model_validate(MessageToDict(came, preserving_proto_field_name=True))


def _batching(came: pb.ModelDynamicBatching) -> DynamicBatching:
    if came.max_queue_delay_microseconds:
        raise InvalidArgument(
            f"load: config: max_queue_delay_microseconds is {came.max_queue_delay_microseconds}; 0 is wanted, "
            "for batches never wait here"
        )
    levels: dict[str, Any] = {
        "priority_levels": came.priority_levels or 1,
        "default_priority_level": came.default_priority_level or 1,
    }
    if came.HasField("default_queue_policy"):
        policy = came.default_queue_policy
        levels["default_queue_policy"] = {
            "max_queue_size": policy.max_queue_size,
            "default_timeout_microseconds": policy.default_timeout_microseconds,
            "allow_timeout_override": policy.allow_timeout_override,
            "timeout_action": "continue" if policy.timeout_action == pb.ModelQueuePolicy.DELAY else "reject",
        }
    return DynamicBatching.model_validate(levels)


def _check_rest(came: pb.ModelConfig, config: Config, model: Model, policy: VersionPolicy) -> None:
    """Refuse a model of which the configuration says what is not so."""
    own = ParseDict(configuration(model, policy, config), pb.ModelConfig())
    for field, value in came.ListFields():
        is_own = getattr(own, field.name)
        if field.name not in _APPLIED and not _agrees(value, is_own):
            raise InvalidArgument(f"load: config: {field.name} is {_text(is_own)} in {model}; {_text(value)} came")


def _agrees(came: Any, own: Any) -> bool:
    """Whether what came, as far as it goes, is what we have."""
    if isinstance(came, Message):
        return all(_agrees(value, getattr(own, field.name)) for field, value in came.ListFields())
    if isinstance(came, str | int | float | bool):
        return bool(came == own)
    return len(came) == len(own) and all(map(_agrees, came, own))


def _text(value: Any) -> str:
    """The value on one line, cut short."""
    return " ".join(str(value).split())[:_MAX_ECHO]
