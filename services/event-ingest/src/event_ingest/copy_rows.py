"""Clicks as PostgreSQL's binary COPY takes them. No I/O.

https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-BINARY-FORMAT-ID; a value is its
length and its bytes, as its type's receive function takes them.
"""

import struct
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from event_ingest.enrichment import Enriched

COLUMNS = ("at", "event_id", "event_type", "url_id", "user_id", "details")

_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack("!ii", 0, 0)
_TRAILER = struct.pack("!h", -1)
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TYPE = b"redirect"
_JSONB_VERSION = 1
_NULL = -1

_with_user = struct.Struct(f"!hiqi16si{len(_TYPE)}siqiqiB").pack
_without_user = struct.Struct(f"!hiqi16si{len(_TYPE)}siqiiB").pack


def copy_rows(clicks: Iterable[Enriched]) -> bytes:
    """Return the rows of `clicks`; raises `struct.error` for what no bigint holds."""
    parts = [_HEADER]
    for each in clicks:
        click, details = each.click, each.details
        start = (
            len(COLUMNS),
            *(8, (click.at - _EPOCH) // _MICROSECOND),
            *(16, click.id.bytes),
            *(len(_TYPE), _TYPE),
            *(8, click.url_id),
        )
        end = (len(details) + 1, _JSONB_VERSION)
        if click.user_id is None:
            parts.append(_without_user(*start, _NULL, *end))
        else:
            parts.append(_with_user(*start, 8, click.user_id, *end))
        parts.append(details)
    parts.append(_TRAILER)
    return b"".join(parts)
