"""From a row of `urls` to the record that caches and redirectors know: the one place. No I/O."""

import time
from urllib.parse import quote

import asyncpg
import msgspec

from shared.events import LinkRecord, LinkState, Rule

# What `record_of` reads, as it is stored. No alias's column has one of these names.
COLUMNS = """
    id, user_id, original_url, is_active, version, deleted_at, expires_at, max_clicks,
    password_hash, redirect_status, cache_seconds, forward_query, rules
"""
_HEADER_SAFE = "".join(map(chr, range(0x21, 0x7F)))
_rules_decoder = msgspec.json.Decoder(tuple[Rule, ...])


def record_of(row: asyncpg.Record) -> LinkRecord:
    """Return the record of a row that holds `COLUMNS`, as it is now."""
    expires_at = row["expires_at"]
    return LinkRecord(
        version=row["version"],
        state=_state_of(row),
        cached_at=time.time(),
        url_id=row["id"],
        user_id=row["user_id"],
        target=_header_safe(row["original_url"]),
        expires_at=None if expires_at is None else expires_at.timestamp(),
        max_clicks=row["max_clicks"],
        password_hash=row["password_hash"],
        redirect_status=row["redirect_status"] or 302,
        cache_seconds=row["cache_seconds"],
        forward_query=row["forward_query"],
        rules=tuple(
            msgspec.structs.replace(rule, target=_header_safe(rule.target))
            for rule in rules_of(row)
        ),
    )


def rules_of(row: asyncpg.Record) -> tuple[Rule, ...]:
    """Return the rules of a row, as they are stored."""
    return _rules_decoder.decode(row["rules"]) if row["rules"] else ()


def _state_of(row: asyncpg.Record) -> LinkState:
    if row["deleted_at"] is not None:
        return "deleted"
    return "active" if row["is_active"] else "inactive"


def _header_safe(target: str) -> str:
    return quote(target, safe=_HEADER_SAFE)  # no row can break a header
