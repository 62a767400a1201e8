"""The tables `webhooks` and `webhook_deliveries`: who is told, and the queue of what."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, cast

import msgspec

from management.errors import Conflict, NotFound
from management.fields import Moment
from management.pages import Page
from management.webhook_messages import EventType, Message
from shared.postgres import Connection

MAX_OF_USER = 20
MAX_PENDING = 10_000  # of one webhook; further messages are dead at once
KEPT_DAYS = {"delivered": 3, "dead": 30}
DISABLE_FAILURES = 100  # in a row

State = Literal["pending", "delivered", "dead"]


class Webhook(msgspec.Struct, frozen=True):
    """A webhook as the API shows it: never its secret."""

    id: int
    user_id: int | None
    url: str
    events: list[EventType]
    is_active: bool
    failures: int
    disabled_reason: str | None
    created_at: Moment
    updated_at: Moment


class Delivery(msgspec.Struct, frozen=True):
    """A message to a webhook, and how far it got."""

    id: int
    message_id: str
    event_type: str
    state: State
    attempts: int
    created_at: Moment
    next_attempt_at: Moment | None
    ended_at: Moment | None
    last_status: int | None
    last_error: str | None


class Due(msgspec.Struct, frozen=True):
    """A message to be sent now, this being the attempt of that number."""

    id: int
    webhook_id: int
    message_id: str
    body: str
    attempts: int
    url: str
    secret: str


_COLUMNS = """
    id, user_id, url, events, is_active, failures, disabled_reason,
    created_at AT TIME ZONE 'UTC' AS created_at, updated_at AT TIME ZONE 'UTC' AS updated_at
"""

INSERT = f"""
    INSERT INTO webhooks (user_id, url, events, secret)
    SELECT $1, $2, $3, $4
     WHERE (SELECT count(*) FROM webhooks WHERE user_id IS NOT DISTINCT FROM $1) < {MAX_OF_USER}
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(
    connection: Connection, user_id: int | None, url: str, events: Sequence[str], secret: str
) -> Webhook:
    """Add a webhook; raises `Conflict`, and `asyncpg.ForeignKeyViolationError` for no user."""
    row = await connection.fetchrow(INSERT, user_id, url, events, secret)
    if row is None:
        raise Conflict(f"A user has at most {MAX_OF_USER} webhooks: delete one that is not needed")
    return msgspec.convert(row, Webhook)


SELECT = f"""
    SELECT {_COLUMNS} FROM webhooks WHERE id = $1 AND ($2::bigint IS NULL OR user_id = $2)
"""  # noqa: S608


async def find(connection: Connection, webhook_id: int, owner: int | None) -> Webhook:
    """Return the webhook, of `owner` if given; raises `NotFound`."""
    row = await connection.fetchrow(SELECT, webhook_id, owner)
    if row is None:
        raise NotFound("Webhook not found")
    return msgspec.convert(row, Webhook)


SELECT_PAGE = f"""
    SELECT {_COLUMNS} FROM webhooks WHERE id > $1 AND ($4::bigint IS NULL OR user_id = $4)
     ORDER BY id LIMIT $2 OFFSET $3
"""  # noqa: S608


async def find_page(connection: Connection, page: Page, owner: int | None) -> list[Webhook]:
    """Return the page's webhooks, of `owner` if given, and one more if there is a next page."""
    rows = await connection.fetch(SELECT_PAGE, page.after, page.limit + 1, page.offset, owner)
    return msgspec.convert(rows, list[Webhook])


UPDATE = f"""
    UPDATE webhooks
       SET url = coalesce($3, url), events = coalesce($4, events),
           is_active = coalesce($5, is_active), updated_at = clock_timestamp(),
           failures = CASE WHEN $5 THEN 0 ELSE failures END,
           disabled_reason = CASE WHEN $5 THEN NULL ELSE disabled_reason END
     WHERE id = $1 AND ($2::bigint IS NULL OR user_id = $2)
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def update(
    connection: Connection, webhook_id: int, owner: int | None, changes: dict[str, Any]
) -> Webhook:
    """Change what is given; made active, it has never failed. Raises `NotFound`."""
    given = [changes.get(name) for name in ("url", "events", "is_active")]
    row = await connection.fetchrow(UPDATE, webhook_id, owner, *given)
    if row is None:
        raise NotFound("Webhook not found")
    return msgspec.convert(row, Webhook)


DELETE = """
    DELETE FROM webhooks WHERE id = $1 AND ($2::bigint IS NULL OR user_id = $2) RETURNING user_id
