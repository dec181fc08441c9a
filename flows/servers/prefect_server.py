"""Prefect's server with access control: `python -m flows.servers.prefect_server OPTIONS`.

    --fd SOCKET                               serve a single command
    --host HOST --port PORT [--no-services]   serve until stopped

With --fd, the server listens on a socket that it inherits from the command, given as a file
descriptor. It exits when its standard input closes. The command holds the other end of that input,
so the server cannot outlive the command, even if the command is killed.
"""

import argparse
import contextlib
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from flows.runtime import credentials, startup_gc, tables
from flows.servers import hosts
from flows.servers.access import AccessControl
from flows.servers.processes import Command, address_of
from rnnlm.errors import RnnlmError

GRACE_SECONDS = 5.0
OWNER_ONLY_UMASK = 0o077
_SQLITE = "sqlite+aiosqlite:///"


def command(host: str, port: int, logs: Path, *, services: bool = True) -> Command:
    """Return the command that starts a Prefect server that runs until it is stopped.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        logs: Folder for the server's log.
        services: Whether the server runs Prefect's background services, such as the scheduler. If
            false, it only serves the web pages and the API.
    """
    words = [sys.executable, "-P", "-m", "flows.servers.prefect_server", "--host", host]
    words += ["--port", str(port), *([] if services else ["--no-services"])]
    health = f"{address_of(host, port)}/api/health"
    return Command("prefect", words, logs / "prefect.log", {}, health)


def main() -> None:
    """Run the server: with --fd until standard input closes, otherwise until it is stopped."""
    parser = argparse.ArgumentParser(description="Prefect's server behind AccessControl.")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--no-services", action="store_true")
    asked = parser.parse_args()
    startup_gc.rest()
    running: list[uvicorn.Server] = []
    if asked.fd is not None:
        threading.Thread(target=_stop_with_parent, args=(running,), daemon=True).start()
    os.umask(OWNER_ONLY_UMASK)  # this process creates the database
    try:
        names = frozenset() if asked.fd is not None else _open(asked.host)
    except RnnlmError as error:
        sys.exit(f"error: {error}")
    _protect(address_of(asked.host, asked.port))
    _create_tables()
    from prefect.server.api import collections  # noqa: PLC0415 - reads settings on import
    from prefect.server.api.server import create_app  # noqa: PLC0415

    # Prefect would download these tables. Without their addresses, it reads its own copies.
    views = vars(collections).get("KNOWN_VIEWS", {})
    views.update(dict.fromkeys(views, ""))
    app = AccessControl(create_app(webserver_only=asked.no_services), names)
    startup_gc.resume()
    if asked.fd is None:
        uvicorn.run(app, host=asked.host, port=asked.port, **_usual())
        return
    server = uvicorn.Server(
        uvicorn.Config(app, fd=asked.fd, log_level="warning", timeout_graceful_shutdown=1)
    )
    running.append(server)
    threading.Thread(target=_warm_up, args=(server, asked.fd), daemon=True).start()
    server.run()
    os._exit(0)  # the command waits for this process, and Python would free a million objects


def _open(host: str) -> frozenset[str]:
    """Configure a server that runs until it is stopped; return the host names that it accepts.

    The configuration is written to the environment, from which Prefect reads it.

    Args:
        host: Address to listen on.

    Raises:
        ServerError: The server may not listen on this address.
        ConfigError: The password cannot be used.
    """
    hosts.check_host(host)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # commands set a quieter one
    os.environ["PREFECT_UI_API_URL"] = "/api"  # relative, so that it works under any host name
    if password := credentials.read():
        os.environ["PREFECT_SERVER_API_AUTH_STRING"] = password
    return hosts.allowed_names()


def _protect(origin: str) -> None:
    """Configure Prefect's own protection against requests from other sites (CSRF and CORS).

    Call this before Prefect is imported: it reads these environment variables on import.

    Args:
        origin: Address of the server, whose pages may call the API.
    """
    os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"
    os.environ["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] = origin
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def _create_tables() -> None:
    """Create Prefect's database if it is a SQLite file that is missing.

    The process that starts this server holds the lock.
    """
    from prefect.settings import get_current_settings  # noqa: PLC0415 - reads settings on import

    address = get_current_settings().server.database.connection_url
    if address and address.get_secret_value().startswith(_SQLITE):
        file = address.get_secret_value().removeprefix(_SQLITE)
        if Path(file).is_absolute() and Path(file).parent.is_dir():
            tables.create(Path(file), "prefect")


def _usual() -> dict[str, Any]:
    """Return options for uvicorn, the web server, with the values that Prefect's command uses.

    That command is `prefect server start`.
    """
    from prefect.settings import get_current_settings  # noqa: PLC0415 - reads settings on import

    settings = get_current_settings().server
    return {
        "timeout_keep_alive": settings.api.keepalive_timeout,
        "ws_ping_interval": settings.api.websocket_ping_interval,
        "ws_ping_timeout": settings.api.websocket_ping_timeout,
        "log_level": settings.logging_level.lower(),
    }


def _warm_up(server: uvicorn.Server, fd: int) -> None:
    """Answer a first request of our own while the command still imports its modules.

    The first request that reads the database takes a third of a second longer than later ones.
    """
    while not server.started:
        time.sleep(0.05)
    host, port = socket.socket(fileno=os.dup(fd)).getsockname()
    user, _, password = os.environ["PREFECT_SERVER_API_AUTH_STRING"].partition(":")
    address = f"http://{host}:{port}/api/csrf-token?client=warm-up"
    with contextlib.suppress(httpx.HTTPError):
        httpx.get(address, auth=(user, password))


def _stop_with_parent(running: list[uvicorn.Server]) -> None:
    """Wait until standard input closes, then end this process.

    Args:
        running: The server, once it runs; it is stopped first.
    """
    sys.stdin.buffer.read()
    for server in running:
        server.should_exit = True
        threading.Event().wait(GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
