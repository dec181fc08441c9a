"""Check which addresses servers may listen on, and which host names in requests they accept."""

import ipaddress
import os
import re
import socket
from collections.abc import Iterable

from flows.runtime import credentials
from rnnlm.errors import ServerError

ALLOWED_HOSTS = "RNNLM_ALLOWED_HOSTS"
"""Name of an environment variable with host names that servers accept in addition to localhost and
loopback addresses, separated by commas."""
LOCALHOST = "localhost"
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - bound only when a password is set
_HOST_NAME = re.compile(r"(?![\d.]+$)[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?")


def allowed_names() -> frozenset[str]:
    """Return the host names that servers accept in addition to localhost and loopback addresses.

    Raises:
        ServerError: A name is invalid.
    """
    names = filter(None, (name.strip() for name in os.environ.get(ALLOWED_HOSTS, "").split(",")))
    return frozenset(_check_name(name, ALLOWED_HOSTS) for name in names)


def allow(names: Iterable[str]) -> None:
    """Add host names that the servers started by this process will accept in requests.

    Raises:
        ServerError: A name is invalid.
    """
    added = [_check_name(name, "--allow-host") for name in names]
    os.environ[ALLOWED_HOSTS] = ",".join(filter(None, [os.environ.get(ALLOWED_HOSTS), *added]))


def check_host(host: str = "127.0.0.1") -> str:
    """Check that servers may listen on `host`; return the address or name to listen on.

    If other machines may reach the servers, a password and at least one allowed host name are
    required. Other machines are assumed to reach them if `host` is not a loopback address, or if
    any host names are allowed. A `host` that is not a loopback address is added to the allowed
    host names, unless it is a wildcard such as 0.0.0.0.

    Raises:
        ServerError: The password or the host name is missing, or a name is invalid.
        ConfigError: The password is invalid.
    """
    if _is_address(host):
        host = str(ipaddress.ip_address(host))  # 0:0::0 becomes ::
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
    # Requests to this machine's own name would be refused, so return its loopback address.
    return _addresses(host)[0] if is_local and host != LOCALHOST else host


def is_loopback(host: str) -> bool:
    """Return whether an address, or every address that a name resolves to, is a loopback address.

    Only this machine can reach a server on a loopback address.

    Raises:
        ServerError: The name does not resolve.
    """
    return all(map(is_loopback_address, _addresses(host)))


def is_loopback_address(text: str) -> bool:
    """Return whether a text is a loopback address, such as 127.0.0.1; names are not resolved."""
    return _is_address(text) and ipaddress.ip_address(text).is_loopback


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


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
