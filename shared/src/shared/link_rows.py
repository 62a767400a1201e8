"""From a row of `urls` to the record that caches and redirectors know: the one place. No I/O."""

import time
from datetime import datetime
from urllib.parse import quote

import asyncpg
import msgspec

from shared.events import LinkRecord, LinkState, Rule

# What `record_of` reads, as it is stored. No alias's column has one of these names.
COLUMNS = """
    id, user_id, original_url, is_active, version, deleted_at, expires_at, max_clicks,
    password_hash, redirect_status, cache_seconds, forward_query, rules, starts_at, expired_url
"""
_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))
_rules_decoder = msgspec.json.Decoder(tuple[Rule, ...])


def record_of(row: asyncpg.Record) -> LinkRecord:
    """Return the record of a row that holds `COLUMNS`, as it is now."""
    return LinkRecord(
        version=row["version"],
        state=_state_of(row),
        cached_at=time.time(),
        url_id=row["id"],
        user_id=row["user_id"],
        target=_header_safe(row["original_url"]),
        expires_at=_unix_time(row["expires_at"]),
        max_clicks=row["max_clicks"],
        password_hash=row["password_hash"],
        redirect_status=row["redirect_status"] or 302,
        cache_seconds=row["cache_seconds"],
        forward_query=row["forward_query"],
        rules=tuple(
            msgspec.structs.replace(rule, target=_header_safe(rule.target))
            for rule in rules_of(row)
        ),
        starts_at=_unix_time(row["starts_at"]),
        expired_target=row["expired_url"] and _header_safe(row["expired_url"]),
    )


def rules_of(row: asyncpg.Record) -> tuple[Rule, ...]:
    """Return the rules of a row, as they are stored."""
    return _rules_decoder.decode(row["rules"]) if row["rules"] else ()


def _state_of(row: asyncpg.Record) -> LinkState:
    if row["deleted_at"] is not None:
        return "deleted"
    return "active" if row["is_active"] else "inactive"


def _unix_time(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _header_safe(target: str) -> str:
    return quote(target, safe=_HEADER_SAFE)  # no row can break a header
