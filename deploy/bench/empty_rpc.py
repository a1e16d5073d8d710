"""The least work of grpc.aio: any message in, an empty one out, with the library configured as in Lectorium."""

import asyncio
import sys

import service.surfaces.grpc.server  # noqa: F401  sets the library's environment, before it is imported below

# isort: split
import grpc
import uvloop

from deploy.bench.server import HOST


class Empty(grpc.GenericRpcHandler):
    """Answers every method with an empty message."""

    def __init__(self) -> None:
        self._handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(self._call)

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        """The handler of every method."""
        return self._handler

    async def _call(self, _request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        return b""


async def serve(port: int) -> None:
    """Serve until killed."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers([Empty()])
    server.add_insecure_port(f"{HOST}:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
