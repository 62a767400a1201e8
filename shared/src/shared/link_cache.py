"""The shared cache of links: its keys, and the only two scripts that write entries.

An entry is `<version>:<JSON LinkRecord>`. A reader that misses takes a lease before it reads
PostgreSQL and may store what it read only while it still holds it; a writer voids the lease.
The idea of the lease: Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.
"""

import logging
import re
import secrets
from typing import cast

from redis.asyncio import Redis

from shared import redis_client
from shared.errors import UNDECODABLE
from shared.events import LinkRecord, encoder, record_decoder
from shared.redis_script import Script

log = logging.getLogger(__name__)

LEASE_MS = 3_000  # longer than the slowest read of PostgreSQL that still answers a visitor
_ENTRY_KEY = re.compile(rb"u:\{(\d+)/(.+)\}\Z")
UNKNOWN_MS = 60_000  # life of an entry that says "no such code"


def _entry_key(domain: int, code: str) -> str:
    return f"u:{{{domain}/{code}}}"  # braces: entry and lease share a Redis Cluster slot


def _lease_key(domain: int, code: str) -> str:
    return f"l:{{{domain}/{code}}}"


_apply = Script("shared", "apply")
_fill = Script("shared", "fill")


async def get(redis: Redis, domain: int, code: str) -> LinkRecord | None:
    """Return the cached record, or None; an entry that cannot be read is none."""
    entry = cast("bytes | None", await redis.get(_entry_key(domain, code)))
    if entry is None:
        return None
    try:
        return record_decoder.decode(entry.partition(b":")[2])
    except UNDECODABLE:  # of another release, or not ours: PostgreSQL knows better
        log.warning("cache.undecodable", extra={"domain": domain, "code": code})
        return None


async def remove(redis: Redis, domain: int, code: str) -> None:
    """Remove an entry; any lease stays, so a reader under way may still fill."""
    await redis.delete(_entry_key(domain, code))


def part_of(redis: Redis, domain: int, code: str) -> Redis:
    """Return what is away when an entry cannot be had: a node of a cluster, as far as known."""
    return redis_client.part_of(redis, _entry_key(domain, code))


async def random_link(redis: Redis) -> tuple[int, str] | None:
    """Return domain and code of some cached entry, or None where the key drawn is none."""
    key = await redis.randomkey()
    match = _ENTRY_KEY.match(key) if isinstance(key, bytes) else None
    return None if match is None else (int(match[1]), match[2].decode())


async def take_lease(redis: Redis, domain: int, code: str) -> str | None:
    """Return a token if no other reader holds this code's lease, else None."""
    token = secrets.token_hex(8)
    taken = await redis.set(_lease_key(domain, code), token, nx=True, px=LEASE_MS)
    return token if taken else None


async def fill(redis: Redis, domain: int, code: str, token: str, record: LinkRecord) -> bool:
    """Store what was read under the lease `token`; return whether it was stored."""
    keys = [_entry_key(domain, code), _lease_key(domain, code)]
    life = UNKNOWN_MS if record.state == "unknown" else 0
    arguments: list[str | bytes] = [token, str(record.version), encoder.encode(record), str(life)]
    return int(await _fill(redis, keys, arguments)) == 1


async def apply(redis: Redis, domain: int, code: str, record: LinkRecord) -> None:
    """Put a committed change into the cache; repeating it or coming late is harmless."""
    keys = [_entry_key(domain, code), _lease_key(domain, code)]
    await _apply(redis, keys, [str(record.version), encoder.encode(record)])
