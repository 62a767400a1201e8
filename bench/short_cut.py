"""What the short cut costs by itself: its protocol on transports that write nowhere."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from redis.asyncio import Redis
from uvicorn.server import ServerState

from bench import report
from bench.browser import request
from bench.links import TARGET, WARM
from bench.medians import Figure, figure
from redirector.click_frames import ClickFrames
from redirector.click_recorder import ClickRecorder
from redirector.hot_path import HotPath
from redirector.link_follower import LinkFollower
from redirector.near_cache import NearCache
from redirector.protocol import RedirectProtocol
from redirector.resolver import Resolver
from redirector.visitors import Visitors
from shared import redis_client, request_log, streams, telemetry
from shared.events import DEFAULT_DOMAIN, LinkRecord
from shared.request_log import RequestLog

TURN_REQUESTS = (1, 6, 32)  # that arrive in one turn of the event loop
TURNS = 3_000
ROUNDS = 5
JOURNAL_BYTES = 1 << 30
UNUSED = "redis://127.0.0.1:1"  # nothing is asked here
# As the gateway's: an id and a start in each, which no other request has.
GATEWAY_HEAD = (
    b"Host: x\r\nX-Request-ID: %032x\r\nX-Request-Start: %.3f\r\nX-Forwarded-For: 203.0.113.9\r\n"
    b"X-Forwarded-Proto: https\r\n"
)


class _Nowhere(asyncio.Transport):
    """A connection whose answers are thrown away."""

    def write(self, data: object) -> None:
        """Throw `data` away."""

    def is_closing(self) -> bool:
        """Tell that it is open."""
        return False

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Tell both ends' addresses."""
        return ("127.0.0.1", 1) if name in {"peername", "sockname"} else default


def measure() -> None:
    """Print microseconds a request, for clients' heads and for the gateway's."""
    rows = []
    for size in TURN_REQUESTS:
        client, gateway = uvloop.run(_measure(size))
        rows.append([f"{size} in a turn", report.text(client), report.text(gateway)])
    columns = ["requests", "a client's head, µs", "the gateway's head, µs"]
    report.show("The short cut without the kernel's part of the network", columns, rows)


async def _measure(size: int) -> tuple[Figure, Figure]:
    with tempfile.TemporaryDirectory() as folder:
        async with redis_client.connect(
            UNUSED, name="bench", max_connections=1, timeout=None
        ) as redis:
            hot_path = _hot_path(Path(folder), redis)
            protocols = [_connection(hot_path) for _ in range(size)]
            plain = request("x", f"/{WARM}")
            head = plain.replace(b"Host: x\r\n", GATEWAY_HEAD)
            numbers = iter(range(1 << 40))

            def from_gateway() -> bytes:
                return head % (next(numbers), time.time())

            client = _rounds(hot_path, protocols, lambda: plain)
            return client, _rounds(hot_path, protocols, from_gateway)


def _rounds(
    hot_path: HotPath, protocols: list[RedirectProtocol], next_request: Callable[[], bytes]
) -> Figure:
    microseconds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            for protocol in protocols:
                protocol.data_received(next_request())
            hot_path.flush()
        seconds = time.process_time() - began
        microseconds.append(seconds / TURNS / len(protocols) * 1e6)
    return figure(microseconds)


def _hot_path(folder: Path, redis: Redis) -> HotPath:
    near = NearCache(1)
    tracing = telemetry.Tracing("bench", telemetry.Settings())
    follower = LinkFollower(redis, near, tracing)
    follower._mark_whole(time.monotonic() + 3600)
    record = LinkRecord(
        version=1, state="active", cached_at=time.time(), url_id=12345, user_id=77, target=TARGET
    )
    near.store(WARM, record, near.generation)
    frames = ClickFrames(redis, [streams.CLICKS], tracing)
    clicks = ClickRecorder(folder, frames, max_bytes=JOURNAL_BYTES, segment_bytes=16 << 20)
    visitors = Visitors(
        trusted_proxies="127.0.0.1", address_policy="anonymized", honour_opt_out=False
    )
    unused: Any = None
    resolver = Resolver(near, follower, redis, unused, DEFAULT_DOMAIN)
    return HotPath(resolver, clicks, visitors, tracing, RequestLog(request_log.Settings()))


def _connection(hot_path: HotPath) -> RedirectProtocol:
    config = uvicorn.Config(lambda: None, http="httptools", log_config=None, factory=True)
    loop = asyncio.get_running_loop()
    protocol = RedirectProtocol(config, ServerState(), {"hot_path": hot_path}, loop)
    protocol.connection_made(_Nowhere())
    return protocol
