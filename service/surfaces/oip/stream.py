"""ModelStreamInfer: how its requests are answered and refused."""

from collections.abc import AsyncGenerator, Callable

from protos import open_inference_pb2 as pb
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.gate import Call, Gate
from service.surfaces.grpc.gate import Context
from service.surfaces.grpc.request_stream import RequestStream

# Marks the last answer of a request. No empty one follows it, even for callers that accept one
# (triton_enable_empty_final_response): the last answer is known to be the last when it is sent.
FINAL = "triton_final_response"
# Enough to fill any model's batches.
MAX_AT_ONCE = 256
_AS_STATUS = ("triton_grpc_error", "true")

# A request, or the refusal of one that could not be read.
StreamRequest = pb.ModelInferRequest | InvalidArgument
Answers = Callable[[StreamRequest, Call], AsyncGenerator[pb.ModelStreamInferResponse]]
InferStream = RequestStream[StreamRequest, pb.ModelStreamInferResponse]


def infer_stream(surface: str, gate: Gate, context: Context, answers: Answers, patience_s: float) -> InferStream:
    """One call. An error is the answer of its request, unless the metadata asks for a status, which ends the call."""
    in_band = _AS_STATUS not in {(key, value) for key, value in context.invocation_metadata() or ()}
    return RequestStream(
        surface,
        gate,
        context,
        answers=answers,
        refusal=_refusal if in_band else None,
        at_once=MAX_AT_ONCE,
        patience_s=patience_s,
    )


def _refusal(request: StreamRequest, error: LectoriumError) -> pb.ModelStreamInferResponse:
    """The error, with the request's id if it could be read, so that the caller knows which request it belongs to."""
    refused = pb.ModelInferResponse(id="" if isinstance(request, InvalidArgument) else request.id)
    refused.parameters[FINAL].bool_param = True
    return pb.ModelStreamInferResponse(error_message=str(error), infer_response=refused)
