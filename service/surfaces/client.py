"""Who sent a request: the other end of the connection, and the request's headers or metadata."""

from typing import Protocol

import grpc

from service.surfaces.http.disconnect import Scope

Context = grpc.aio.ServicerContext[object, object]


class Client(Protocol):
    """The sender of one request, whatever the protocol. Nothing is copied until it is asked for."""

    @property
    def peer(self) -> str:
        """The address and port it connected from; "" where they are unknown."""

    def headers(self, name: str) -> list[str]:
        """The values of the HTTP header or gRPC metadata key ``name``, given in lower case, in the order they came."""


class HttpClient:
    """The sender of an HTTP request, from its ASGI scope."""

    __slots__ = ("_address", "_headers")

    def __init__(self, scope: Scope) -> None:
        # Not the scope itself, which holds what an app puts into it.
        self._address: tuple[str, int] | None = scope.get("client")
        self._headers: list[tuple[bytes, bytes]] = scope["headers"]

    @property
    def peer(self) -> str:
        """Host and port."""
        return f"{self._address[0]}:{self._address[1]}" if self._address else ""

    def headers(self, name: str) -> list[str]:
        """The header's values."""
        wanted = name.encode("latin-1")
        return [value.decode("latin-1").strip() for key, value in self._headers if key == wanted]


class GrpcClient:
    """The sender of a gRPC call, from the call's context."""

    __slots__ = ("_context",)

    def __init__(self, context: Context) -> None:
        self._context = context

    @property
    def peer(self) -> str:
        """The address as gRPC writes it, such as ``ipv4:127.0.0.1:4242``."""
        return self._context.peer()

    def headers(self, name: str) -> list[str]:
        """The metadata key's values; bytes, which a key ending in ``-bin`` has, are read as Latin-1."""
        found = [value for key, value in self._context.invocation_metadata() or () if key == name]
        return [value if isinstance(value, str) else value.decode("latin-1") for value in found]
