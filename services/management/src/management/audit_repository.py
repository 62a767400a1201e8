"""The `audit_records` table: who changed users, keys, webhooks, bans. Links' changes are events."""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from management import actors
from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection

Action = Literal[
    "user.created",
    "user.updated",
    "user.deleted",
    "users.imported",
    "key.created",
    "key.revoked",
    "webhook.created",
    "webhook.updated",
    "webhook.deleted",
    "host.banned",
    "host.unbanned",
    "code.reserved",
    "code.freed",
]


class AuditRecord(msgspec.Struct, frozen=True):
    """A change: of what, whose, by whom.

    `user_id` is whose thing it was and `subject_id` which. `actor_user_id` and `actor_key_id` are
    null where no key was asked for, and for the command line.
    """

    id: int
    at: Moment
    action: str
    user_id: int | None
    subject_id: int | None
    actor_user_id: int | None
    actor_key_id: int | None
    request_id: str | None
    details: dict[str, Any]


INSERT = """
    INSERT INTO audit_records
           (action, user_id, subject_id, actor_user_id, actor_key_id, request_id, details)
    VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb)
"""


async def insert(
    connection: Connection,
    action: Action,
    *,
    user_id: int | None,
    subject_id: int | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Add a record of who asks now, within the transaction of the change; no secret in `details`.

    `user_id` is whose thing is changed.
    """
    actor = actors.current()
    await connection.execute(
        INSERT,
        action,
        user_id,
        subject_id,
        actor.user_id,
        actor.key_id,
        actor.request_id,
        msgspec.json.encode(details or {}).decode(),
    )


_FILTERS = {"user_id": "user_id = ", "action": "action = "}


async def find_page(
    connection: Connection, page: Page, filters: Mapping[str, Any]
) -> list[AuditRecord]:
    """Return the page's records, and one more where there is a next page."""
    conditions = ["id > $1"]
    arguments: list[Any] = [page.after, page.limit + 1, page.offset]
    for name, value in filters.items():
        arguments.append(value)
        conditions.append(f"{_FILTERS[name]}${len(arguments)}")
    query = f"""
        SELECT id, at AT TIME ZONE 'UTC' AS at, action, user_id, subject_id, actor_user_id,
               actor_key_id, request_id, details::text AS details
          FROM audit_records WHERE {" AND ".join(conditions)} ORDER BY id LIMIT $2 OFFSET $3
    """  # noqa: S608
    return [
        msgspec.convert({**row, "details": msgspec.json.decode(row["details"])}, AuditRecord)
        for row in await connection.fetch(query, *arguments)
    ]
