"""The only part that reaches the engine: `python -m autoscaler.engine_gate`.

Who reaches an engine's socket is root on its host. So the autoscaler does not: it asks here, and
what can be asked for is a count, within the bounds of autoscaler/policies.py.

    GET /health                      200, or 503
    GET /replicas                    {"redirector": [{"id", "number", "state", …}], …}
    PUT /replicas/{service}/{count}  204 when it is done; draining takes its time
"""

import logging
import re
import signal
import socket
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

import msgspec

from autoscaler import compose_engine, swarm_engine
from autoscaler.policies import BOUNDS
from autoscaler.replicas import Engine, ReplicasUnavailable
from autoscaler.settings import GateSettings
from shared import logs
from shared.settings import load

log = logging.getLogger(__name__)

REQUEST_SECONDS = 5.0  # to send a request
BUSY_SECONDS = 1.0  # to wait for another change of the same service
CHANGE = re.compile(r"/replicas/([a-z-]{1,32})/(\d{1,3})\Z")


class Gate(ThreadingHTTPServer):
    """Serves one engine; changes of a service come one after the other."""

    daemon_threads = False  # `server_close` waits for a change under way

    def __init__(self, engine: Engine, host: str, port: int) -> None:
        self.engine = engine
        self.locks: Mapping[str, threading.Lock] = {name: threading.Lock() for name in BOUNDS}
        super().__init__((host, port), Handler)

    def change(self, service: str, count: int) -> int:
        """Change a service's count; return the HTTP status."""
        minimum, maximum = BOUNDS.get(service, (1, 0))
        if not minimum <= count <= maximum:
            return 404
        if not self.locks[service].acquire(timeout=BUSY_SECONDS):
            return 409
        try:
            self.engine.set_count(service, count)
        finally:
            self.locks[service].release()
        return 204


class Handler(BaseHTTPRequestHandler):
    """Answers one request a connection."""

    server: Gate
    timeout = REQUEST_SECONDS

    def do_GET(self) -> None:
        """Tell whether the engine answers, or what replicas there are."""
        try:
            if self.path == "/health":
                self.server.engine.ping()
                self._answer(200, b'{"status":"ok"}')
            elif self.path == "/replicas":
                self._answer(200, msgspec.json.encode(self.server.engine.replicas()))
            else:
                self._answer(404)
        except ReplicasUnavailable as error:
            self._refuse(error)

    def do_PUT(self) -> None:
        """Change a count."""
        match = CHANGE.match(self.path)
        try:
            self._answer(self.server.change(match[1], int(match[2])) if match else 404)
        except ReplicasUnavailable as error:
            self._refuse(error)

    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of the log; changes are logged where they happen."""

    def _refuse(self, error: ReplicasUnavailable) -> None:
        log.warning("gate.engine_away", extra={"error": str(error)})
        self._answer(503, msgspec.json.encode({"error": str(error)}))

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def make_engine(url: str, scope: str | None) -> Engine:
    """Return the engine that `scope` is run by: Compose's, or a Swarm's.

    Raises `ReplicasUnavailable`. Without `scope` it is read from the labels of the container
    that this runs in.
    """
    client = compose_engine.connect(url)
    labels: Mapping[str, str] = {}
    if scope is None:
        with compose_engine.engine_errors():
            labels = client.api.inspect_container(socket.gethostname())["Config"]["Labels"]
    stack = labels.get(swarm_engine.STACK)
    if stack is not None:
        return swarm_engine.SwarmEngine(client, stack, [*BOUNDS])
    return compose_engine.ComposeEngine(client, scope or labels[compose_engine.PROJECT], [*BOUNDS])


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    settings = load(GateSettings)
    logs.configure("engine-gate", settings.log_level)
    engine = make_engine(settings.engine_url, settings.scope)
    engine.tidy()  # what the one before was killed over
    gate = Gate(engine, settings.host, settings.port)

    def leave(_number: int, _frame: FrameType | None) -> None:
        # Not from this thread: it is the one that serves, and `shutdown` waits for it.
        threading.Thread(target=gate.shutdown).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, leave)
    log.info("gate.started")
    gate.serve_forever()
    gate.server_close()
    log.info("gate.stopped")


if __name__ == "__main__":
    main()
