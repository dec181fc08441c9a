"""Prefect's server behind `AccessControl`: `python -m flows.servers.prefect_server OPTIONS`.

    --fd SOCKET                           for one command
    --host HOST --port PORT [--no-services]   until it is stopped

For one command it listens on a socket that it inherits and ends when its standard input does, so
that it cannot outlive that command, however the command ends.
"""

import argparse
import os
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn

from flows import collecting
from flows.servers import access, credentials
from flows.servers.processes import Command, address_of
from rnnlm.errors import RnnlmError

GRACE_SECONDS = 5.0
OWNER_ONLY = 0o077


def command(host: str, port: int, logs: Path, *, services: bool = True) -> Command:
    """Say how the server is started that stays until it is stopped.

    Args:
        host: Address to listen on.
        port: The same.
        logs: Folder for its output.
        services: Whether it schedules runs; without, it shows its pages and answers.
    """
    words = [sys.executable, "-m", "flows.servers.prefect_server", "--host", host]
    words += ["--port", str(port), *([] if services else ["--no-services"])]
    health = f"{address_of(host, port)}/api/health"
    return Command("prefect", words, logs / "prefect.log", {}, health)


def main() -> None:
    """Serve until standard input closes, or for ever."""
    parser = argparse.ArgumentParser(description="Prefect's server behind our access rules.")
    parser.add_argument("--fd", type=int)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=4200)
    parser.add_argument("--no-services", action="store_true")
    asked = parser.parse_args()
    collecting.rest()
    os.umask(OWNER_ONLY)  # the database is made by this process
    try:
        _configure(asked.host, asked.port)
    except RnnlmError as error:
        sys.exit(f"error: {error}")
    if asked.fd is None:
        uvicorn.run(_application(asked.no_services), host=asked.host, port=asked.port, **_usual())
        return
    config = uvicorn.Config(
        _application(), fd=asked.fd, log_level="warning", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run()


def _configure(host: str, port: int) -> None:
    """Set Prefect's own protection; it reads these once, when it is imported."""
    access.check_host(host)
    os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    os.environ["PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED"] = "true"
    os.environ["PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS"] = address_of(host, port)
    os.environ["PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL"] = "WARNING"  # a command's is quieter
    os.environ["PREFECT_UI_API_URL"] = "/api"  # whatever name the page was opened by
    password = credentials.read()
    if password:
        os.environ.setdefault("PREFECT_SERVER_API_AUTH_STRING", password)


def _application(no_services: bool = False) -> access.AccessControl:
    from prefect.server.api.server import create_app  # noqa: PLC0415 - after `_configure`

    return access.AccessControl(create_app(webserver_only=no_services), access.host_names())


def _usual() -> dict[str, Any]:
    """Return what `prefect server start` hands to uvicorn."""
    from prefect.settings import get_current_settings  # noqa: PLC0415 - after `_configure`

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
