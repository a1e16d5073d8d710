"""All errors that a caller can get. Each class defines its HTTP status, its gRPC code and its reason in the metrics."""

from typing import ClassVar


class LectoriumError(Exception):
    """Base of all errors that are returned to a caller; the message is written for the caller.

    ``grpc_code`` is the name of a ``grpc.StatusCode``; ``reason`` labels the rejection counter.
    """

    http_status: ClassVar[int] = 500
    grpc_code: ClassVar[str] = "INTERNAL"
    reason: ClassVar[str] = "internal"


class InvalidArgument(LectoriumError):
    """The request itself is wrong: a parameter, a tensor's name, shape, datatype or size."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    reason = "invalid_argument"


class InvalidImage(InvalidArgument):
    """The bytes are not an image that can be decoded: another format, truncated, empty."""

    reason = "invalid_image"


class TooLarge(InvalidArgument):
    """The request is over a size limit, in bytes or pixels."""

    http_status = 413
    reason = "too_large"


class Unauthenticated(LectoriumError):
    """The request needs a token, and has none or a wrong one."""

    http_status = 401
    grpc_code = "UNAUTHENTICATED"
    reason = "unauthenticated"


class Forbidden(LectoriumError):
    """The request is not allowed for this caller: a page of another site."""

    http_status = 403
    grpc_code = "PERMISSION_DENIED"
    reason = "forbidden"


class HeadTooLarge(InvalidArgument):
    """The head of an HTTP request, or its trailers, have too many bytes or too many fields."""

    http_status = 431
    reason = "head_too_large"


class UnknownModel(LectoriumError):
    """No such model, or no such version of it."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    reason = "unknown_model"


class UnknownIndex(LectoriumError):
    """No such search index."""

    http_status = 404
    grpc_code = "NOT_FOUND"
    reason = "unknown_index"


class InvalidIndex(LectoriumError):
    """A search index that cannot be used as it is: damaged, unfinished, full, or made with another model."""

    http_status = 409
    grpc_code = "FAILED_PRECONDITION"
    reason = "invalid_index"


class IndexBusy(LectoriumError):
    """Others write to the search index for longer than the request may wait; ``retry_after`` is in whole seconds."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "index_busy"
    retry_after: ClassVar[int] = 1


class UnknownPath(LectoriumError):
    """No such path (HTTP only: gRPC answers unknown methods by itself)."""

    http_status = 404
    grpc_code = "UNIMPLEMENTED"
    reason = "unknown_path"


class WrongVerb(LectoriumError):
    """The path exists, but not with this HTTP verb."""

    http_status = 405
    grpc_code = "UNIMPLEMENTED"
    reason = "wrong_verb"


class Unsupported(LectoriumError):
    """The requested feature exists, but not for this model or in this way."""

    http_status = 501
    grpc_code = "UNIMPLEMENTED"
    reason = "unsupported"


class QueueFull(LectoriumError):
    """The model's queue has no room for these rows; ``retry_after`` is in whole seconds."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "queue_full"
    retry_after: ClassVar[int] = 1


class CallerBehind(LectoriumError):
    """The caller reads its emissions so slowly that they would fill the memory."""

    http_status = 429
    grpc_code = "RESOURCE_EXHAUSTED"
    reason = "caller_behind"


class Skipped(LectoriumError):
    """The request of a stream was not answered, as its caller wanted, because a newer one arrived before its turn."""

    http_status = 409
    grpc_code = "ABORTED"
    reason = "skipped"


class DeadlineExceeded(LectoriumError):
    """The request's time ran out."""

    http_status = 504
    grpc_code = "DEADLINE_EXCEEDED"
    reason = "deadline"


class HeadLate(LectoriumError):
    """The head of a request did not arrive in time (HTTP only: gRPC's library has its own limits)."""

    http_status = 408
    grpc_code = "UNIMPLEMENTED"
    reason = "head_late"


class CallerGone(LectoriumError):
    """The caller disconnected before the answer; nobody reads this one (proxies use 499 for it)."""

    http_status = 499
    grpc_code = "CANCELLED"
    reason = "cancelled"


class NotReady(LectoriumError):
    """The answer to a probe if requests are not accepted, or not for every model that should be served."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "not_ready"


class Draining(LectoriumError):
    """The server is shutting down and accepts no new requests."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "draining"


class TooManyConnections(LectoriumError):
    """The port has the most connections allowed; ``retry_after`` is in whole seconds."""

    http_status = 503
    grpc_code = "UNAVAILABLE"
    reason = "too_many_connections"
    retry_after: ClassVar[int] = 1


class InternalError(LectoriumError):
    """A fault of the server. The message has no internals; the log has the traceback."""


class InvalidPackage(LectoriumError):
    """A package that must not be served: its card, its files or its graph are invalid or contradict each other."""

    http_status = 400
    grpc_code = "INVALID_ARGUMENT"
    reason = "invalid_package"


class ControlRefused(LectoriumError):
    """This server does not load and unload models, or change search indexes, on request."""

    http_status = 400
    grpc_code = "FAILED_PRECONDITION"
    reason = "control_refused"


class InvalidConfig(LectoriumError):
    """The configuration has an unknown key or a value of the wrong kind."""

    reason = "invalid_config"
