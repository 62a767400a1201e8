"""The launcher as a newcomer starts it: a process of its own, watched from outside."""

import fcntl
import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import msgspec

from shortwire import stack_file
from shortwire.servers import LOOPBACK, free_port
from shortwire.stack_file import Part, Stack

DEADLINE_SECONDS = 30.0


class Answer(msgspec.Struct, frozen=True):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def send(
    url: str, method: str = "GET", body: object = None, headers: Mapping[str, str] | None = None
) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=10)
    content = None if body is None else json.dumps(body)
    try:
        connection.request(
            method, url.removeprefix(f"http://{parts.netloc}"), content, headers or {}
        )
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())
    finally:
        connection.close()


def eventually(holds: Callable[[], bool]) -> None:
    """Return once `holds()`; what it raises because a part is away counts as no."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not _tolerant(holds):
        assert time.monotonic() < deadline, f"did not come true in {DEADLINE_SECONDS} s"
        time.sleep(0.02)


def _tolerant(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (OSError, http.client.HTTPException):
        return False


class Launcher:
    """One `shortwire run`; the environment may hold more settings."""

    def __init__(self, data: Path, **settings: str) -> None:
        self.data = data
        self.output = data.with_suffix(".out")
        self.settings = {
            "DATA_DIR": str(data), "PORT": str(free_port()), "AUTH": "open", **settings
        }  # fmt: skip
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "shortwire", "run"],
                env={**os.environ, **self.settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> "Launcher":
        def is_ready() -> bool:
            assert self.process.poll() is None, self.printed()
            return "Ctrl-C stops everything" in self.printed()

        eventually(is_ready)
        return self

    def printed(self) -> str:
        return self.output.read_text()

    def stack(self) -> Stack:
        stack = stack_file.read(self.data)
        assert stack is not None
        return stack

    def parts(self) -> dict[str, Part]:
        stack = self.stack()
        return {
            "gateway": stack.gateway,
            "redirector": stack.redirectors[0],
            "management": stack.management,
            "ingest": stack.ingest[0],
            "postgres": stack.postgres,
            "cache": stack.cache,
            "bus": stack.bus,
        }

    def url(self, path: str) -> str:
        return f"http://{LOOPBACK}:{self.settings['PORT']}{path}"

    def is_gone(self) -> bool:
        """Tell whether no process of this data folder is left: each of them holds the lock."""
        with (self.data / "children.lock").open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def end(self, number: signal.Signals) -> int:
        """Send the signal as a terminal does, to the whole group, and return the exit code."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, number)
        return self.process.wait(DEADLINE_SECONDS)
