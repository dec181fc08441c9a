"""Access rules for the Prefect and MLflow servers: host name, origin, password.

Any web page can make a browser send requests to 127.0.0.1, and anyone can point a host name of
their own at it. Prefect's API starts shell commands and MLflow's deletes models, so both servers
run behind `AccessControl`.
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

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flows import credentials
from rnnlm.errors import ServerError

ALLOWED_HOSTS = "RNNLM_ALLOWED_HOSTS"
"""Environment variable: host names to accept in addition to this machine's, comma-separated."""
LOCALHOST = "localhost"
_USUAL_PORTS = {"http": ":80", "https": ":443"}
_HEALTH = ("/health", "/api/health")
_CONTENT_SECURITY_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - bound only when a password is set

_HOST_NAME = re.compile(r"(?![\d.]+$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")
_HOST_HEADER = re.compile(r"(\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[^\s:/?#@\[\]]+))(:\d+)?")

_logger = logging.getLogger(__name__)


def allowed_names() -> frozenset[str]:
    """Return the host names that servers accept in addition to localhost and loopback addresses.

    Raises:
        ServerError: A name is invalid.
    """
    names = filter(None, (name.strip() for name in os.environ.get(ALLOWED_HOSTS, "").split(",")))
    return frozenset(_check_name(name, ALLOWED_HOSTS) for name in names)


def allow(names: Iterable[str]) -> None:
    """Add host names for the servers that this process starts.

    Raises:
        ServerError: A name is invalid.
    """
    added = [_check_name(name, "--allow-host") for name in names]
    os.environ[ALLOWED_HOSTS] = ",".join(filter(None, [os.environ.get(ALLOWED_HOSTS), *added]))


def check_host(host: str = LOCALHOST) -> str:
    """Check that servers may listen on `host`; return the address or name to listen on.

    A host that other machines can reach is added to the allowed names.

    Raises:
        ServerError: Other machines are let in, by the host or by an allowed name, without a
            password or without a name; or a name is invalid.
        ConfigError: The password is invalid.
    """
    if _is_address(host):
        host = str(ipaddress.ip_address(host))  # 0:0::0 is ::
    password, named, is_local = credentials.read(), allowed_names(), is_loopback(host)
    if not is_local or named:
        missing = [] if password else [f"a password ({credentials.PASSWORD_FILE}=FILE)"]
        missing += [] if named else ["a host name (--allow-host NAME)"]
        what = f"--allow-host {min(named)}" if is_local else f"--host {host}"
        if missing:
            raise ServerError(
                f"{what} exposes the servers to other machines, and anyone who can reach Prefect "
                f"can run commands here: set {' and '.join(missing)}, or use 127.0.0.1"
            )
    if not is_local and host not in _WILDCARDS:
        allow([host])
    # This machine's own name is not among the accepted ones; its address always is.
    return _addresses(host)[0] if is_local and host != LOCALHOST else host


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address or name.

    Raises:
        ServerError: The name does not resolve.
    """
    return all(ipaddress.ip_address(address).is_loopback for address in _addresses(host))


def _addresses(host: str) -> list[str]:
    if _is_address(host):
        return [host]
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ServerError(
            f"--host {host} does not resolve ({error.strerror}); use an address of this machine"
        ) from error
    return [str(address[4][0]) for address in found]


def _check_name(name: str, source: str) -> str:
    if not _HOST_NAME.fullmatch(name) and not _is_address(name):
        raise ServerError(
            f"{source} {name!r} is not a host name (expected, for example, rnnlm.example.org or "
            "192.0.2.7; no scheme or port)"
        )
    return name.lower()


class AccessControl:
    """ASGI middleware that refuses foreign hosts and cross-origin requests.

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
            credentials: The `user:password` to require; None disables authentication. Health
                checks are exempt.
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
            # Origin is checked; drop it so that the application needs no allowlist of its own.
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
        """Return whether a host is accepted; a loopback address cannot be anyone else's."""
        return name in self._names or (_is_address(name) and ipaddress.ip_address(name).is_loopback)

    def _is_signed_in(self, scope: Scope, headers: Headers) -> bool:
        if (
            scope["type"] == "http"
            and scope["path"] in _HEALTH
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
    """Return whether a browser says that a page of another origin sent this.

    Following a link is allowed; frames, forms and scripts are not.
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
    """Return a `send` that adds headers which confine pages to this server.

    They prevent framing by other sites (clickjacking), and requests to other servers, such as
    those with which Prefect's page sends usage statistics.
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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_origin_of(origin: str, host: str) -> bool:
    """Return whether an origin is that of a Host header; proxies may add the scheme's port."""
    scheme, _, netloc = origin.lower().partition("://")
    return netloc == host.lower().removesuffix(_USUAL_PORTS.get(scheme, ""))


def _name(host: str) -> str:
    """Return the name in a Host header, without the port and an IPv6 address's brackets."""
    found = _HOST_HEADER.fullmatch(host.lower())
    return (found["address"] or found["name"]) if found else ""


def _quote(values: list[str]) -> str:
    """Return what a client sent, escaped for terminals and logs."""
    return ascii(" ".join(values)[:100])
