"""The door for BentoML's routes: ASGI middleware around what BentoML makes of them."""

from service.config import Config
from service.deadline import Deadline
from service.errors import InvalidArgument, LectoriumError
from service.surfaces.body import header, read_body
from service.surfaces.disconnect import ASGIApp, Callers, Message, Receive, Scope, Send
from service.surfaces.door import Door, Visit
from service.surfaces.encoding import decoded
from service.surfaces.http_error import ANSWERED, error_answer
from service.surfaces.sse import EventStream

SURFACE = "http"
TASKS = frozenset(
    {
        "/v1/caption",
        "/v1/caption/stream",
        "/v1/classify",
        "/v1/classify/batch",
        "/v1/classify-text",
        "/v1/classify-text/batch",
    }
)
# BentoML's services among themselves; at the pickles among these it fails, with a trace in the log.
_BENTOML = b"application/vnd.bentoml+"
# The name of the event that says an error.
ERROR = "error"


class Refusal(BaseException):
    """Carries an error past BentoML, which would hide the message of some statuses and wrap that of others."""

    def __init__(self, error: LectoriumError) -> None:
        super().__init__(str(error))
        self.error = error


class TaskDoor:
    """Middleware: task requests pass the door with their body read, within bounds, and their caller watched."""

    def __init__(self, app: ASGIApp, door: Door, config: Config) -> None:
        self._app = app
        self._door = door
        self._limit = config.max_request_bytes
        self._patience_s = config.timeout_s
        self._callers = Callers(config.timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["path"] not in TASKS or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        events = EventStream(send, self._patience_s, ERROR)
        try:
            with self._door.visit(SURFACE, connection=str(scope.get("client"))) as visit:
                scope.setdefault("state", {}).update(visit=visit, events=events)
                await self._handle(scope, receive, send, visit)
        except ANSWERED as error:
            if events.begun:
                await events.fail(error)
                return
            status, headers, answer = error_answer(error)
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": answer})

    async def _handle(self, scope: Scope, receive: Receive, send: Send, visit: Visit) -> None:
        if _BENTOML in header(scope, b"content-type"):
            raise InvalidArgument(f"a form or JSON is wanted, {_BENTOML.decode()}... came")
        with self._callers.caller(scope) as caller:
            body = await decoded(scope, await read_body(scope, receive, self._limit), self._limit)
            caller.body_came()
            visit.deadline = Deadline.after(self._patience_s)
            try:
                await self._app(scope, _Replay(body, receive), send)
            except Refusal as refusal:
                raise refusal.error from None


class _Replay:
    """The ASGI receive of a request whose body has been read."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        message = {"type": "http.request", "body": self._body, "more_body": False}
        self._body = None
        return message
