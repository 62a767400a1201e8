"""The load: wrk (https://github.com/wg/wrk), one thread, and what it prints."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.browser import HEADERS
from shortwire.processes import StartError

SPARE_SECONDS = 10.0  # above what was asked for; then wrk is killed
PATHS = Path(__file__).with_name("paths.lua")

_REQUESTS = re.compile(r"^\s*(\d+) requests in ([\d.]+)(us|ms|s|m)", re.M)
_BAD = re.compile(r"^\s*Non-2xx or 3xx responses: (\d+)", re.M)
_SOCKET_ERRORS = re.compile(r"^\s*Socket errors: (.*)$", re.M)
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}


class Load(msgspec.Struct, frozen=True):
    """What one run of wrk counted."""

    requests: int
    seconds: float
    refused: int  # answers other than 2xx and 3xx, and broken connections

    @property
    def rate(self) -> float:
        """Return the requests per second."""
        return self.requests / self.seconds


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Which links are asked for: `code` alone, or some of `links` numbered ones.

    The numbered ones are asked for one after the other (`round`), each as often as any other
    (`uniform`), or the more often the lower their number (`zipf`, exponent 1).
    """

    code: str = ""
    links: int = 0
    order: str = "round"
    start: int = 0  # where `round` begins

    def arguments(self) -> list[str]:
        """Return wrk's arguments behind the address."""
        if self.code:
            return []
        return ["--", self.order, str(self.links), str(self.start)]


def find() -> str:
    """Return wrk's path; raises `StartError` where it is missing."""
    path = shutil.which("wrk")
    if path is None:
        raise StartError(
            "The load comes from wrk, which is not on the PATH: install it "
            "(Debian, Ubuntu: apt install wrk; macOS: brew install wrk)."
        )
    return path


def command(url: str, traffic: Traffic, *, seconds: float, connections: int) -> Sequence[str]:
    """Return the command line of one run; wrk takes whole seconds, at least one."""
    options = ["--threads", "1", "--connections", str(connections), "--timeout", "5s"]
    options += ["--duration", f"{max(1, round(seconds))}s"]
    for name, value in HEADERS.items():
        options += ["--header", f"{name}: {value}"]
    if not traffic.code:
        options += ["--script", str(PATHS)]
    return [find(), *options, f"{url}/{traffic.code}", *traffic.arguments()]


def run(url: str, traffic: Traffic, *, seconds: float, connections: int) -> Load:
    """Send as many requests as are answered, for about `seconds`."""
    argv = command(url, traffic, seconds=seconds, connections=connections)
    done = subprocess.run(
        argv, capture_output=True, text=True, timeout=seconds + SPARE_SECONDS, check=True
    )
    return parse(done.stdout)


def parse(printed: str) -> Load:
    """Return what wrk's report says."""
    match = _REQUESTS.search(printed)
    if match is None:
        raise ValueError(f"wrk printed no count: {printed!r}")
    bad = _BAD.search(printed)
    broken = _SOCKET_ERRORS.search(printed)
    refused = int(bad[1]) if bad else 0
    if broken:
        refused += sum(map(int, re.findall(r"\d+", broken[1])))
    return Load(int(match[1]), float(match[2]) * _UNITS[match[3]], refused)
