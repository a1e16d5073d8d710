"""The model repository extension: what the parameters of a load or an unload say."""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict, ParseError
from google.protobuf.message import Message
from pydantic import ValidationError

from protos import open_inference_pb2 as pb
from service.config import Config
from service.engine import Model, Override
from service.errors import InvalidArgument
from service.package.serving import DynamicBatching, VersionPolicy
from service.surfaces.json_fields import json_object, read_json, shown
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
    be true of the model. Files need a configuration beside them, and are the whole model. Other parameters are ignored.

    Raises:
        InvalidArgument: naming the parameter, what was sent and what is allowed.
    """
    files: dict[int, dict[str, bytes]] = {}
    named = [name for name in parameters if name.startswith(FILE)]
    if len(named) > MAX_FILES:
        raise InvalidArgument(f"load: the request has {len(named)} files; at most {MAX_FILES} are allowed")
    for name in named:
        version, file = _file_name(name)
        files.setdefault(version, {})[file] = _content(name, parameters[name])
    if "config" in parameters:
        return _read_config(parameters["config"], files, config)
    if files:
        raise InvalidArgument("load: the request has files but no parameter config, which they need; '{}' is enough")
    return Override()


def read_unload(parameters: Mapping[str, object]) -> None:
    """Check ``unload_dependents`` of an unload, which changes nothing: no model here depends on another.

    Raises:
        InvalidArgument: it is neither true nor false.
    """
    value = parameters.get("unload_dependents", False)
    if not isinstance(value, bool):
        raise InvalidArgument(f"unload: unload_dependents is {shown(value)}; it must be true or false")


def _file_name(name: str) -> tuple[int, str]:
    found = _FILE.fullmatch(name)
    if found is None:
        raise InvalidArgument(f"load: parameter is {name[:80]!r}; it must be file:<version>/<plain file name>")
    return int(found["version"]), found["name"]


def _content(name: str, value: object) -> bytes:
    if not isinstance(value, bytes):
        raise InvalidArgument(f"load: {name[:80]} is {type(value).__name__}; it must be bytes")
    return value


def _read_config(text: object, files: dict[int, dict[str, bytes]], config: Config) -> Override:
    if not isinstance(text, str):
        raise InvalidArgument(f"load: config is {shown(text)}; it must be JSON as a string")
    asked = pb.ModelConfig()
    try:
        ParseDict(_object(text), asked)
        return Override(
            version_policy=_version_policy(asked.version_policy) if asked.HasField("version_policy") else None,
            max_batch=asked.max_batch_size or None,
            dynamic_batching=_batching(asked.dynamic_batching) if asked.HasField("dynamic_batching") else None,
            files=files,
            accept=partial(_check_rest, asked, config),
        )
    except ParseError as error:
        raise InvalidArgument(f"load: config: {str(error)[:_MAX_ECHO]}") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InvalidArgument(f"load: config: {problems[:_MAX_ECHO]}") from error


def _object(text: str) -> dict[str, Any]:
    return json_object("load: config", read_json(text.encode("utf-8", "replace")))


def _version_policy(asked: pb.ModelVersionPolicy) -> VersionPolicy:
    return VersionPolicy.model_validate(MessageToDict(asked, preserving_proto_field_name=True))


def _batching(asked: pb.ModelDynamicBatching) -> DynamicBatching:
    if asked.max_queue_delay_microseconds:
        raise InvalidArgument(
            f"load: config: max_queue_delay_microseconds is {asked.max_queue_delay_microseconds}; it must be 0, "
            "as batches never wait here"
        )
    levels: dict[str, Any] = {
        "priority_levels": asked.priority_levels or 1,
        "default_priority_level": asked.default_priority_level or 1,
    }
    if asked.HasField("default_queue_policy"):
        policy = asked.default_queue_policy
        levels["default_queue_policy"] = {
            "max_queue_size": policy.max_queue_size,
            "default_timeout_microseconds": policy.default_timeout_microseconds,
            "allow_timeout_override": policy.allow_timeout_override,
            "timeout_action": "continue" if policy.timeout_action == pb.ModelQueuePolicy.DELAY else "reject",
        }
    return DynamicBatching.model_validate(levels)


def _check_rest(asked: pb.ModelConfig, config: Config, model: Model, policy: VersionPolicy) -> None:
    """Refuse a model of which the configuration says what is not true."""
    own = ParseDict(configuration(model, policy, config), pb.ModelConfig())
    for field, value in asked.ListFields():
        true = getattr(own, field.name)
        if field.name not in _APPLIED and not _agrees(value, true):
            raise InvalidArgument(f"load: config: {field.name} is {_text(value)}; {model} has {_text(true)}")


def _agrees(asked: Any, own: Any) -> bool:
    """Whether our own value has all that is asked; it may have more."""
    if isinstance(asked, Message):
        return all(_agrees(value, getattr(own, field.name)) for field, value in asked.ListFields())
    if isinstance(asked, str | int | float | bool):
        return bool(asked == own)
    return len(asked) == len(own) and all(map(_agrees, asked, own))


def _text(value: Any) -> str:
    """The value on one line, cut short."""
    return " ".join(str(value).split())[:_MAX_ECHO]
