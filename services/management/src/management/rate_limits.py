"""How much each key and each address may ask: buckets in Redis, shared by all processes.

The headers are those of draft-ietf-httpapi-ratelimit-headers-10 (`RateLimit-Policy`, `RateLimit`)
and, for clients of its drafts before 08, `RateLimit-Limit`, `-Remaining` and `-Reset`.
"""

import asyncio
import ipaddress
import logging
import math
import time
from collections.abc import Mapping
from weakref import WeakKeyDictionary

import msgspec
from redis.asyncio import Redis

from management import metrics
from management.errors import TooManyRequests
from shared import redis_client
from shared.errors import REDIS_ERRORS
from shared.redis_script import Script

log = logging.getLogger(__name__)

CHECK_SECONDS = 0.1  # beyond, the request goes on unchecked
AWAY_SECONDS = 1.0  # for so long a Redis, or a node of a cluster, that failed is not asked again
BURST_SECONDS = 2  # how many seconds' allowance may be used at once; the gateway's is the same
IPV6_PREFIX = 64  # what one customer is given

_take = Script("management", "take")


class Limit(msgspec.Struct, frozen=True):
    """A kind of bucket: `capacity` at once, and `per_second` after that; of `what`, in words."""

    name: str
    what: str
    per_second: float
    capacity: int

    @property
    def policy(self) -> str:
        """The limit as `RateLimit-Policy` tells it."""
        return f'"{self.name}";q={self.capacity};w={math.ceil(self.capacity / self.per_second)}'


def per_second(name: str, rate: int) -> Limit:
    """Return the limit of `rate` requests a second, with its burst."""
    return Limit(name, f"requests of this {name}", rate, rate * BURST_SECONDS)


class Bucket(msgspec.Struct, frozen=True):
    """What is left of a limit; seconds until one more may be taken, and until all may."""

    limit: Limit
    is_taken: bool
    left: int
    retry_seconds: float
    full_seconds: float

    @property
    def headers(self) -> Mapping[str, str]:
        """What an answer tells of it."""
        reset = math.ceil(self.full_seconds)
        return {
            "RateLimit-Policy": self.limit.policy,
            "RateLimit": f'"{self.limit.name}";r={self.left};t={reset}',
            "RateLimit-Limit": str(self.limit.capacity),
            "RateLimit-Remaining": str(self.left),
            "RateLimit-Reset": str(reset),
        }

    def require(self) -> None:
        """Raise `TooManyRequests` unless it was taken."""
        if not self.is_taken:
            metrics.RATE_LIMITED.labels(self.limit.name).inc()
            raise TooManyRequests(
                f"Too many {self.limit.what}, please try again later",
                {"Retry-After": str(max(1, math.ceil(self.retry_seconds))), **self.headers},
            )


class RateLimits:
    """Takes from buckets; while Redis is away everybody may go on, counted."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._ask_again_at: WeakKeyDictionary[Redis, float] = WeakKeyDictionary()

    async def take(self, limit: Limit, who: str, count: int = 1) -> Bucket | None:
        """Take `count` of the bucket of `who`, with 0 ask only; None where Redis can't tell."""
        key = f"rate:{limit.name}:{{{who}}}"
        part = redis_client.part_of(self._redis, key)
        if time.monotonic() >= self._ask_again_at.get(part, 0.0):
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    interval = round(1_000_000 / limit.per_second)
                    arguments = [str(number) for number in (interval, limit.capacity, count)]
                    reply = await _take(self._redis, [key], arguments)
            except REDIS_ERRORS as error:
                self._ask_again_at[part] = time.monotonic() + AWAY_SECONDS
                log.warning("rate_limits.unchecked", extra={"error": error})
            else:
                is_taken, left, retry, full = map(int, reply)
                return Bucket(limit, bool(is_taken), left, retry / 1e6, full / 1e6)
        metrics.RATE_UNCHECKED.inc()
        return None


def client_of(address: str) -> str:
    """Return whom an address stands for: itself, or the network of an IPv6 customer."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address  # a socket's peer has none
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, IPV6_PREFIX), strict=False))
    return str(parsed)
