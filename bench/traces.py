"""What traces cost a redirector: `python -m bench.traces`, three minutes.

Four installations side by side, one after the other under load, round robin: without an
endpoint, and with one at several ratios. The receiver forgets what it gets.
"""

import asyncio
import http.client
import json
import socket
import sys
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

import psutil

from bench import installation, report, wrk
from bench.bus import wait_until_stored
from bench.installation import Installation
from bench.medians import figure, ratios
from bench.wrk import Traffic
from shortwire import processes, servers
from shortwire.processes import Program, python_module

ROUNDS = 5
SECONDS = 4.0
CONNECTIONS = 32
WARM_SECONDS = 10.0
CODE = "traced"
RATIOS = {"no endpoint": None, "0 %": "0", "1 %": "0.01", "100 %": "1"}


def main() -> None:
    """Measure and print."""
    rates: dict[str, list[float]] = {name: [] for name in RATIOS}
    with ExitStack() as exits:
        port = servers.free_port()
        running = {
            name: exits.enter_context(installation.running(_environ(ratio, port)))
            for name, ratio in RATIOS.items()
        }
        next(iter(running.values())).add(_sink(port))
        for each in running.values():
            _make_link(each)
        for _ in range(ROUNDS):
            for name, each in running.items():
                with each.paused_ingest():
                    load = wrk.run(
                        each.stack.redirectors[0].url,
                        Traffic(code=CODE),
                        seconds=SECONDS,
                        connections=CONNECTIONS,
                    )
                asyncio.run(wait_until_stored(each.stack.bus.url))
                if load.refused:
                    raise SystemExit(f"{name}: {load.refused} requests were refused")
                rates[name].append(load.rate)
        memory = {name: _resident(each) for name, each in running.items()}
    first = rates["no endpoint"]
    rows = [
        [name, report.text(figure(own)), f"{ratios(own, first).median:.3f}", memory[name]]
        for name, own in rates.items()
    ]
    columns = ["sampled", "redirects/s (lowest to highest)", "÷ no endpoint", "resident MB"]
    report.show("Traces", columns, rows)


def _resident(measured: Installation) -> str:
    process = psutil.Process(measured.stack.redirectors[0].pid)
    return f"{process.memory_info().rss / (1 << 20):.0f}"


def _environ(ratio: str | None, port: int) -> dict[str, str]:
    if ratio is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "TRACE_SAMPLE_RATIO": ratio,
        "TRACE_MAX_PER_SECOND": installation.NO_LIMIT,
    }


def _sink(port: int) -> Program:
    return Program(
        name="trace-sink",
        argv=[*python_module("bench.trace_sink"), str(port)],
        is_ready=lambda: _listens(port),
    )


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _make_link(measured: Installation) -> None:
    """Make the link and wait until its redirector remembers it."""
    management = measured.stack.management.url
    _send(management, "POST", "/users", {"username": "bench", "email": "bench@example.com"})
    link = {"user_id": 1, "original_url": "https://example.com/", "short_code": CODE}
    assert _send(management, "POST", "/urls", link) == 201
    deadline = time.monotonic() + WARM_SECONDS
    while time.monotonic() < deadline:
        assert _send(measured.stack.redirectors[0].url, "GET", f"/{CODE}") == 302
        time.sleep(0.1)


def _send(url: str, method: str, path: str, body: object = None) -> int:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=5)
    try:
        content = None if body is None else json.dumps(body)
        connection.request(method, path, content, {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    try:
        main()
    except processes.StartError as error:
        sys.exit(f"bench: {error}")
