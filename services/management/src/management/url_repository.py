"""The `urls` table: every change draws a new version."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import msgspec

from management.errors import Malformed
from management.fields import Moment
from management.pages import Page
from shared.postgres import Connection


class Url(msgspec.Struct, frozen=True):
    """A URL as the API shows it; times are UTC, without offset."""

    id: int
    user_id: int
    short_code: str
    original_url: str
    title: str | None
    is_active: bool
    created_at: Moment
    updated_at: Moment


class VersionedUrl(msgspec.Struct, frozen=True):
    """A URL with what only we need to know."""

    url: Url
    version: int
    domain_id: int


_COLUMNS = """
    id, user_id, short_code, original_url, title, is_active,
    created_at AT TIME ZONE 'UTC' AS created_at, updated_at AT TIME ZONE 'UTC' AS updated_at
"""
_VERSIONED = f"{_COLUMNS}, version, domain_id"


def _versioned(row: asyncpg.Record) -> VersionedUrl:
    return VersionedUrl(msgspec.convert(row, Url), row["version"], row["domain_id"])


INSERT = f"""
    INSERT INTO urls (domain_id, short_code, user_id, original_url, title)
    VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (domain_id, short_code) DO NOTHING
    RETURNING {_VERSIONED}
"""  # noqa: S608


async def insert(
    connection: Connection, domain: int, code: str, user_id: int, target: str, title: str | None
) -> VersionedUrl | None:
    """Add a URL; None where the code is taken. Raises `Malformed` for an unknown user."""
    try:
        row = await connection.fetchrow(INSERT, domain, code, user_id, target, title)
    except asyncpg.ForeignKeyViolationError:
        raise Malformed("User not found", {"user_id": "User not found"}) from None
    return None if row is None else _versioned(row)


SELECT = f"""
    SELECT {_COLUMNS} FROM urls
     WHERE id = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
"""  # noqa: S608


async def find(connection: Connection, url_id: int, owner: int | None) -> Url | None:
    """Return a live URL, of `owner` if given, or None."""
    row = await connection.fetchrow(SELECT, url_id, owner)
    return None if row is None else msgspec.convert(row, Url)


_FILTERS = {"user_id": "user_id = ", "is_active": "is_active = ", "short_code": "short_code = "}


async def find_page(
    connection: Connection, page: Page, filters: Mapping[str, Any], owner: int | None
) -> list[Url]:
    """Return the page's URLs, of `owner` if given, and one more where there is a next page."""
    # Only the conditions that are asked for: "$1 IS NULL OR …" would hide the index of each.
    conditions = ["deleted_at IS NULL", "id > $1"]
    arguments: list[Any] = [page.after, page.limit + 1, page.offset]
    for name, value in filters.items():
        arguments.append(value)
        conditions.append(f"{_FILTERS[name]}${len(arguments)}")
    if owner is not None:
        arguments.append(owner)
        conditions.append(f"user_id = ${len(arguments)}")
    query = f"""
        SELECT {_COLUMNS} FROM urls WHERE {" AND ".join(conditions)}
         ORDER BY id LIMIT $2 OFFSET $3
    """  # noqa: S608
    return msgspec.convert(await connection.fetch(query, *arguments), list[Url])


LOCK = f"""
    SELECT {_VERSIONED} FROM urls
     WHERE id = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
       FOR UPDATE
"""  # noqa: S608


async def lock(connection: Connection, url_id: int, owner: int | None) -> VersionedUrl | None:
    """Return a live URL and keep it from being changed until the transaction ends."""
    row = await connection.fetchrow(LOCK, url_id, owner)
    return None if row is None else _versioned(row)


UPDATE = f"""
    UPDATE urls
       SET original_url = $2, title = $3, is_active = $4, updated_at = clock_timestamp(),
           version = nextval('url_version_seq')
     WHERE id = $1
    RETURNING {_VERSIONED}
"""  # noqa: S608


async def update(connection: Connection, url: Url) -> VersionedUrl:
    """Write a locked URL's target, title and state."""
    row = await connection.fetchrow(UPDATE, url.id, url.original_url, url.title, url.is_active)
    assert row is not None
    return _versioned(row)


TOUCH = f"""
    UPDATE urls SET updated_at = clock_timestamp() WHERE id = $1 RETURNING {_VERSIONED}
"""  # noqa: S608


async def touch(connection: Connection, url_id: int) -> VersionedUrl:
    """Note that a locked URL was written, although nothing in it changed: no new version."""
    row = await connection.fetchrow(TOUCH, url_id)
    assert row is not None
    return _versioned(row)


TRASH = f"""
    UPDATE urls
       SET deleted_at = clock_timestamp(), updated_at = clock_timestamp(),
           version = nextval('url_version_seq')
     WHERE id = ANY($1)
    RETURNING {_VERSIONED}
"""  # noqa: S608


async def trash(connection: Connection, url_ids: list[int]) -> list[VersionedUrl]:
    """Put locked URLs in the trash; their codes stay reserved."""
    return [_versioned(row) for row in await connection.fetch(TRASH, url_ids)]


LOCK_OF_USER = """
    SELECT id FROM urls WHERE user_id = $1 AND deleted_at IS NULL ORDER BY id FOR UPDATE
"""


async def lock_of_user(connection: Connection, user_id: int) -> list[int]:
    """Return the ids of a user's live URLs, kept from being changed."""
    return [row["id"] for row in await connection.fetch(LOCK_OF_USER, user_id)]
