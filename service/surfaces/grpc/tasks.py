"""`lectorium.v1.Vision`: the tasks over gRPC. Its methods are made from the table of tasks."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from types import MethodType, SimpleNamespace
from typing import Any

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from pydantic import BaseModel

from protos.lectorium.v1 import vision_pb2 as pb
from service.config import Config
from service.errors import LectoriumError
from service.surfaces.gate import Call, Gate
from service.surfaces.grpc.frame_stream import MOST_UNANSWERED, REQUEST, FrameStream, frames
from service.surfaces.grpc.gate import Context, gated, readable
from service.surfaces.grpc.messages import MessageMismatch, Read, event_writer, reader, writer
from service.surfaces.grpc.numbered import Numbered, numbered
from service.surfaces.grpc.request_stream import RequestStream
from service.surfaces.task_call import answer, answers, kind_of
from service.tasks.task import Endpoint

SURFACE = "vision_grpc"
SERVICE = pb.DESCRIPTOR.services_by_name["Vision"]
# A method whose name ends so takes the same requests as the one without it, in a stream; if its messages wrap them in a
# field `request`, it answers them in order.
STREAM = "Stream"
# Requests of one stream that run at the same time: enough to fill any model's batches. Fewer than for tensors, because
# each may be an image of the largest size.
MAX_AT_ONCE = 64

Method = Callable[[Any, Context], Awaitable[Any]]
Write = Callable[[BaseModel, str], Any]


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
        if method.client_streaming:
            return self._stream(method, endpoint)
        read = reader(method.input_type, endpoint.ask)
        if method.server_streaming:
            return self._events(endpoint, read, event_writer(method.output_type, endpoint))
        return self._once(endpoint, read, writer(method.output_type, endpoint.answer, large=endpoint.large))

    def _once(self, endpoint: Endpoint, read: Read, write: Write) -> Method:
        @gated(SURFACE, kind_of(endpoint))
        async def once(_: VisionMethods, request: Any, call: Call) -> Any:
            return await _written(endpoint, write, await answer(endpoint, read(request), call), request.id)

        return MethodType(once, self)

    def _events(self, endpoint: Endpoint, read: Read, write: Write) -> Method:
        """An error ends the call with its status; events before it have been sent."""

        async def each(request: Any, call: Call) -> AsyncGenerator[Any]:
            async with aclosing(answers(endpoint, read(readable(request)), call)) as found:
                async for event in found:
                    yield await _written(endpoint, write, event, request.id)

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

    def _stream(self, method: MethodDescriptor, endpoint: Endpoint) -> Method:
        """Each request is answered as soon as it is done, or in order; errors are answers, too."""
        outcome = GetMessageClass(method.output_type)
        response = method.output_type.fields_by_name["response"].message_type
        write = writer(response, endpoint.answer, large=endpoint.large)
        wrapper = method.input_type.fields_by_name.get(REQUEST)
        read = reader(method.input_type if wrapper is None else wrapper.message_type, endpoint.ask)
        in_order = wrapper is not None

        async def one(numbered: Numbered, call: Call) -> AsyncGenerator[Any]:
            request = readable(await numbered.begin())
            found = await answer(endpoint, read(request), call)
            yield outcome(id=numbered.id, response=await _written(endpoint, write, found, numbered.id))

        def refusal(numbered: Numbered, error: LectoriumError) -> Any:
            return outcome(id=numbered.id, error=pb.Error(code=error.grpc_code, message=str(error)))

        async def stream(requests: AsyncIterator[Any], context: Context) -> None:
            kind: type[RequestStream[Any, Any]] = FrameStream if in_order else RequestStream
            served = kind(
                SURFACE,
                self._gate,
                context,
                answers=one,
                refusal=refusal,
                at_once=MOST_UNANSWERED if in_order else MAX_AT_ONCE,
                patience_s=self._config.timeout_s,
            )
            await served.serve(frames(requests) if in_order else numbered(requests))

        return stream


async def _written(endpoint: Endpoint, write: Write, found: BaseModel, id: str) -> Any:
    """The message of an event or answer; an answer that may be large is written on a thread, so that others go on."""
    if endpoint.large and isinstance(found, endpoint.answer):
        return await asyncio.to_thread(write, found, id)
    return write(found, id)
