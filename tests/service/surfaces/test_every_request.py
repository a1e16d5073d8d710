"""Every route of every port and every gRPC method passes the gate once; the routes are those that the servers have."""

import asyncio
import re
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import httpx
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pool import Default
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import REGISTRY
from starlette.routing import Mount, Route

from service.config import Config
from service.engine import Engine
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.grpc.server import GrpcServer
from service.surfaces.http.server import HttpServer
from service.surfaces.metrics.page import MetricsPage
from service.surfaces.oip.data_plane import DataPlane
from service.surfaces.oip.rest import OipRest
from service.tasks.registry import endpoints
from tests.packages import write_package
from tests.serving import HOST, eventually, free_ports

with warnings.catch_warnings():  # BentoML's libraries use what others of them call outdated
    warnings.simplefilter("ignore")
    from service.surfaces.bentoml_service import mount_pages, task_service
    from service.surfaces.process.serving import make_servers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

HEADER = "x-walk"
READS_OF_GRPC = {
    *("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelConfig", "ModelStatistics"),
    *("RepositoryIndex", "Check", "Watch", "ServerReflectionInfo"),
}
CONTROL_OF_GRPC = {"RepositoryModelLoad", "RepositoryModelUnload", "SearchAdd", "SearchRemove"}


class Seen(NamedTuple):
    """What a check of the gate saw of a request."""

    surface: str
    kind: Kind
    header: list[str]
    peer: str


class Asked(NamedTuple):
    """An HTTP request to be sent, and what it must be taken for."""

    verb: str
    url: str
    kind: Kind


class Ports(NamedTuple):
    """Servers on all four ports, in this process, with a gate that writes down what it sees."""

    config: Config
    engine: Engine
    gate: Gate
    seen: list[Seen]

    def http(self, port: int, path: str) -> str:
        return f"http://{HOST}:{port}{path}"

    def took(self) -> Seen:
        """The one request that passed the gate since this was asked last."""
        [seen] = self.seen
        self.seen.clear()
        return seen


@asynccontextmanager
async def all_ports(repository: Path) -> AsyncIterator[Ports]:
    write_package(repository, "tiny", 1)
    names = ("http_port", "rest_port", "grpc_port", "metrics_port")
    config = Config.model_validate({"repository": repository, **dict(zip(names, free_ports(4), strict=True))})
    seen: list[Seen] = []

    def look(call: Call) -> None:
        seen.append(Seen(call.surface, call.kind, call.client.headers(HEADER), call.client.peer))

    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(Engine(config))
        gate = Gate(engine, [look])
        asked = endpoints(engine, config)
        grpc_server, http = make_servers(engine, asked, gate, config, MetricsPage())
        servers: list[GrpcServer | HttpServer] = [grpc_server, *http]
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        await grpc_server.serving()
        gate.open()
        yield Ports(config, engine, gate, seen)


def http_requests(ports: Ports) -> Iterator[Asked]:
    """One of every verb for every route of the three HTTP ports, and one for paths that there are not."""
    config = ports.config
    for route in OipRest(DataPlane(ports.engine, ports.gate, config), ports.gate, config).routes:
        # The pattern with its groups filled in.
        path = re.sub(r"\(\?P<\w+>[^)]*\)", "tiny", route.path.pattern).replace("(?:/versions/tiny)?", "")
        yield Asked(route.verb, ports.http(config.rest_port, path.removesuffix("/?")), route.kind)
    asked = endpoints(ports.engine, config)
    service = task_service(asked, ports.gate)
    mount_pages(service, ports.engine, asked, config, MetricsPage())
    tasks = {endpoint.path: Kind.CONTROL if endpoint.changes else Kind.INFERENCE for endpoint in asked}
    for path, verbs in starlette_routes(service.to_asgi().routes):
        kind = tasks.get(path, Kind.READ)
        yield from (Asked(verb, ports.http(config.http_port, path), kind) for verb in sorted(verbs))
    yield Asked("GET", ports.http(config.metrics_port, "/metrics"), Kind.READ)
    for port in (config.http_port, config.rest_port, config.metrics_port):
        yield Asked("GET", ports.http(port, "/nothing/here"), Kind.READ)
    yield Asked("PUT", ports.http(config.rest_port, "/v2/models/tiny/infer"), Kind.READ)
    yield Asked("PUT", ports.http(config.http_port, "/v1/classify"), Kind.READ)


