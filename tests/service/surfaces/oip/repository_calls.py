"""The repository's requests on both transports, each behind the same call."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from protos import open_inference_pb2 as pb
from tests.service.surfaces.transports import Grpc, Rest, refuse_unless_ok

Rows = list[dict[str, str]]


@dataclass
class RestRepository:
    """Over REST; ``oip`` asks for all else."""

    oip: Rest

    def index(self, *, ready: bool = False) -> Rows:
        rows: Rows = self.post("index", {"ready": ready}).json()
        return rows

    def load(self, name: str, files: Mapping[str, bytes] = {}, **parameters: Any) -> None:
        encoded = {key: base64.b64encode(content).decode() for key, content in files.items()}
        self.post(f"models/{quote(name, safe='')}/load", {"parameters": {**parameters, **encoded}})

    def unload(self, name: str, **parameters: Any) -> None:
        self.post(f"models/{quote(name, safe='')}/unload", {"parameters": parameters} if parameters else None)

    def post(self, path: str, message: Any) -> Any:
        return refuse_unless_ok(self.oip.client.post(f"/v2/repository/{path}", json=message))


@dataclass
class GrpcRepository:
    """Over gRPC; ``oip`` asks for all else."""

    oip: Grpc

    def index(self, *, ready: bool = False) -> Rows:
        found = self.oip._call("RepositoryIndex", pb.RepositoryIndexRequest(ready=ready))
        return [{key: getattr(row, key) for key in ("name", "version", "state", "reason")} for row in found.models]

    def load(self, name: str, files: Mapping[str, bytes] = {}, **parameters: Any) -> None:
        request = pb.RepositoryModelLoadRequest(model_name=name)
        for key, value in {**parameters, **files}.items():
            _set(request.parameters[key], value)
        self.oip._call("RepositoryModelLoad", request)

    def unload(self, name: str, **parameters: Any) -> None:
        request = pb.RepositoryModelUnloadRequest(model_name=name)
        for key, value in parameters.items():
            _set(request.parameters[key], value)
        self.oip._call("RepositoryModelUnload", request)


_FIELDS: dict[type, str] = {bool: "bool_param", int: "int64_param", str: "string_param", bytes: "bytes_param"}


def _set(parameter: pb.ModelRepositoryParameter, value: Any) -> None:
    setattr(parameter, _FIELDS[type(value)], value)


Repository = RestRepository | GrpcRepository


def states(models: Repository, name: str) -> dict[str, str]:
    """The state of each version of one model."""
    return {row["version"]: row["state"] for row in models.index() if row["name"] == name}
