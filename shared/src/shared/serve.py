"""Run an ASGI application on uvicorn, one process, with our limits."""

import uvicorn
from starlette.applications import Starlette

KEEP_ALIVE_SECONDS = 75  # longer than the gateway's 60 s, or it would reuse a closing connection
GRACEFUL_SHUTDOWN_SECONDS = 8  # below the 10 s after which the supervisor kills
BACKLOG = 2048


def serve(app: Starlette, *, host: str, port: int, trusted_proxies: str) -> None:
    """Serve until SIGTERM or SIGINT; `trusted_proxies` may set the client's address."""
    uvicorn.run(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=True,
        forwarded_allow_ips=trusted_proxies,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
