"""Serve one web page to the browsers of this machine, while the command `rnnlm play` runs."""

import socket
from collections.abc import Callable

import uvicorn
from starlette.responses import Response

from flows.servers.access import AccessControl

HOST = "127.0.0.1"


def serve(page: bytes, on_ready: Callable[[str], None]) -> None:
    """Serve a page on a free port of 127.0.0.1, until this process is interrupted.

    Requests for other host names, and by pages of other origins, are refused.

    Args:
        page: The page, as HTML.
        on_ready: Called with the page's address as soon as a browser can connect.
    """
    answer = Response(page, media_type="text/html", headers={"Cache-Control": "no-store"})
    with socket.create_server((HOST, 0)) as listening:
        on_ready(f"http://{HOST}:{listening.getsockname()[1]}/")
        config = uvicorn.Config(
            AccessControl(answer), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        uvicorn.Server(config).run(sockets=[listening])
