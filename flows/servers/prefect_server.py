"""Prefect's server behind `AccessControl`: `python -m flows.servers.prefect_server OPTIONS`.

    --fd SOCKET                               for a single command
    --host HOST --port PORT [--no-services]   until it is stopped

With --fd it listens on an inherited socket and exits when standard input closes, so that it cannot
outlive the command, however that ends.
"""

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn

from flows.runtime import startup_gc
from flows.servers import credentials, hosts
from flows.servers.access import AccessControl
from flows.servers.processes import Command, address_of
from rnnlm.errors import RnnlmError

GRACE_SECONDS = 5.0
OWNER_ONLY_UMASK = 0o077


def command(host: str, port: int, logs: Path, *, services: bool = True) -> Command:
    """Return the command that starts the long-running server.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        logs: Folder for its output.
        services: Whether it schedules runs; if false, it only serves its pages and API.
    """
    words = [sys.executable, "-m", "flows.servers.prefect_server", "--host", host]
    words += ["--port", str(port), *([] if services else ["--no-services"])]
    health = f"{address_of(host, port)}/api/health"
    return Command("prefect", words, logs / "prefect.log", {}, health)


def main() -> None:
    """Serve until standard input closes, or until it is stopped."""
    parser = argparse.ArgumentParser(description="Prefect's server behind AccessControl.")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--no-services", action="store_true")
    asked = parser.parse_args()
    startup_gc.rest()
    os.umask(OWNER_ONLY_UMASK)  # this process creates the database
    try:
        names = frozenset() if asked.fd is not None else _open(asked.host)
    except RnnlmError as error:
        sys.exit(f"error: {error}")
    _protect(address_of(asked.host, asked.port))
    from prefect.server.api import collections  # noqa: PLC0415 - reads settings on import
    from prefect.server.api.server import create_app  # noqa: PLC0415

    # With their internet addresses removed, Prefect reads these tables from its own package.
    views = vars(collections).get("KNOWN_VIEWS", {})
    views.update(dict.fromkeys(views, ""))
    app = AccessControl(create_app(webserver_only=asked.no_services), names)
    if asked.fd is None:
        uvicorn.run(app, host=asked.host, port=asked.port, **_usual())
        return
    server = uvicorn.Server(
        uvicorn.Config(app, fd=asked.fd, log_level="warning", timeout_graceful_shutdown=1)
    )
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run()


def _open(host: str) -> frozenset[str]:
    """Set what only a long-running server needs; return the host names that it accepts."""
    hosts.check_host(host)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # commands set a quieter one
    os.environ["PREFECT_UI_API_URL"] = "/api"  # relative: works under any host name
    if password := credentials.read():
        os.environ["PREFECT_SERVER_API_AUTH_STRING"] = password
    return hosts.allowed_names()


def _protect(origin: str) -> None:
    """Configure Prefect's own protections; Prefect reads these on import."""
    os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"
    os.environ["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] = origin
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")


def _usual() -> dict[str, Any]:
    """Return uvicorn's options as `prefect server start` sets them."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - reads settings on import

    settings = get_current_settings().server
    return {
        "timeout_keep_alive": settings.api.keepalive_timeout,
        "ws_ping_interval": settings.api.websocket_ping_interval,
        "ws_ping_timeout": settings.api.websocket_ping_timeout,
        "log_level": settings.logging_level.lower(),
    }


def _stop_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True
    threading.Event().wait(GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
