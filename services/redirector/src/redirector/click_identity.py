"""When a click happened and its id, the same however often its request is sent. No I/O."""

import hashlib
import itertools
import math
import secrets
import time
from datetime import UTC, datetime
from functools import lru_cache

NUMBER_DIGITS = 10  # at the end of an id that is not made of a request
MAX_CLOCK_DIFFERENCE_SECONDS = 60.0  # between the gateway's clock and ours
VARIANT = {digit: "89ab"[int(digit, 16) % 4] for digit in "0123456789abcdef"}


class ClickIdentifier:
    """Identifies clicks by UUIDv7 (RFC 9562, section 5.7), as members of a JSON object.

    The gateway repeats a redirect whose redirector died before it answered, perhaps after it
    recorded the click. Both tries carry the same request id and the same start of the request
    (Unix seconds with milliseconds), and both make the same identity of them. Without a start
    that is near our clock the id ends in a number, behind digits of this process's own.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(5)
        self._mark = f"{mark[:3]}-{VARIANT[mark[3]]}{mark[4:7]}-{mark[7:9]}"
        self._numbers = itertools.count()
        self._milliseconds = -1
        self._before = b""  # of the number, for clicks of this millisecond
        self._after = b""

    def identify(self, request_id: bytes, started: bytes | None) -> bytes:
        """Return `"id":"…","at":"…"`."""
        now = time.time()
        if started is not None:
            at = _parse(started)
            if abs(now - at) <= MAX_CLOCK_DIFFERENCE_SECONDS:
                bits = hashlib.blake2b(request_id, digest_size=10).hexdigest()
                start, moment = _moment(round(at * 1000))
                tail = f"{bits[:3]}-{VARIANT[bits[3]]}{bits[4:7]}-{bits[7:19]}"
                return f'"id":"{start}{tail}","at":"{moment}"'.encode()
        before, after = self.around_number(now)
        return b"%b%010x%b" % (before, next(self._numbers) & 0xFF_FFFF_FFFF, after)

    def around_number(self, now: float) -> tuple[bytes, bytes]:
        """Return what stands before and after the number in the id of a click of this moment."""
        milliseconds = int(now * 1000)
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            start, moment = _moment(milliseconds)
            self._before = f'"id":"{start}{self._mark}'.encode()
            self._after = f'","at":"{moment}"'.encode()
        return self._before, self._after


@lru_cache(64)  # clicks of one millisecond share the work
def _moment(milliseconds: int) -> tuple[str, str]:
    """Return how an id of this time (Unix) begins, and the time in ISO 8601."""
    digits = f"{milliseconds:012x}"
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    iso = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{digits[:8]}-{digits[8:]}-7", iso


def _parse(started: bytes) -> float:
    try:
        return float(started)
    except ValueError:
        return math.nan  # near no clock
