"""From stream entries to clicks, and to what is wrong with the others. No I/O."""

from datetime import UTC, datetime, timedelta

import msgspec

from shared import streams
from shared.errors import UNDECODABLE
from shared.events import Click, DeadReason, click_decoder, clicks_decoder, raw_batch_decoder

FUTURE_LIMIT = timedelta(hours=1)  # beyond it a clock is wrong
PAST_LIMIT = timedelta(days=400)  # older clicks come by import, not by the bus
BIGINT_MAX = 2**63 - 1


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """What can't be stored: a click's JSON, or a whole entry's batch."""

    entry_id: bytes
    reason: DeadReason
    explanation: str
    payload: bytes


class Decoded(msgspec.Struct, frozen=True):
    """The content of some entries; `entry_of` tells each click's entry, for a later refusal."""

    clicks: list[Click]
    entry_of: list[bytes]
    dead: list[DeadLetter]


def decode(entries: streams.Entries, now: datetime) -> Decoded:
    """Split `entries` into clicks and dead letters."""
    decoded = Decoded([], [], [])
    for entry_id, fields in entries:
        if fields:  # an entry that was trimmed while pending comes back without fields
            _decode_entry(decoded, entry_id, fields, now)
    return decoded


def _decode_entry(
    decoded: Decoded, entry_id: bytes, fields: dict[bytes, bytes], now: datetime
) -> None:
    batch = fields.get(streams.CLICKS_BATCH, b"")
    try:
        clicks = clicks_decoder.decode(batch)
    except UNDECODABLE:  # slow way: which one is it?
        clicks = _decode_one_by_one(decoded, entry_id, batch)
    for click in clicks:
        problem = _out_of_range(click, now)
        if problem is None:
            decoded.clicks.append(click)
            decoded.entry_of.append(entry_id)
        else:
            payload = msgspec.json.encode(click)
            decoded.dead.append(
                DeadLetter(
                    entry_id=entry_id, reason="out_of_range", explanation=problem, payload=payload
                )
            )


def _decode_one_by_one(decoded: Decoded, entry_id: bytes, batch: bytes) -> list[Click]:
    try:
        parts = raw_batch_decoder.decode(batch)
    except UNDECODABLE as error:
        decoded.dead.append(_undecodable(entry_id, error, batch))
        return []
    clicks = []
    for part in parts:
        try:
            clicks.append(click_decoder.decode(part))
        except UNDECODABLE as error:
            decoded.dead.append(_undecodable(entry_id, error, bytes(part)))
    return clicks


def _undecodable(entry_id: bytes, error: Exception, payload: bytes) -> DeadLetter:
    return DeadLetter(
        entry_id=entry_id, reason="undecodable", explanation=str(error), payload=payload
    )


def _out_of_range(click: Click, now: datetime) -> str | None:
    if click.at.tzinfo is None:
        return "at has no time zone"
    if not now - PAST_LIMIT <= click.at <= now + FUTURE_LIMIT:
        return "at is too far from now"
    if not (0 <= click.url_id <= BIGINT_MAX and 0 <= (click.user_id or 0) <= BIGINT_MAX):
        return "an id is out of range"
    return None


def utc_now() -> datetime:
    """Return the time now, in UTC."""
    return datetime.now(UTC)
