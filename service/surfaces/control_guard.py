"""Who may change what is served: no page of another site, and where a token is set, only who sends it."""

import hmac
import re
from collections.abc import Sequence
from ipaddress import ip_address

from service.config import Config
from service.errors import Forbidden, Unauthenticated
from service.surfaces.client import Client
from service.surfaces.gate import Call, Kind

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_AUTHORITY = r"(?:\[(?P<v6>[0-9a-f:.]{2,45})\]|(?P<name>[^][:/?#@\s]{1,253}))(?::\d{1,5})?"
_HOST = re.compile(_AUTHORITY, re.IGNORECASE)
_ORIGIN = re.compile("https?://" + _AUTHORITY, re.IGNORECASE)
_BEARER = re.compile("bearer +(?P<token>[!-~]+)", re.IGNORECASE)
_MAX_ECHO = 80
_CONTROL = Kind.CONTROL  # looked up for every request, and slow to find in the class


class ControlGuard:
    """A check of the gate, of the requests that load and unload models.

    A browser sends a POST of any page to any address, localhost included, before it asks whether the page may. Two
    headers that a page cannot set tell: ``Origin`` names the page's own site, and ``Host`` names the attacker's domain
    if that domain was made to resolve to this server's address (DNS rebinding). Addresses cannot be rebound, so any
    address is accepted as ``Host``; as ``Origin``, only the host in the request and the names of this server. gRPC
    clients send neither.
    """

    def __init__(self, config: Config) -> None:
        self._token = config.control_token.get_secret_value().encode() if config.control_token else None
        self._names = _LOOPBACK | {config.host.lower(), *config.allowed_hosts}

    def __call__(self, call: Call) -> None:
        """Check a request, if it changes what is served.

        Raises:
            Forbidden: a page of another site sent it.
            Unauthenticated: a token is set, and the request has none or another.
        """
        if call.kind is _CONTROL:
            self._check_page(call.client)
            self._check_token(call.client.headers("authorization"))

    def _check_page(self, client: Client) -> None:
        host = self._checked_host(client.headers("host"))
        for origin in client.headers("origin"):
            if _name(_ORIGIN, origin) not in self._names | {host}:
                raise Forbidden(
                    f"the Origin header is {origin[:_MAX_ECHO]!r}; only pages of this host, of localhost and of "
                    "allowed_hosts may change models or search indexes"
                )

    def _check_token(self, authorizations: Sequence[str]) -> None:
        """Check the token, if one is set; the message does not repeat what was given."""
        if self._token is None:
            return
        found = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        if found is None:
            problem = "has another form" if len(authorizations) == 1 else f"was given {len(authorizations)} times"
            raise Unauthenticated(f"authorization {problem}; it must be given once, as 'Bearer <control_token>'")
        if not hmac.compare_digest(found["token"].encode(), self._token):
            raise Unauthenticated("the given token is not this server's control_token")

    def _checked_host(self, hosts: list[str]) -> str | None:
        """The host in the request; None if it has no Host header, which no browser leaves out."""
        if not hosts:
            return None
        name = _name(_HOST, hosts[0]) if len(hosts) == 1 else None
        if name is None or not (name in self._names or _is_address(name)):
            raise Forbidden(
                f"the Host header is {', '.join(hosts)[:_MAX_ECHO]!r}; only requests to an IP address, localhost "
                "or a name in allowed_hosts may change models or search indexes"
            )
        return name


def _name(pattern: re.Pattern[str], text: str) -> str | None:
    """The host's name or address in lower case; None if the text has another form."""
    found = pattern.fullmatch(text)
    return (found["v6"] or found["name"]).lower() if found else None


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
