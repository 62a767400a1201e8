"""When a click happened and its id, the same however often its request is sent. No I/O."""

import hashlib
import itertools
import secrets
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

MAX_CLOCK_DIFFERENCE = timedelta(seconds=60)  # between the gateway's clock and ours
VERSION_7 = 0x7 << 76 | 0b10 << 62
RANDOM_BITS = 0xFFF << 64 | (1 << 62) - 1  # what version and variant leave


class ClickIdentity(msgspec.Struct, frozen=True):
    """The key under which a click is stored once."""

    id: UUID
    at: datetime


def identify(request_id: str, started: str | None, counted: Callable[[], bytes]) -> ClickIdentity:
    """Return a UUIDv7 (RFC 9562, section 5.7) and its time.

    The gateway repeats a redirect whose redirector died before it answered, perhaps after it
    recorded the click. Both tries carry the same request id and the same start of the request
    (`started`, Unix seconds with milliseconds), and both make the same identity of them. Without
    a start that is near our clock the bits come from `counted`, new at each call.
    """
    now = datetime.now(UTC)
    at = _parse(started)
    if at is None or abs(now - at) > MAX_CLOCK_DIFFERENCE:
        return _identity(now, counted())
    return _identity(at, hashlib.blake2b(request_id.encode(), digest_size=10).digest())


def counter() -> Callable[[], bytes]:
    """Return a source of bits that are unlike any other process's and any earlier ones."""
    mark = secrets.token_bytes(5)
    numbers = itertools.count()
    return lambda: mark + (next(numbers) & 0xFF_FFFF_FFFF).to_bytes(5, "big")


def _identity(at: datetime, bits: bytes) -> ClickIdentity:
    milliseconds = int(at.timestamp() * 1000)
    value = milliseconds << 80 | VERSION_7 | int.from_bytes(bits, "big") & RANDOM_BITS
    return ClickIdentity(UUID(int=value), at)


def _parse(started: str | None) -> datetime | None:
    if started is None:
        return None
    try:
        return datetime.fromtimestamp(float(started), UTC)
    except (ValueError, OverflowError, OSError):
        return None
