"""The serving process: how it starts, how it refuses to, and what it never does."""

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.packages import write_package
from tests.service.surfaces.conftest import IMAGE_TRANSPORTS, SERVED, TENSOR_TRANSPORTS, StartServer, ask
from tests.service.surfaces.refusals import refusal_to_start
from tests.serving import HOST, Server

LOOPBACK = ("127.0.0.1", "::1", "::ffff:127.0.0.1")


def test_the_greeting_names_models_addresses_and_a_command(server: Server) -> None:
    assert f"Lectorium serves {SERVED}" in server.log
    for address in (
        f"{server.http_port}\n",
        f"{server.rest_port}/v2",
        str(server.grpc_port),
        "/metrics",
        "/v1/classify",
    ):
        assert address in server.log


@pytest.mark.server
@pytest.mark.parametrize("taken", ["http_port", "rest_port", "grpc_port", "metrics_port"])
def test_a_port_that_is_taken_is_named_before_anything_is_loaded(tmp_path: Path, taken: str) -> None:
    server = Server(tmp_path / "nowhere", tmp_path / "home")
    with socket.create_server((HOST, getattr(server, taken))):
        said = refusal_to_start(server)
    assert f"cannot listen on {HOST}:{getattr(server, taken)}: Address already in use" in said
    assert f"; LECTORIUM_{taken.upper()} sets another\n" in said
    assert said.count("Error:") == 1
    assert "nowhere" not in said


@pytest.mark.server
def test_two_servers_never_share_the_grpc_port(server: Server, zoo: Path, tmp_path: Path) -> None:
    # gRPC would, and the kernel would deal the calls out between them.
    said = refusal_to_start(Server(zoo, tmp_path / "home", grpc_port=server.grpc_port))
    assert f"cannot listen on {server.grpc}" in said
    assert server.answers("/readyz")


@pytest.mark.server
@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("repositry", "x", "repositry"),
        ("rest_port", "eighty", "rest_port"),
        ("rest_port", "70000", "rest_port"),
        ("lanes", "0", "lanes"),
        ("timeout_s", "-1", "timeout_s"),
        ("config", "/nowhere.toml", "/nowhere.toml"),
    ],
)
def test_a_wrong_setting_is_named(zoo: Path, tmp_path: Path, setting: str, value: str, words: str) -> None:
    said = refusal_to_start(Server(zoo, tmp_path / "home", **{setting: value}))
    assert said.startswith("Error: ")
    assert words in said


def change_a_byte(folder: Path) -> None:
    graph = folder / "model.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


def cut_the_card(folder: Path) -> None:
    card = folder / "model.json"
    card.write_bytes(card.read_bytes()[:100])


@pytest.mark.server
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (change_a_byte, ["tiny/1/model.onnx", "sha256"]),
        (cut_the_card, ["tiny/1/model.json"]),
    ],
)
def test_a_package_that_may_not_be_served_is_named(
    tmp_path: Path, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(write_package(tmp_path / "zoo", "tiny", 1))
    said = refusal_to_start(Server(tmp_path / "zoo", tmp_path / "home"))
    assert [word for word in words if word not in said] == []


@pytest.mark.server
def test_a_repository_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "nowhere: no such folder" in refusal_to_start(Server(tmp_path / "nowhere", tmp_path / "home"))


@pytest.mark.server
@pytest.mark.parametrize(
    ("models", "why"),
    [
        ("captions=tiny", "no task 'captions'; allowed are "),
        ("caption=tiny", "caption is 'tiny'; models that caption and are served: "),
    ],
)
def test_a_default_model_that_there_cannot_be_refuses_to_start(
    models: str, why: str, repository: Path, tmp_path: Path
) -> None:
    server = Server(repository, tmp_path / "home", default_models=models)
    assert f"configuration: default_models: {why}" in refusal_to_start(server)


def test_nothing_calls_out_and_nothing_is_written(start: StartServer) -> None:
    server = start()
    stop = threading.Event()
    elsewhere: set[str] = set()

    def watch() -> None:
        process = psutil.Process(server.process.pid)
        while not stop.wait(0.005):
            peers = {connection.raddr.ip for connection in process.net_connections("inet") if connection.raddr}
            elsewhere.update(peers.difference(LOOPBACK))

    watcher = threading.Thread(target=watch)
    watcher.start()
    for way in (*TENSOR_TRANSPORTS, *IMAGE_TRANSPORTS):
        ask(server, way)
    for path in ("/", "/docs.json", "/schema.json", "/v1/models", "/metrics", "/livez"):
        assert server.answers(path)
    stop.set()
    watcher.join()
    assert server.stop() == 0
    assert elsewhere == set()
    assert list(server.home.rglob("*")) == [], "neither BentoML nor ONNX Runtime leaves an identity behind"


def test_it_listens_on_its_four_ports_only(server: Server) -> None:
    listening = {
        (c.laddr.ip, c.laddr.port)
        for c in psutil.Process(server.process.pid).net_connections("inet")
        if c.status == psutil.CONN_LISTEN
    }
    ports = (server.http_port, server.rest_port, server.grpc_port, server.metrics_port)
    assert {port for _, port in listening} == set(ports)
    assert {address for address, _ in listening} <= set(LOOPBACK)
