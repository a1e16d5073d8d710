"""Routes by path pattern and verb: what their requests are for, and what answers them."""

import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, NoReturn

from service.errors import LectoriumError, UnknownPath, WrongVerb
from service.surfaces.gate import Call, Kind
from service.surfaces.http.disconnect import Receive, Scope
from service.surfaces.http.error import Headers
from service.surfaces.http.sse import EventStream

_MAX_ECHO = 200

Answered = tuple[int, Headers, bytes]
# What sends events instead of one answer.
SendEvents = Callable[[EventStream], Awaitable[None]]
# Called with the call, its scope and receive, and the groups of the pattern by name.
Handler = Callable[..., Awaitable[Answered | SendEvents]]


class Route(NamedTuple):
    """Requests of ``verb`` whose whole path matches."""

    path: re.Pattern[str]
    verb: str
    kind: Kind
    handler: Handler


def find_route(routes: Sequence[Route], scope: Scope) -> tuple[Kind, Handler]:
    """What the request is for and what answers it; for one that no route takes, that is a refusal.

    It is found before the request passes the gate, and must not raise: refusals are counted there.
    """
    path: str = scope["path"]
    for route in routes:
        if match := route.path.fullmatch(path):
            if scope["method"] != route.verb:
                message = f"{scope['method']} {path[:_MAX_ECHO]}: this path takes {route.verb}"
                return Kind.READ, partial(_refuse, WrongVerb, message)
            return route.kind, partial(route.handler, **match.groupdict())
    return Kind.READ, partial(_refuse, UnknownPath, f"no path {path[:_MAX_ECHO]!r}")


# The error is made here: one that its raiser's frames hold would keep the request until the garbage collector runs.
async def _refuse(
    error: type[LectoriumError], message: str, _call: Call, _scope: Scope, _receive: Receive, **_: Any
) -> NoReturn:
    raise error(message)