def starlette_routes(routes: Any, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for route in routes:
        if isinstance(route, Route):
            yield prefix + route.path.replace("{name}", "tiny"), route.methods or set()
        elif route.routes:
            yield from starlette_routes(route.routes, prefix + (route.path if isinstance(route, Mount) else ""))
        else:  # files
            yield f"{route.path}/swagger-ui.css", {"GET"}


def counted() -> float:
    """The requests that the metrics have, of whatever surface and outcome."""
    names = ("lectorium_reads_total", "lectorium_request_duration_seconds_count")
    return sum(s.value for m in REGISTRY.collect() for s in m.samples if s.name in names)


async def counts(wanted: float) -> bool:
    """Whether it comes to that; a request may end a little later for the server than for its caller."""
    return await asyncio.to_thread(eventually, lambda: counted() == wanted)


async def test_every_route_of_every_http_port_passes_the_gate_once_with_its_headers(tmp_path: Path) -> None:
    async with all_ports(tmp_path) as ports, httpx.AsyncClient(headers={HEADER: "it"}) as client:
        walked = list(http_requests(ports))
        assert len(walked) > 30
        assert {kind for _, _, kind in walked} == set(Kind)
        for asked in walked:
            before = counted()
            await client.request(asked.verb, asked.url)
            assert ports.took()[1:3] == (asked.kind, ["it"]), asked
            assert await counts(before + 1), asked


async def test_while_draining_every_http_read_is_answered_and_all_else_is_refused(tmp_path: Path) -> None:
    async with all_ports(tmp_path) as ports, httpx.AsyncClient() as client:
        walked = list(http_requests(ports))
        before = [(await client.request(asked.verb, asked.url)).status_code for asked in walked]
        ports.gate.close()
        for asked, status in zip(walked, before, strict=True):
            answer = await client.request(asked.verb, asked.url)
            if asked.kind is not Kind.READ:
                assert (answer.status_code, "shutting down" in answer.text) == (503, True), asked
            elif asked.url.endswith(("/ready", "/readyz")):  # which is what those are for
                assert answer.status_code == 503, asked
            else:
                assert answer.status_code == status, asked


async def methods(channel: grpc.aio.Channel) -> list[MethodDescriptor]:
    """Those of the services that reflection tells of, its own included."""
    stub_class: Any = reflection_pb2_grpc.ServerReflectionStub
    stream = stub_class(channel).ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    [answer] = [each async for each in stream]
    names = [service.name for service in answer.list_services_response.service]
    assert len(names) == 4
    return [method for name in names for method in Default().FindServiceByName(name).methods]  # type: ignore[no-untyped-call]


def kind_of(method: MethodDescriptor) -> Kind:
    if method.name in READS_OF_GRPC:
        return Kind.READ
    return Kind.CONTROL if method.name in CONTROL_OF_GRPC else Kind.INFERENCE


async def ask(channel: grpc.aio.Channel, method: MethodDescriptor, data: bytes = b"") -> str:
    """Send one message; the status that the call ended with, or the refusal in a stream's only answer."""
    path, metadata = f"/{method.containing_service.full_name}/{method.name}", ((HEADER, "it"),)
    request: Any = iter([data]) if method.client_streaming else data
    arity = "_".join("stream" if each else "unary" for each in (method.client_streaming, method.server_streaming))
    call: Any = getattr(channel, arity)(path)(request, metadata=metadata, timeout=10)
    try:
        if not method.server_streaming:
            await call
            return "OK"
        async for answer in call:
            return str(answer, "utf-8", "replace")  # of Watch the first of many
    except grpc.aio.AioRpcError as error:
        return f"{error.code().name}: {error.details()}"
    finally:
        call.cancel()
    return "OK"


async def test_every_grpc_method_passes_the_gate_once_with_its_metadata(tmp_path: Path) -> None:
    async with all_ports(tmp_path) as ports, grpc.aio.insecure_channel(f"{HOST}:{ports.config.grpc_port}") as channel:
        found = await methods(channel)
        assert {method.name for method in found} >= READS_OF_GRPC | CONTROL_OF_GRPC
        ports.took()
        for method in found:
            before = counted()
            await ask(channel, method)
            assert ports.took()[1:3] == (kind_of(method), ["it"]), method.full_name
            assert await counts(before + 1), method.full_name


async def test_while_draining_every_grpc_read_is_answered_and_all_else_is_refused(tmp_path: Path) -> None:
    async with all_ports(tmp_path) as ports, grpc.aio.insecure_channel(f"{HOST}:{ports.config.grpc_port}") as channel:
        found = await methods(channel)
        before = {method.full_name: await ask(channel, method) for method in found}
        ports.gate.close()
        for method in found:
            answer = await ask(channel, method)
            if kind_of(method) is Kind.READ:
                assert answer == before[method.full_name], method.full_name
            else:
                assert "shutting down" in answer, method.full_name


async def test_bytes_that_are_no_message_are_refused_behind_the_gate_by_every_method_but_reflections(
    tmp_path: Path,
) -> None:
    async with all_ports(tmp_path) as ports, grpc.aio.insecure_channel(f"{HOST}:{ports.config.grpc_port}") as channel:
        found = [method for method in await methods(channel) if method.name != "ServerReflectionInfo"]
        ports.took()
        for method in found:
            answer = await ask(channel, method, b"\xff" * 9)
            assert "the request's 9 bytes cannot be read" in answer, method.full_name
            assert ports.took()[1:3] == (kind_of(method), ["it"]), method.full_name
