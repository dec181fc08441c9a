"""Access control for the servers that browsers reach, by host name, origin and password.

Any web page can make a browser send requests to 127.0.0.1, and anyone can register a host name
that resolves to 127.0.0.1. Prefect's API can start shell commands, and MLflow's API can delete
models. Both servers, and that of `rnnlm play`, therefore run behind `AccessControl`.
"""

import base64
import binascii
import logging
import re
import secrets
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.servers.hosts import ALLOWED_HOSTS, LOCALHOST, is_loopback_address

_USUAL_PORTS = {"http": ":80", "https": ":443"}
_HEALTH = "/health"
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_HOST_HEADER = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:/?#@\[\]]+))(:\d+)?")

_logger = logging.getLogger(__name__)


class AccessControl:
    """ASGI middleware that refuses requests for unknown host names and cross-origin requests.

    Optionally it requires HTTP Basic authentication.

    Sources: OWASP's Cross-Site Request Forgery Prevention Cheat Sheet (verifying the origin with
    standard headers) and W3C's Fetch Metadata Request Headers.
    """

    def __init__(
        self, app: ASGIApp, names: Collection[str] = (), credentials: str | None = None
    ) -> None:
        """Wrap an application.

        Args:
            app: Any ASGI application.
            names: Host names to accept in addition to localhost and loopback addresses, in lower
                case, without ports.
            credentials: The `user:password` to require; None disables authentication. Requests to
                `/health` never need a password.
        """
        self._app = app
        self._names = frozenset(names) | {LOCALHOST}
        self._credentials = credentials.encode() if credentials else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it before the application sees it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if refusal is None:
            # The origin has been checked. Drop it, or the application would need its own allowlist.
            headers = [header for header in scope["headers"] if header[0] != b"origin"]
            await self._app({**scope, "headers": headers}, receive, _confined(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._accepts(_name(hosts[0])):
            names = ", ".join([*sorted(self._names), "127.0.0.1"])
            return _forbid(
                scope,
                f"host {_quote(hosts)} is not allowed; allowed: {names} (add one with "
                f"--allow-host or {ALLOWED_HOSTS})",
            )
        origins = headers.getlist("origin")
        if not all(_is_origin_of(origin, hosts[0]) for origin in origins):
            return _forbid(scope, f"cross-origin request from {_quote(origins)} refused")
        if _is_cross_origin(scope, headers):
            return _forbid(scope, "cross-origin request refused")
        if self._credentials and not self._is_signed_in(scope, headers):
            challenge = {"WWW-Authenticate": 'Basic realm="rnnlm", charset="UTF-8"'}
            return PlainTextResponse("authentication required\n", 401, challenge)
        return None

    def _accepts(self, name: str) -> bool:
        """Return whether requests for a host name or address are accepted.

        Loopback addresses always are, because they always mean this machine.
        """
        return name in self._names or is_loopback_address(name)

    def _is_signed_in(self, scope: Scope, headers: Headers) -> bool:
        if (
            scope["type"] == "http"
            and scope["path"] == _HEALTH
            and scope["method"] in ("GET", "HEAD")
        ):
            return True
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        assert self._credentials is not None
        return scheme.lower() == "basic" and secrets.compare_digest(given, self._credentials)


def _is_cross_origin(scope: Scope, headers: Headers) -> bool:
    """Return whether the browser reports that a page of another origin made it send the request.

    A request that only follows a link does not count as cross-origin; requests by frames, forms and
    scripts of the other page do.
    """
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    follows_link = (
        scope.get("method") in ("GET", "HEAD")
        and headers.get("sec-fetch-mode") == "navigate"
        and headers.get("sec-fetch-dest") == "document"
    )
    return not follows_link


def _confined(send: Send) -> Send:
    """Return a `send` that adds security headers to responses.

    The headers keep other sites from showing the pages in a frame (clickjacking), and keep the
    pages from sending requests to other servers, such as the usage statistics of Prefect's page.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Frame-Options", "SAMEORIGIN")
            headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
            headers.append("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        await send(message)

    return sending


def _forbid(scope: Scope, reason: str) -> Response:
    _logger.warning("refused %s: %s", ascii(scope["path"][:100]), reason)
    return PlainTextResponse(f"{reason}\n", 403)


def _is_origin_of(origin: str, host: str) -> bool:
    """Return whether an Origin header names the same server as a Host header.

    Proxies may add the usual port (80 or 443) to the Host header, so it is ignored there.
    """
    scheme, _, netloc = origin.lower().partition("://")
    return netloc == host.lower().removesuffix(_USUAL_PORTS.get(scheme, ""))


def _name(host: str) -> str:
    """Return the name in a Host header, without the port and an IPv6 address's brackets."""
    found = _HOST_HEADER.fullmatch(host.lower())
    return (found["address"] or found["name"]) if found else ""


def _quote(values: list[str]) -> str:
    """Return header values that a client sent, shortened and escaped for terminals and logs."""
    return ascii(" ".join(values)[:100])
