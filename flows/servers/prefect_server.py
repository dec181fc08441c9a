"""The Prefect server of one command: `python -m flows.servers.prefect_server SOCKET`.

It listens on a socket that it inherits and ends when its standard input does, so that it cannot
outlive the command that started it, however that ends.
"""

import os
import sys
import threading

import uvicorn

from flows import collecting

GRACE_SECONDS = 5.0


def main() -> None:
    """Serve until standard input closes."""
    collecting.rest()
    server = uvicorn.Server(
        uvicorn.Config(
            "prefect.server.api.server:create_app",
            factory=True,
            fd=int(sys.argv[1]),
            log_level="warning",
            timeout_graceful_shutdown=1,
        )
    )
    threading.Thread(target=_stop_with_parent, args=(server,), daemon=True).start()
    server.run()


def _stop_with_parent(server: uvicorn.Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True
    threading.Event().wait(GRACE_SECONDS)
    os._exit(0)


if __name__ == "__main__":
    main()
