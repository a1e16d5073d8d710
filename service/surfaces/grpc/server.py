"""The gRPC server: the Open Inference Protocol, Vision, health and reflection on one port."""

import logging
import os
from collections.abc import Sequence
from typing import Any

# Read when the library starts. Its event engine wakes one more thread per call than the poller it replaced: an empty
# call takes 0.43 ms with it and 0.35 ms without (2 cores, one caller).
os.environ.setdefault("GRPC_EXPERIMENTS", "-event_engine_listener")

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from protos import open_inference_pb2, open_inference_pb2_grpc
from protos.lectorium.v1 import vision_pb2, vision_pb2_grpc
from service.config import Config
from service.surfaces.gate import Gate
from service.surfaces.grpc.gate import GatedReads
from service.surfaces.grpc.legible import Legible
from service.surfaces.grpc.tasks import vision
from service.surfaces.oip.grpc import OipGrpc
from service.surfaces.process.ports import bracketed, cannot_listen
from service.tasks.task import Endpoint

# For what a message holds beside the data that the limit is about: names, shapes, framing.
_ENVELOPE_BYTES = 64 << 10
_SERVICES = (
    open_inference_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name,
    vision_pb2.DESCRIPTOR.services_by_name["Vision"].full_name,
)


def _is_of_the_server(record: logging.LogRecord) -> bool:
    """False for the traceback that the library logs whenever an answer cannot be written because its caller has gone.

    Callers cause these at will, for example with a limit on messages that is below the answer's length.
    """
    return not record.getMessage().startswith("ExecuteBatchError raised in core")


class GrpcServer:
    """Listens from `start` until `stop`; health says SERVING between `serving` and `not_serving`."""

    def __init__(self, oip: OipGrpc, endpoints: Sequence[Endpoint], gate: Gate, config: Config) -> None:
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_of_the_server)  # adding it again changes nothing
        limit = config.max_request_bytes + _ENVELOPE_BYTES
        self._server = grpc.aio.server(
            # Workers share the port. Without workers a second server on it must fail, not get some of the calls.
            options=[("grpc.max_receive_message_length", limit), ("grpc.so_reuseport", int(config.workers > 1))],
        )
        legible: Any = Legible(self._server)
        gated: Any
        self._health = health.aio.HealthServicer()
        open_inference_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(oip, legible)
        vision_pb2_grpc.add_VisionServicer_to_server(vision(endpoints, gate, config), legible)
        gated = GatedReads(self._health, gate, "grpc_health")
        health_pb2_grpc.add_HealthServicer_to_server(gated, legible)
        described = reflection.aio.ReflectionServicer((*_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME))
        gated = GatedReads(described, gate, "grpc_reflection")
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(gated, self._server)  # type: ignore[no-untyped-call]
        self._status: int = health_pb2.HealthCheckResponse.NOT_SERVING
        self._host, self._port = config.host, config.grpc_port

    async def start(self) -> None:
        """Listen.

        Raises:
            InvalidConfig: the port is taken, or the address is not this machine's.
        """
        try:
            self._server.add_insecure_port(f"{bracketed(self._host)}:{self._port}")
        except RuntimeError as error:
            raise cannot_listen("gRPC", self._host, self._port, str(error)) from error
        # The library's servicer begins with SERVING.
        await self._announce(self._status)
        await self._server.start()

    async def serving(self) -> None:
        """Set health to SERVING; may be called before `start`."""
        self._status = health_pb2.HealthCheckResponse.SERVING
        await self._announce(self._status)

    async def not_serving(self) -> None:
        """Set health to NOT_SERVING for good, and tell the callers that watch it."""
        await self._health.enter_graceful_shutdown()

    async def stop(self) -> None:
        """Stop; calls that arrived while the gate closed have a second to be refused."""
        await self._server.stop(grace=1)

    async def _announce(self, status: Any) -> None:
        for service in ("", *_SERVICES):
            await self._health.set(service, status)
