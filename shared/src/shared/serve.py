"""Run an ASGI application on uvicorn, one process, with our limits."""

import time
from types import FrameType

import uvicorn
from starlette.applications import Starlette

KEEP_ALIVE_SECONDS = 75  # longer than the gateway's 60 s, or it would reuse a closing connection
GRACEFUL_SHUTDOWN_SECONDS = 8  # below the 10 s after which the supervisor kills
BACKLOG = 2048
CLOSE = (b"connection", b"close")
HTTP_PROTOCOL = "shared.http_protocol:HTTPProtocol"
LEAVE_SECONDS = 0.5  # between "not ready" and the closing of the listener


class LeavingServer(uvicorn.Server):
    """On the first signal says "not ready" (`app.state.is_leaving`), and only then stops listening.

    An application whose answers may last has an event `app.state.leaving`, which is set then.

    A balancer that asks for readiness has sent its requests elsewhere when the listener closes;
    one that does not has no idle connection left, on which a request could cross its end.
    A second signal stops at once.
    """

    def __init__(self, config: uvicorn.Config, app: Starlette) -> None:
        super().__init__(config)
        self._app = app
        self._leave_at: float | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        super().handle_exit(sig, frame)
        if self._leave_at is None:
            self._leave_at = time.monotonic() + LEAVE_SECONDS
            self._app.state.is_leaving = True
            self.server_state.default_headers.append(CLOSE)  # which uvicorn makes anew
            self.config.encoded_headers.append(CLOSE)  # every second, of these
            self.should_exit = False

    async def on_tick(self, counter: int) -> bool:
        """Tell uvicorn's loop, ten times a second, whether to stop."""
        if self._leave_at is not None and (leaving := getattr(self._app.state, "leaving", None)):
            leaving.set()
        if self._leave_at is not None and time.monotonic() >= self._leave_at:
            self.should_exit = True
        return await super().on_tick(counter)


def serve(
    app: Starlette,
    *,
    host: str,
    port: int,
    trusted_proxies: str | None = None,
    http: str = HTTP_PROTOCOL,
) -> None:
    """Serve until SIGTERM or SIGINT.

    `trusted_proxies` may set the client's address; None leaves that to `app`. `http` names
    uvicorn's protocol: `module:Class`.
    """
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=http,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=trusted_proxies is not None,
        forwarded_allow_ips=trusted_proxies,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_SECONDS,
    )
    app.state.is_leaving = False
    server = LeavingServer(config, app)
    server.run()
    if not server.started:
        raise SystemExit(1)
