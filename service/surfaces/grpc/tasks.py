"""`lectorium.v1.Vision`: the tasks over gRPC. Its methods are made from the table of tasks."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import MethodType, SimpleNamespace
from typing import Any, NamedTuple

from google.protobuf.descriptor import MethodDescriptor

from protos.lectorium.v1 import vision_pb2 as pb
from service.config import Config
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.gate import Call, Gate, Kind
from service.surfaces.grpc.gate import Context, gated, readable
from service.surfaces.grpc.messages import MessageMismatch, Read, event_writer, reader, writer
from service.surfaces.grpc.request_stream import RequestStream
from service.surfaces.task_call import answer, answers
from service.tasks.task import Endpoint

SURFACE = "vision_grpc"
SERVICE = pb.DESCRIPTOR.services_by_name["Vision"]
# A method whose name ends so takes the same requests as the one without it, in a stream.
STREAM = "Stream"
# Requests of one stream that run at the same time: enough to fill any model's batches. Fewer than for tensors, because
# each may be an image of the largest size.
MAX_AT_ONCE = 64

Method = Callable[[Any, Context], Awaitable[Any]]


class Numbered(NamedTuple):
    """A request of a stream, or the refusal of one that could not be read, and the id of its answer."""

    id: str
    request: Any


def vision(endpoints: Sequence[Endpoint], gate: Gate, config: Config) -> SimpleNamespace:
    """The servicer: an object with the service's methods.

    Raises:
        MessageMismatch: a method has no endpoint, or an endpoint's messages have other fields.
    """
    named = {_method_name(endpoint): endpoint for endpoint in endpoints}
    made = VisionMethods(gate, config)
    return SimpleNamespace(**{method.name: made.method(method, named) for method in SERVICE.methods})


def _method_name(endpoint: Endpoint) -> str:
    """A task with events has one method, the stream; over HTTP it has two paths."""
    name = endpoint.name.removesuffix("_stream") if endpoint.events else endpoint.name
    return name.title().replace("_", "")


class VisionMethods:
    """Makes the methods."""

    def __init__(self, gate: Gate, config: Config) -> None:
        self._gate = gate
        self._config = config

    def method(self, method: MethodDescriptor, endpoints: dict[str, Endpoint]) -> Method:
        """The method, which answers with the endpoint of its name."""
        if method.name.removesuffix(STREAM) not in endpoints:
            raise MessageMismatch(f"{method.full_name} belongs to no task; the tasks have {sorted(endpoints)}")
        endpoint = endpoints[method.name.removesuffix(STREAM)]
        read = reader(method.input_type, endpoint.ask)
        if method.client_streaming:
            response = method.output_type.fields_by_name["response"].message_type
            return self._side_by_side(endpoint, read, writer(response, endpoint.answer))
        if method.server_streaming:
            return self._events(endpoint, read, event_writer(method.output_type, endpoint))
        return self._once(endpoint, read, writer(method.output_type, endpoint.answer))

    def _once(self, endpoint: Endpoint, read: Read, write: Callable[[Any, str], Any]) -> Method:
        @gated(SURFACE, Kind.INFERENCE)
        async def once(_: VisionMethods, request: Any, call: Call) -> Any:
            return write(await answer(endpoint, read(request), call), request.id)

        return MethodType(once, self)

    def _events(self, endpoint: Endpoint, read: Read, write: Callable[[Any, str], Any]) -> Method:
        """An error ends the call with its status; events before it have been sent."""

        async def each(request: Any, call: Call) -> AsyncGenerator[Any]:
            async with aclosing(answers(endpoint, read(readable(request)), call)) as found:
                async for event in found:
                    yield write(event, request.id)

        async def events(request: Any, context: Context) -> None:
            stream = RequestStream(
                SURFACE,
                self._gate,
                context,
                answers=each,
                refusal=None,
                at_once=1,
                patience_s=self._config.timeout_s,
            )
            await stream.serve_one(request)

        return events

    def _side_by_side(self, endpoint: Endpoint, read: Read, write: Callable[[Any, str], Any]) -> Method:
        """Each request is answered as soon as it is done; errors are answers, too."""

        async def one(numbered: Numbered, call: Call) -> AsyncGenerator[pb.ClassifyStreamResponse]:
            request = readable(numbered.request)
            response = write(await answer(endpoint, read(request), call), numbered.id)
            yield pb.ClassifyStreamResponse(id=numbered.id, response=response)

        async def side_by_side(requests: AsyncIterator[Any], context: Context) -> None:
            stream = RequestStream(
                SURFACE,
                self._gate,
                context,
                answers=one,
                refusal=_refusal,
                at_once=MAX_AT_ONCE,
                patience_s=self._config.timeout_s,
            )
            await stream.serve(_numbered(requests))

        return side_by_side


async def _numbered(requests: AsyncIterator[Any]) -> AsyncGenerator[Numbered]:
    number = 0
    async for request in requests:
        number += 1
        yield Numbered((not isinstance(request, InvalidArgument) and request.id) or str(number), request)


def _refusal(numbered: Numbered, error: LectoriumError) -> pb.ClassifyStreamResponse:
    return pb.ClassifyStreamResponse(id=numbered.id, error=pb.Error(code=error.grpc_code, message=str(error)))
