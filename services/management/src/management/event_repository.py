"""The `events` table, as the API reads and writes it.

Events outlive links and users: what is gone or in the trash is shown as null, and is not found by
a filter. Nothing is rewritten for it.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec

from management import actors
from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection


class EventActor(msgspec.Struct, frozen=True):
    """Who made the change: a user, none for an administrator who is none, and the key used."""

    user_id: int | None
    key_id: int


class Event(msgspec.Struct, frozen=True):
    """An event as the API shows it; its time is UTC, without offset."""

    id: int
    url_id: int | None
    user_id: int | None
    event_type: str
    timestamp: Moment
    details: dict[str, Any]
    actor: EventActor | msgspec.UnsetType = msgspec.UNSET


class Change(msgspec.Struct, frozen=True):
    """A change of a URL: what was done, when, the fields that it changed, and by whom.

    `actor` is there where a key was asked for.
    """

    id: int
    event_type: str
    timestamp: Moment
    details: dict[str, Any]
    actor: EventActor | msgspec.UnsetType = msgspec.UNSET


class NewEvent(msgspec.Struct, frozen=True):
    """An event to be written now."""

    event_type: str
    url_id: int
    user_id: int | None
    details: Mapping[str, Any]


_SHOWN = """
    SELECT e.id, url.id AS url_id, owner.id AS user_id, e.event_type,
           e.at AT TIME ZONE 'UTC' AS timestamp, coalesce(e.details, '{}')::text AS details,
           e.actor_user_id, e.actor_key_id
      FROM events AS e
      LEFT JOIN urls AS url ON url.id = e.url_id AND url.deleted_at IS NULL
      LEFT JOIN users AS owner ON owner.id = e.user_id
"""


def _actor(row: asyncpg.Record) -> EventActor | msgspec.UnsetType:
    key_id = row["actor_key_id"]
    return msgspec.UNSET if key_id is None else EventActor(row["actor_user_id"], key_id)


def _event(row: asyncpg.Record) -> Event:
    return Event(
        row["id"],
        row["url_id"],
        row["user_id"],
        row["event_type"],
        row["timestamp"],
        msgspec.json.decode(row["details"]),
        _actor(row),
    )


_FILTERS = {
    "url_id": "e.url_id = ${n} AND EXISTS "
    "(SELECT FROM urls WHERE id = ${n} AND deleted_at IS NULL)",
    "user_id": "e.user_id = ${n} AND EXISTS (SELECT FROM users WHERE id = ${n})",
    "event_type": "e.event_type = ${n}",
}
# With this the planner may use the indexes of rare types although the type is a parameter.
_RARE = "e.event_type <> 'redirect'"


async def find_page(
    connection: Connection, page: Page, filters: Mapping[str, Any], owner: int | None
) -> list[Event]:
    """Return the page's events, of `owner` if given, and one more where there is a next page."""
    arguments: list[Any] = [page.after, page.limit + 1, page.offset]
    conditions = ["e.id > $1", *_conditions(filters, owner, arguments)]
    query = f"""
        {_SHOWN} WHERE {" AND ".join(conditions)} ORDER BY e.id LIMIT $2 OFFSET $3
    """
    return [_event(row) for row in await connection.fetch(query, *arguments)]


STREAMED_ROWS = 500  # of one step of the cursor: what is in memory at once


async def stream(
    connection: Connection, filters: Mapping[str, Any], owner: int | None
) -> AsyncIterator[list[Event]]:
    """Yield all events, of `owner` if given, some at a time; within the caller's transaction."""
    arguments: list[Any] = []
    conditions = ["true", *_conditions(filters, owner, arguments)]
    query = f"{_SHOWN} WHERE {' AND '.join(conditions)} ORDER BY e.id"
    cursor = await connection.cursor(query, *arguments)
    while rows := await cursor.fetch(STREAMED_ROWS):
        yield [_event(row) for row in rows]


def _conditions(filters: Mapping[str, Any], owner: int | None, arguments: list[Any]) -> list[str]:
    """Return the conditions that are asked for, and add what they compare with to `arguments`."""
    conditions = []
    for name, value in filters.items():
        arguments.append(value)
        conditions.append(_FILTERS[name].replace("{n}", str(len(arguments))))
    if filters.get("event_type", "redirect") != "redirect":
        conditions.append(_RARE)
    if owner is not None:
        arguments.append(owner)
        conditions.append(f"e.user_id = ${len(arguments)}")
    return conditions


SELECT = f"{_SHOWN} WHERE e.id = $1 AND ($2::bigint IS NULL OR e.user_id = $2)"


async def find(connection: Connection, event_id: int, owner: int | None) -> Event | None:
    """Return the event, of `owner` if given, or None."""
    row = await connection.fetchrow(SELECT, event_id, owner)
    return None if row is None else _event(row)


SELECT_CHANGES = """
    SELECT id, event_type, at AT TIME ZONE 'UTC' AS timestamp,
           coalesce(details, '{}')::text AS details, actor_user_id, actor_key_id
      FROM events
     WHERE url_id = $1 AND event_type <> 'redirect'
       AND event_type = ANY('{created,updated,deleted}') AND id > $2
     ORDER BY id LIMIT $3 OFFSET $4
"""


async def find_changes(connection: Connection, page: Page, url_id: int) -> list[Change]:
    """Return the page's changes of a URL, and one more where there is a next page."""
    rows = await connection.fetch(SELECT_CHANGES, url_id, page.after, page.limit + 1, page.offset)
    return [
        Change(
            row["id"],
            row["event_type"],
            row["timestamp"],
            msgspec.json.decode(row["details"]),
            _actor(row),
        )
        for row in rows
    ]


INSERT = """
    INSERT INTO events (event_type, url_id, user_id, details, actor_user_id, actor_key_id)
    SELECT event_type, url_id, user_id, details::jsonb, $5, $6
      FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::text[])
        AS new (event_type, url_id, user_id, details)
    RETURNING id
"""
ENSURE_PARTITION = "SELECT ensure_events_partition(now())"


async def insert(connection: Connection, events: Sequence[NewEvent]) -> list[int]:
    """Add events of this moment, by who asks now; return their ids.

    Runs within the caller's transaction.
    """
    actor = actors.current()
    columns = (
        [event.event_type for event in events],
        [event.url_id for event in events],
        [event.user_id for event in events],
        [msgspec.json.encode(event.details).decode() for event in events],
        actor.user_id,
        actor.key_id,
    )
    try:
        async with connection.transaction():
            rows = await connection.fetch(INSERT, *columns)
    except asyncpg.CheckViolationError:  # no partition of relation "events" found for row
        await connection.execute(ENSURE_PARTITION)
        rows = await connection.fetch(INSERT, *columns)
    return [row["id"] for row in rows]


UPDATE = """
    UPDATE events
       SET url_id = coalesce($2, url_id), user_id = coalesce($3, user_id),
           event_type = coalesce($4, event_type), details = coalesce($5::text::jsonb, details)
     WHERE id = $1
    RETURNING id
"""


async def update(connection: Connection, event_id: int, changes: Mapping[str, Any]) -> bool:
    """Correct an event; return whether it is there."""
    details = changes.get("details")
    return (
        await connection.fetchval(
            UPDATE,
            event_id,
            changes.get("url_id"),
            changes.get("user_id"),
            changes.get("event_type"),
            None if details is None else msgspec.json.encode(details).decode(),
        )
        is not None
    )