"""


async def delete(connection: Connection, webhook_id: int, owner: int | None) -> int | None:
    """Remove a webhook with its deliveries and return whose it was; raises `NotFound`."""
    row = await connection.fetchrow(DELETE, webhook_id, owner)
    if row is None:
        raise NotFound("Webhook not found")
    return None if row["user_id"] is None else int(row["user_id"])


CLICKS_WANTED_SINCE = """
    SELECT min(created_at) FROM webhooks WHERE is_active AND 'clicks' = ANY(events)
"""


async def clicks_wanted_since(connection: Connection) -> datetime | None:
    """Return when the first webhook that is told of clicks was made, or None where none is."""
    return cast("datetime | None", await connection.fetchval(CLICKS_WANTED_SINCE))


# What a webhook is told happened after it was made. Beyond its bound a message is dead at once.
ENQUEUE = f"""
    INSERT INTO webhook_deliveries
           (webhook_id, message_id, event_type, body, state, ended_at, last_error)
    SELECT hook.id, message.id, message.event_type, message.body,
           CASE WHEN full_up.is_full THEN 'dead' ELSE 'pending' END,
           CASE WHEN full_up.is_full THEN clock_timestamp() END,
           CASE WHEN full_up.is_full THEN 'More than {MAX_PENDING} deliveries wait' END
      FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[], $5::text[])
           WITH ORDINALITY AS message (id, event_type, user_id, at, body, place)
      JOIN webhooks AS hook
        ON hook.user_id IS NOT DISTINCT FROM message.user_id
       AND hook.is_active
       AND message.event_type = ANY (hook.events)
       AND hook.created_at <= message.at
     CROSS JOIN LATERAL (
           SELECT count(*) >= {MAX_PENDING} AS is_full
             FROM (SELECT FROM webhook_deliveries AS waiting
                    WHERE waiting.webhook_id = hook.id AND waiting.state = 'pending'
                    LIMIT {MAX_PENDING}) AS pending) AS full_up
     ORDER BY hook.id, place
        ON CONFLICT (webhook_id, message_id) DO NOTHING
"""  # noqa: S608


async def enqueue(connection: Connection, messages: Sequence[Message]) -> None:
    """Queue messages for every webhook that is to be told; repeating it changes nothing."""
    await connection.execute(
        ENQUEUE,
        [message.id for message in messages],
        [message.event_type for message in messages],
        [message.user_id for message in messages],
        [message.at for message in messages],
        [message.body for message in messages],
    )


_DELIVERY = """
    id, message_id, event_type, state, attempts, created_at AT TIME ZONE 'UTC' AS created_at,
    CASE WHEN state = 'pending' THEN next_attempt_at AT TIME ZONE 'UTC' END AS next_attempt_at,
    ended_at AT TIME ZONE 'UTC' AS ended_at, last_status, last_error
"""

ENQUEUE_ONE = f"""
    INSERT INTO webhook_deliveries (webhook_id, message_id, event_type, body)
    VALUES ($1, $2, $3, $4) RETURNING {_DELIVERY}
"""  # noqa: S608


async def enqueue_one(
    connection: Connection, webhook_id: int, message_id: str, event_type: str, body: str
) -> Delivery:
    """Queue a message for one webhook, whatever it is told of."""
    row = await connection.fetchrow(ENQUEUE_ONE, webhook_id, message_id, event_type, body)
    return msgspec.convert(row, Delivery)


SELECT_DELIVERIES = f"""
    SELECT {_DELIVERY} FROM webhook_deliveries
     WHERE webhook_id = $1 AND id > $2 AND ($5::text IS NULL OR state = $5)
     ORDER BY id LIMIT $3 OFFSET $4
