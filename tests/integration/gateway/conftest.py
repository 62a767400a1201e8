"""The gateway as it is shipped, before upstreams that tell what reached them."""

import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shortwire import gateway, processes
from shortwire.servers import LOOPBACK, free_port
from shortwire.settings import Settings


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    port: int,
    path: str,
    headers: Mapping[str, str] | None = None,
    method: str = "GET",
    body: bytes | None = None,
) -> Answer:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.getheaders(), response.read())
    finally:
        connection.close()


class _Echo(BaseHTTPRequestHandler):
    """Answers with what it received, and with the headers a service of ours has."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    name = ""

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        received = {
            "service": self.name,
            "path": self.requestline.split()[1],  # `self.path` is tidied up
            "headers": {key.lower(): value for key, value in self.headers.items()},
            "length": len(self.rfile.read(length)),
        }
        body = json.dumps(received).encode()
        self.send_response(int(self.headers.get("x-answer", "200")))
        self.send_header("X-Request-ID", self.headers["x-request-id"])
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Location", "http://redirector/target")
        if self.headers.get("x-answer") == "503":
            self.send_header("Retry-After", "7")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def echo(name: str, address: str = LOOPBACK, port: int = 0) -> Iterator[int]:
    handler = type("Echo", (_Echo,), {"name": name})
    with ThreadingHTTPServer((address, port), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


Gateway = Callable[..., int]


@pytest.fixture(scope="session")
def start_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Starts a gateway with these settings and upstream ports, returns its port.

    `names`: the port of a name server that knows the redirectors' addresses.
    """
    with ExitStack() as running:

        def start(
            *,
            redirectors: list[int],
            management: int | list[int],
            names: int | None = None,
            **limits: int,
        ) -> int:
            folder = tmp_path_factory.mktemp("gateway")
            processes.give_to_children(folder)
            settings = Settings(port=free_port(), **limits)  # type: ignore[arg-type]
            program = gateway.program(
                settings,
                folder,
                redirectors=redirectors,
                management=[management] if isinstance(management, int) else management,
            )
            if names is not None:
                _resolve_redirectors(folder / "nginx.conf", redirectors, names)
            listening = msgspec.structs.replace(program, is_ready=lambda: _listens(settings.port))
            running.callback(processes.start(listening, folder).stop)
            return settings.port

        yield start


def _resolve_redirectors(config: Path, ports: list[int], names: int) -> None:
    """Have the gateway look redirectors up at the name server on port `names`, as in containers."""
    (port,) = ports
    by_name = (
        f"server redirector.test:{port} resolve max_fails=3 fail_timeout=1s;"
        f"resolver {LOOPBACK}:{names} valid=1s ipv6=off;"
    )
    text = config.read_text(encoding="utf-8")
    assert gateway.server_lines(ports) in text
    config.write_text(text.replace(gateway.server_lines(ports), by_name), encoding="utf-8")


def _listens(port: int) -> bool:
    try:
        return ask(port, "/metrics").status == 404
    except OSError:
        return False


@pytest.fixture(scope="session")
def gateway_port(start_gateway: Gateway) -> Iterator[int]:
    """A gateway with one upstream of each kind."""
    with echo("redirector") as redirector, echo("management") as management:
        yield start_gateway(redirectors=[redirector], management=management, api_rate=10_000)
