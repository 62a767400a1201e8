"""Prometheus, Alertmanager and exporters as processes, with our configuration.

What differs from the containers is where everything is, and how often is asked: each second.
"""

import http.server
import json
import os
import shutil
import socketserver
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import urlopen

import msgspec

from shortwire.servers import LOOPBACK, free_port
from shortwire.stack_file import Part, Stack
from tests.observability import tools
from tests.observed import PROMETHEUS, ROOT

START_SECONDS = 30.0
STOP_SECONDS = 10.0
REQUEST_SECONDS = 10.0
FILESYSTEMS = ("--collector.disable-defaults", "--collector.filesystem")


def until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Return once `holds()`; raises `TimeoutError`."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urlopen(url, timeout=REQUEST_SECONDS):
            return True
    except (URLError, ConnectionError, TimeoutError):
        return False


@contextmanager
def _running(
    command: list[str], ready: str, log: Path, environ: Mapping[str, str] | None = None
) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environ or {})},
        )
    try:

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return _answers(ready)

        until(is_ready, f"an answer of {ready}", START_SECONDS)
        yield
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)


def _exporters(stack: Stack) -> dict[str, tuple[str, tuple[str, ...], dict[str, str]]]:
    """By job: the program, its options and its settings."""
    return {
        "cache": ("redis", (), {"REDIS_ADDR": stack.cache.url}),
        "bus": ("redis", (), {"REDIS_ADDR": stack.bus.url}),
        "postgres": ("postgres", (), {"DATA_SOURCE_NAME": stack.postgres.url}),
        "host": ("node", FILESYSTEMS, {}),
    }


@contextmanager
def exporter(job: str, stack: Stack, folder: Path) -> Iterator[str | None]:
    """Start the exporter of `job` and yield its address, or None where it is not installed."""
    kind, options, environ = _exporters(stack)[job]
    program = shutil.which(f"prometheus-{kind}-exporter") or shutil.which(f"{kind}_exporter")
    if program is None:
        yield None
        return
    address = f"{LOOPBACK}:{free_port()}"
    command = [program, f"--web.listen-address={address}", *options]
    with _running(command, f"http://{address}/metrics", folder / f"{job}-exporter.log", environ):
        yield address


class Webhook:
    """Takes what Alertmanager sends to Discord."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        texts = self.texts

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                texts.append(json.dumps(json.loads(body)))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer((LOOPBACK, 0), Handler)
        self.url = f"http://{LOOPBACK}:{self._server.server_port}/webhook"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def got(self, *words: str) -> bool:
        """Tell whether one message has all the words."""
        return any(all(word in text for word in words) for text in self.texts)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _MailSession(socketserver.StreamRequestHandler):
    """As much of SMTP as it takes to be given a mail."""

    def handle(self) -> None:
        self.wfile.write(b"220 tests\r\n")
        for line in self.rfile:
            command = line[:4].upper()
            if command == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                lines = iter(self.rfile.readline, b".\r\n")
                self.server.texts.append(b"".join(lines).decode())  # type: ignore[attr-defined]
            self.wfile.write(b"221 bye\r\n" if command == b"QUIT" else b"250 ok\r\n")
            if command == b"QUIT":
                return


class MailServer(socketserver.ThreadingTCPServer):
    """Takes mail for anybody."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__((LOOPBACK, 0), _MailSession)
        self.texts: list[str] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"{LOOPBACK}:{self.server_address[1]}"

    def got(self, *words: str) -> bool:
        """Tell whether one mail has all the words."""
        return any(all(word in text for word in words) for text in self.texts)

    def close(self) -> None:
        self.shutdown()
        self.server_close()


@contextmanager
def alertmanager(folder: Path, webhook: str, mail_server: str) -> Iterator[str]:
    """Start Alertmanager as its container is started; yield its address."""
    program = tools.find("alertmanager")
    secret = folder / "discord_webhook_url"
    secret.write_text(webhook)
    address = f"{LOOPBACK}:{free_port()}"
    command = [
        str(ROOT / "observability" / "alertmanager" / "start.sh"),
        f"--web.listen-address={address}",
        f"--storage.path={folder / 'alertmanager'}",
        "--cluster.listen-address=",
    ]
    settings = {
        "CONFIG_DIR": str(ROOT / "observability" / "alertmanager"),
        "RENDERED": str(folder / "alertmanager.yml"),
        "DISCORD_WEBHOOK_FILE": str(secret),
        "ALERTMANAGER": program,
        "ALERT_MAIL_TO": "ops@example.com",
        "ALERT_SMTP": mail_server,
        "ALERT_SMTP_TLS": "false",
    }
    with _running(command, f"http://{address}/-/ready", folder / "alertmanager.log", settings):
        yield address


def _address(part: Part) -> str:
    assert part.metrics is not None
    return urlsplit(part.metrics).netloc


def _configuration(targets: Mapping[str, list[str]], alertmanagers: list[str]) -> dict[str, Any]:
    """Our prometheus.yml with these targets by job; jobs without one are left out."""
    config: dict[str, Any] = msgspec.yaml.decode((PROMETHEUS / "prometheus.yml").read_bytes())
    every_second = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    return {
        "global": every_second,
        "rule_files": [str(PROMETHEUS / file) for file in config["rule_files"]],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": alertmanagers}]}]},
        "scrape_configs": [
            {
                "job_name": job["job_name"],
                "static_configs": [{"targets": targets[job["job_name"]]}],
            }
            for job in config["scrape_configs"]
            if job["job_name"] in targets
        ],
    }


class Prometheus(msgspec.Struct, frozen=True):
    """A server that answers questions."""

    address: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression gives now; fails where it is none."""
        url = f"http://{self.address}/api/v1/query?query={quote(expression)}"
        with urlopen(url, timeout=REQUEST_SECONDS) as answer:
            result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return result


@contextmanager
def prometheus(
    stack: Stack, exporters: Mapping[str, str], alertmanager_at: str, folder: Path
) -> Iterator[Prometheus]:
    """Start Prometheus over the services of `stack` and the exporters by job."""
    address = f"{LOOPBACK}:{free_port()}"
    targets = {
        "redirector": [_address(part) for part in stack.redirectors],
        "management": [_address(stack.management)],
        "event-ingest": [_address(part) for part in stack.ingest],
        "webhooks": [_address(stack.webhooks)],
        "alertmanager": [alertmanager_at],
        "prometheus": [address],
        **{job: [where] for job, where in exporters.items()},
    }
    config = folder / "prometheus.yml"
    config.write_bytes(msgspec.yaml.encode(_configuration(targets, [alertmanager_at])))
    command = [
        tools.find("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={address}",
    ]
    with _running(command, f"http://{address}/-/ready", folder / "prometheus.log"):
        yield Prometheus(address)