"""  # noqa: S608


async def find_deliveries(
    connection: Connection, webhook_id: int, page: Page, state: State | None
) -> list[Delivery]:
    """Return the page's deliveries, and one more where there is a next page."""
    rows = await connection.fetch(
        SELECT_DELIVERIES, webhook_id, page.after, page.limit + 1, page.offset, state
    )
    return msgspec.convert(rows, list[Delivery])


# Taken for a time: who is killed meanwhile leaves it to be taken again. Some of each webhook, so
# that none with a long queue, or that is slow ($1: those at work), holds up the others.
TAKE = """
    WITH due AS (
        SELECT waiting.id, hook.url, hook.secret
          FROM webhooks AS hook
         CROSS JOIN LATERAL (
               SELECT id FROM webhook_deliveries AS delivery
                WHERE delivery.webhook_id = hook.id AND state = 'pending'
                  AND next_attempt_at <= clock_timestamp()
                ORDER BY next_attempt_at LIMIT $2
                  FOR UPDATE SKIP LOCKED) AS waiting
         WHERE hook.is_active AND hook.id <> ALL ($1::bigint[])
         LIMIT $3
    )
    UPDATE webhook_deliveries AS delivery
       SET attempts = attempts + 1,
           next_attempt_at = clock_timestamp() + $4 * interval '1 second'
      FROM due WHERE delivery.id = due.id
    RETURNING delivery.id, webhook_id, message_id, body, attempts, due.url, due.secret
"""


async def take(
    connection: Connection, busy: Sequence[int], *, each: int, most: int, lease_seconds: float
) -> list[Due]:
    """Take what is due, of each webhook but the `busy` ones; it is nobody else's for the lease."""
    rows = await connection.fetch(TAKE, busy, each, most, lease_seconds)
    return msgspec.convert(rows, list[Due])


SUCCEED = """
    WITH done AS (
        UPDATE webhook_deliveries
           SET state = 'delivered', ended_at = clock_timestamp(), last_status = $2,
               last_error = NULL
         WHERE id = $1 RETURNING webhook_id
    )
    UPDATE webhooks SET failures = 0 WHERE id = (SELECT webhook_id FROM done) AND failures > 0
"""


async def succeed(connection: Connection, delivery_id: int, status: int) -> None:
    """Note that a message was taken."""
    await connection.execute(SUCCEED, delivery_id, status)


FAIL = f"""
    WITH done AS (
        UPDATE webhook_deliveries
           SET state = CASE WHEN $4::float IS NULL THEN 'dead' ELSE 'pending' END,
               ended_at = CASE WHEN $4::float IS NULL THEN clock_timestamp() END,
               next_attempt_at = clock_timestamp() + coalesce($4, 0) * interval '1 second',
               last_status = $2, last_error = $3
         WHERE id = $1 RETURNING webhook_id
    )
    UPDATE webhooks
       SET failures = failures + 1,
           is_active = is_active AND NOT ($5 OR failures + 1 >= {DISABLE_FAILURES}),
           disabled_reason = CASE
               WHEN $5 THEN 'It answered 410: gone'
               WHEN failures + 1 >= {DISABLE_FAILURES} THEN 'It failed {DISABLE_FAILURES} times'
               ELSE disabled_reason END
     WHERE id = (SELECT webhook_id FROM done)
    RETURNING is_active
"""  # noqa: S608


async def fail(
    connection: Connection,
    delivery_id: int,
    *,
    status: int | None,
    error: str,
    retry_seconds: float | None,
    is_gone: bool,
) -> None:
    """Note a failed attempt: another one after `retry_seconds`, with None never more."""
    await connection.fetchval(FAIL, delivery_id, status, error, retry_seconds, is_gone)


FORGET = """
    DELETE FROM webhook_deliveries
     WHERE (state = 'delivered' AND ended_at < now() - $1 * interval '1 day')
        OR (state = 'dead' AND ended_at < now() - $2 * interval '1 day')
"""


async def forget(connection: Connection) -> None:
    """Remove deliveries that ended long ago."""
    await connection.execute(FORGET, KEPT_DAYS["delivered"], KEPT_DAYS["dead"])
