"""Which requests a server of ours answers: by host name, by the page that sends it, by password.

Any web page can make a browser send requests to 127.0.0.1, and anyone's host name can resolve to
it. Prefect's API starts shell commands and MLflow's deletes models, so both servers run behind
`AccessControl`.
"""

import base64
import binascii
import ipaddress
import logging
import os
import re
import secrets
import socket
from collections.abc import Collection, Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows.servers import credentials
from rnnlm.errors import ServerError

ALLOWED_HOSTS = "RNNLM_ALLOWED_HOSTS"
"""Environment variable with further host names to answer to, separated by commas."""
LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_HEALTH = ("/health", "/api/health")
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - listened on only behind a password

_HOST_NAME = re.compile(r"(?![\d.]+$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_HOST_HEADER = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:/?#@\[\]]+))(:\d+)?")

_logger = logging.getLogger(__name__)


def host_names() -> frozenset[str]:
    """Return the names that servers on this machine answer to, without ports."""
    named = os.environ.get(ALLOWED_HOSTS, "").split(",")
    return frozenset(LOOPBACK_NAMES) | {name.strip().lower() for name in named if name.strip()}


def allow(names: Iterable[str]) -> None:
    """Let the servers that this process starts answer to further names.

    Raises:
        ServerError: One is no host name.
    """
    names = [*names]
    for name in names:
        if not _HOST_NAME.fullmatch(name) and not _is_address(name):
            raise ServerError(
                f"--allow-host {name!r} is no host name (expected such as rnnlm.example.org or "
                "192.0.2.7, without scheme and port)"
            )
    os.environ[ALLOWED_HOSTS] = ",".join(filter(None, [os.environ.get(ALLOWED_HOSTS), *names]))


def check_host(host: str) -> None:
    """Return if servers may listen on an address; its name is allowed then.

    Raises:
        ServerError: It can be reached from other machines, and no password or no name is set.
        ConfigError: The password cannot be used.
    """
    password = credentials.read()
    if is_loopback(host):
        return
    missing = [] if password else [f"a password ({credentials.PASSWORD_FILE}=FILE)"]
    if not host_names() - {*LOOPBACK_NAMES}:
        missing.append("the name that browsers know it by (--allow-host NAME)")
    if missing:
        raise ServerError(
            f"--host {host} opens the servers to other machines, and whoever reaches Prefect can "
            f"run commands here: set {' and '.join(missing)}, or keep to 127.0.0.1"
        )
    if host not in _WILDCARDS:
        allow([host])


def is_loopback(host: str) -> bool:
    """Return whether an address or name means this machine alone.

    Raises:
        ServerError: The name has no address.
    """
    if _is_address(host):
        return ipaddress.ip_address(host).is_loopback
    try:
        found = socket.getaddrinfo(host, None)
    except OSError as error:
        raise ServerError(
            f"--host {host} has no address ({error.strerror}); name an address of this machine"
        ) from error
    return all(ipaddress.ip_address(address[4][0]).is_loopback for address in found)


class AccessControl:
    """ASGI middleware that refuses requests from other sites and, if asked to, without a password.

    Sources: OWASP's Cross-Site Request Forgery Prevention Cheat Sheet (verifying the origin with
    standard headers) and W3C's Fetch Metadata Request Headers.
    """

    def __init__(
        self, app: ASGIApp, names: Collection[str], credentials: str | None = None
    ) -> None:
        """Wrap an application.

        Args:
            app: Any ASGI application.
            names: Host names to answer to, in lower case, without ports.
            credentials: `user:password` that HTTP Basic authentication has to match; None asks for
                none. The health check never asks.
        """
        self._app = app
        self._names = names
        self._credentials = credentials.encode() if credentials else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or refuse it before the application sees it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refuse(scope)
        if refusal is None:
            # Without its Origin, which has been checked, no list of origins has to be kept twice.
            headers = [header for header in scope["headers"] if header[0] != b"origin"]
            await self._app({**scope, "headers": headers}, receive, _confined(send))
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refusal(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(hosts[0]) not in self._names:
            return _forbid(
                scope,
                f"this server does not answer to {_quote(hosts)}; it answers to "
                f"{', '.join(sorted(self._names))} ({ALLOWED_HOSTS} or --allow-host adds a name)",
            )
        origins = headers.getlist("origin")
        if any(_netloc(origin) != hosts[0].lower() for origin in origins):
            return _forbid(scope, f"pages of {_quote(origins)} may not call this server")
        if _is_of_another_site(scope, headers):
            return _forbid(scope, "pages of other sites may not call this server")
        if self._credentials and not self._is_signed_in(scope, headers):
            challenge = {"WWW-Authenticate": 'Basic realm="rnnlm", charset="UTF-8"'}
            return PlainTextResponse("user and password, please\n", 401, challenge)
        return None

    def _is_signed_in(self, scope: Scope, headers: Headers) -> bool:
        if scope["type"] == "http" and scope["path"] in _HEALTH and scope["method"] == "GET":
            return True
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            return False
        assert self._credentials is not None
        return scheme.lower() == "basic" and secrets.compare_digest(given, self._credentials)


def _is_of_another_site(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser says that another site's page sent this.

    Following a link to a page of ours is allowed; a frame, a form or a script is not.
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
    """Return a `send` that tells browsers to confine pages to this server.

    Not shown inside other sites' pages, where clicks can be stolen; not calling other servers,
    as Prefect's page does with its usage statistics whatever its settings say.
    """

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("X-Frame-Options", "SAMEORIGIN")
            headers.append("Content-Security-Policy", _CONTENT_SECURITY_POLICY)
        await send(message)

    return sending


def _forbid(scope: Scope, reason: str) -> Response:
    _logger.warning("refused %s: %s", scope["path"], reason)
    return PlainTextResponse(f"{reason}\n", 403)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """Return the name in a Host header, without the port and an IPv6 address's brackets."""
    found = _HOST_HEADER.fullmatch(host.lower())
    return (found["address"] or found["name"]) if found else ""


def _quote(values: list[str]) -> str:
    """Return what a client sent, harmless to terminals and logs."""
    return ascii(" ".join(values)[:100])
