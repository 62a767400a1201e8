"""The `urls` table: every change draws a new version."""

from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from management.alias_repository import code_taken
from management.errors import Malformed
from management.fields import Moment
from management.pages import Page
from shared import link_rows
from shared.events import LinkRecord, RedirectStatus, Rule
from shared.postgres import Connection


class Url(msgspec.Struct, frozen=True, omit_defaults=True):
    """A URL as the API shows it; times are UTC, without offset.

    What is not set does not appear. In the trash `user_id` is null where the user is gone.
    """

    id: int
    user_id: int | None
    short_code: str
    original_url: str
    title: str | None
    is_active: bool
    created_at: Moment
    updated_at: Moment
    starts_at: Moment | None = None
    expires_at: Moment | None = None
    expired_url: str | None = None
    max_clicks: int | None = None
    has_password: bool = False
    redirect_type: RedirectStatus | None = None
    cache_seconds: int | None = None
    forward_query: bool = False
    tags: tuple[str, ...] = ()
    notes: str | None = None
    rules: tuple[Rule, ...] = ()
    archived: bool = False
    aliases: tuple[str, ...] = ()
    deleted_at: Moment | None = None
    clicks: int | None = None
    last_click_at: Moment | None = None


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What an owner sets of a URL; what is not given is as a plain link has it."""

    original_url: str
    title: str | None = None
    is_active: bool = True
    expires_at: datetime | None = None  # UTC, without offset
    max_clicks: int | None = None
    password_hash: str | None = None
    redirect_type: RedirectStatus | None = None
    cache_seconds: int | None = None
    forward_query: bool = False
    tags: tuple[str, ...] = ()
    notes: str | None = None
    rules: tuple[Rule, ...] = ()
    archived: bool = False
    starts_at: datetime | None = None  # UTC, without offset
    expired_url: str | None = None


class VersionedUrl(msgspec.Struct, frozen=True):
    """A URL, and what redirectors have to know of it."""

    url: Url
    record: LinkRecord
    domain_id: int

    @property
    def codes(self) -> tuple[str, ...]:
        """Its own code and its aliases."""
        return (self.url.short_code, *self.url.aliases)

    @property
    def content(self) -> Content:
        """What its owner has set."""
        shown = {name: getattr(self.url, name) for name in _SHOWN_CONTENT}
        return Content(password_hash=self.record.password_hash, **shown)


_SHOWN_CONTENT = [name for name in Content.__struct_fields__ if name != "password_hash"]
_COLUMNS = f"""
    {link_rows.COLUMNS}, domain_id, short_code, title, created_at, updated_at, tags, notes,
    archived_at,
    ARRAY(SELECT alias.short_code FROM url_aliases AS alias WHERE alias.url_id = urls.id
           ORDER BY alias.created_at, alias.short_code) AS aliases
"""  # noqa: S608


def _url(row: asyncpg.Record) -> Url:
    return Url(
        id=row["id"],
        user_id=row["user_id"],
        short_code=row["short_code"],
        original_url=row["original_url"],
        title=row["title"],
        is_active=row["is_active"],
        created_at=row["created_at"].replace(tzinfo=None),
        updated_at=row["updated_at"].replace(tzinfo=None),
        starts_at=row["starts_at"] and row["starts_at"].replace(tzinfo=None),
        expires_at=row["expires_at"] and row["expires_at"].replace(tzinfo=None),
        expired_url=row["expired_url"],
        max_clicks=row["max_clicks"],
        has_password=row["password_hash"] is not None,
        redirect_type=row["redirect_status"],
        cache_seconds=row["cache_seconds"],
        forward_query=row["forward_query"],
        tags=tuple(row["tags"]),
        notes=row["notes"],
        rules=link_rows.rules_of(row),
        archived=row["archived_at"] is not None,
        aliases=tuple(row["aliases"]),
        deleted_at=row["deleted_at"] and row["deleted_at"].replace(tzinfo=None),
        clicks=row.get("clicks"),
        last_click_at=row.get("last_click_at"),
    )


def _versioned(row: asyncpg.Record) -> VersionedUrl:
    return VersionedUrl(_url(row), link_rows.record_of(row), row["domain_id"])


# What `Content` holds, and the parameters that bring it, $1 to $15.
_CONTENT_COLUMNS = """
    original_url, title, is_active, expires_at, max_clicks, password_hash, redirect_status,
    cache_seconds, forward_query, tags, notes, rules, archived_at, starts_at, expired_url
"""
_CONTENT = """
    $1, $2, $3, $4::timestamp AT TIME ZONE 'UTC', $5, $6, $7, $8, $9, $10, $11, $12,
    CASE WHEN $13 THEN {archived_at} END, $14::timestamp AT TIME ZONE 'UTC', $15
"""


def _arguments(content: Content) -> list[Any]:
    values = msgspec.structs.asdict(content)
    rules = msgspec.json.encode(content.rules).decode() if content.rules else None
    return list({**values, "tags": list(content.tags), "rules": rules}.values())


INSERT = f"""
    INSERT INTO urls ({_CONTENT_COLUMNS}, domain_id, short_code, user_id)
    SELECT {_CONTENT.format(archived_at="now()")}, $16, $17, $18
     WHERE NOT EXISTS (SELECT FROM url_aliases WHERE domain_id = $16 AND short_code = $17)
       AND NOT EXISTS (SELECT FROM reserved_codes WHERE short_code = lower($17))
        ON CONFLICT (domain_id, short_code) DO NOTHING
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def insert(
    connection: Connection, domain: int, code: str, user_id: int, content: Content
) -> VersionedUrl | None:
    """Add a URL; None where the code is taken or reserved.

    Raises `Malformed` for an unknown user.
    """
    try:
        row = await connection.fetchrow(INSERT, *_arguments(content), domain, code, user_id)
    except asyncpg.ForeignKeyViolationError:
        raise Malformed("User not found", {"user_id": "User not found"}) from None
    except asyncpg.UniqueViolationError:  # an alias of this moment
        raise code_taken() from None
    return None if row is None else _versioned(row)


# Writers queue behind who waits for the lock, and an import writes for long.
KEEP_WRITERS_OUT = """
    SET LOCAL lock_timeout = '1s';
    LOCK TABLE urls IN SHARE ROW EXCLUSIVE MODE
"""


async def keep_writers_out(connection: Connection) -> None:
    """Keep links from being written by others until the transaction ends.

    To be asked for before the transaction's first write: see the triggers of migration 0004.
    Nobody is then on the way to insert a link whose version is older than what is announced of
    a code that this transaction frees. Raises `asyncpg.LockNotAvailableError` after a second.
    """
    await connection.execute(KEEP_WRITERS_OUT)


SELECT = f"""
    SELECT {_COLUMNS} FROM urls
     WHERE id = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
"""  # noqa: S608


async def find(connection: Connection, url_id: int, owner: int | None) -> VersionedUrl | None:
    """Return a live URL, of `owner` if given, or None."""
    row = await connection.fetchrow(SELECT, url_id, owner)
    return None if row is None else _versioned(row)


# Not by a join: they are looked up for the rows that are shown, after the limit.
_CLICKS = """
    (SELECT clicks FROM url_clicks WHERE url_id = urls.id) AS clicks,
    (SELECT nullif(last_click_at, '-infinity') AT TIME ZONE 'UTC'
       FROM url_clicks WHERE url_id = urls.id) AS last_click_at
"""

SELECT_WITH_CLICKS = f"""
    SELECT {_COLUMNS}, {_CLICKS} FROM urls
     WHERE id = $1 AND deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
"""  # noqa: S608


async def find_with_clicks(
    connection: Connection, url_id: int, owner: int | None
) -> VersionedUrl | None:
    """Return a live URL, of `owner` if given, and how often it was clicked; or None."""
    row = await connection.fetchrow(SELECT_WITH_CLICKS, url_id, owner)
    return None if row is None else _versioned(row)


async def select(connection: Connection, clauses: str, *arguments: Any) -> list[Url]:  # noqa: ANN401
    """Return the URLs that `SELECT … FROM urls` with these clauses finds."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM urls {clauses}", *arguments)  # noqa: S608
    return [_url(row) for row in rows]


async def select_with_clicks(
    connection: Connection,
    clauses: str,
    *arguments: Any,  # noqa: ANN401
) -> list[Url]:
    """Return the same, and how often each was clicked."""
    query = f"SELECT {_COLUMNS}, {_CLICKS} FROM urls {clauses}"  # noqa: S608
    return [_url(row) for row in await connection.fetch(query, *arguments)]


async def select_versioned(
    connection: Connection,
    clauses: str,
    *arguments: Any,  # noqa: ANN401
) -> list[VersionedUrl]:
    """Return the URLs that `SELECT … FROM urls` with these clauses finds."""
    rows = await connection.fetch(f"SELECT {_COLUMNS} FROM urls {clauses}", *arguments)  # noqa: S608
    return [_versioned(row) for row in rows]


async def write(connection: Connection, statement: str, *arguments: Any) -> list[VersionedUrl]:  # noqa: ANN401
    """Return the URLs that an INSERT or UPDATE of `urls` leaves."""
    rows = await connection.fetch(f"{statement} RETURNING {_COLUMNS}", *arguments)
    return [_versioned(row) for row in rows]


LOCK = f"""
    SELECT {_COLUMNS} FROM urls
     WHERE id = $1 AND (deleted_at IS NOT NULL) = $3 AND ($2::bigint IS NULL OR user_id = $2)
       FOR UPDATE
"""  # noqa: S608


async def lock(
    connection: Connection, url_id: int, owner: int | None, *, is_deleted: bool = False
) -> VersionedUrl | None:
    """Return a live URL, or one in the trash, and keep it from being changed meanwhile."""
    row = await connection.fetchrow(LOCK, url_id, owner, is_deleted)
    return None if row is None else _versioned(row)


UPDATE = f"""
    UPDATE urls
       SET ({_CONTENT_COLUMNS}, updated_at, version)
           = ({_CONTENT.format(archived_at="coalesce(archived_at, now())")},
              clock_timestamp(), nextval('url_version_seq'))
     WHERE id = $16
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def update(connection: Connection, url_id: int, content: Content) -> VersionedUrl:
    """Write what an owner sets of a locked URL."""
    row = await connection.fetchrow(UPDATE, *_arguments(content), url_id)
    assert row is not None
    return _versioned(row)


RENEW = f"""
    UPDATE urls SET updated_at = clock_timestamp(), version = nextval('url_version_seq')
     WHERE id = $1
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def renew(connection: Connection, url_id: int) -> VersionedUrl:
    """Give a locked URL, whose codes were changed, a new version."""
    row = await connection.fetchrow(RENEW, url_id)
    assert row is not None
    return _versioned(row)


SELECT_CODE = "SELECT short_code FROM urls WHERE id = $1"


async def find_code(connection: Connection, url_id: int) -> str | None:
    """Return a URL's own code, or None."""
    code: str | None = await connection.fetchval(SELECT_CODE, url_id)
    return code


SET_CODE = "UPDATE urls SET short_code = $2 WHERE id = $1"


async def set_code(connection: Connection, url_id: int, code: str) -> None:
    """Give a locked URL another code; raises `Conflict` where it is taken."""
    try:
        await connection.execute(SET_CODE, url_id, code)
    except asyncpg.UniqueViolationError:
        raise code_taken() from None


TOUCH = f"""
    UPDATE urls SET updated_at = clock_timestamp() WHERE id = $1 RETURNING {_COLUMNS}
"""  # noqa: S608


async def touch(connection: Connection, url_id: int) -> VersionedUrl:
    """Note that a locked URL was written, although nothing in it changed: no new version."""
    row = await connection.fetchrow(TOUCH, url_id)
    assert row is not None
    return _versioned(row)


TRASH = f"""
    WITH now AS MATERIALIZED (SELECT clock_timestamp() AS moment)
    UPDATE urls
       SET deleted_at = now.moment, updated_at = now.moment, version = nextval('url_version_seq')
      FROM now
     WHERE id = ANY($1)
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def trash(connection: Connection, url_ids: list[int]) -> list[VersionedUrl]:
    """Put locked URLs in the trash; their codes stay reserved."""
    return [_versioned(row) for row in await connection.fetch(TRASH, url_ids)]


# All of them are locked before it is looked which are live: one that is trashed, or restored, at
# this moment is waited for, and then it is what it has become.
LOCK_OF_USER = """
    WITH locked AS MATERIALIZED (
        SELECT id, deleted_at FROM urls WHERE user_id = $1 ORDER BY id FOR UPDATE
    )
    SELECT id FROM locked WHERE deleted_at IS NULL
"""


async def lock_of_user(connection: Connection, user_id: int) -> list[int]:
    """Return the ids of a user's live URLs; those in the trash are kept from changing, too."""
    return [row["id"] for row in await connection.fetch(LOCK_OF_USER, user_id)]


HAND_OVER = f"""
    UPDATE urls
       SET user_id = $2, updated_at = clock_timestamp(), version = nextval('url_version_seq')
     WHERE id = ANY($1)
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def hand_over(connection: Connection, url_ids: list[int], user_id: int) -> list[VersionedUrl]:
    """Make locked URLs those of a user."""
    return [_versioned(row) for row in await connection.fetch(HAND_OVER, url_ids, user_id)]


HAND_OVER_TRASH = "UPDATE urls SET user_id = $2 WHERE user_id = $1 AND deleted_at IS NOT NULL"


async def hand_over_trash(connection: Connection, user_id: int, heir: int) -> None:
    """Make a user's locked URLs in the trash another's: no redirector needs to know."""
    await connection.execute(HAND_OVER_TRASH, user_id, heir)


SWITCH_OFF = f"""
    UPDATE urls
       SET is_active = false, updated_at = clock_timestamp(), version = nextval('url_version_seq')
     WHERE id IN (SELECT id FROM urls
                   WHERE id = ANY($1) AND deleted_at IS NULL AND is_active
                   ORDER BY id FOR UPDATE)
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def switch_off(connection: Connection, url_ids: list[int]) -> list[VersionedUrl]:
    """Deactivate those of the URLs that are active; return them."""
    return [_versioned(row) for row in await connection.fetch(SWITCH_OFF, url_ids)]


RESTORE = f"""
    UPDATE urls
       SET deleted_at = NULL, updated_at = clock_timestamp(), version = nextval('url_version_seq')
     WHERE id = $1
    RETURNING {_COLUMNS}
"""  # noqa: S608


async def restore(connection: Connection, url_id: int) -> VersionedUrl:
    """Take a locked URL out of the trash."""
    row = await connection.fetchrow(RESTORE, url_id)
    assert row is not None
    return _versioned(row)


PURGE = "DELETE FROM urls WHERE id = $1 RETURNING nextval('url_version_seq') AS version"


async def purge(connection: Connection, url_id: int) -> int:
    """Remove a locked URL and its aliases; return a version newer than any it had."""
    return int(await connection.fetchval(PURGE, url_id))


SELECT_TRASH = f"""
    SELECT {_COLUMNS} FROM urls
     WHERE deleted_at IS NOT NULL AND id > $1 AND ($4::bigint IS NULL OR user_id = $4)
     ORDER BY id LIMIT $2 OFFSET $3
"""  # noqa: S608


async def find_trash_page(connection: Connection, page: Page, owner: int | None) -> list[Url]:
    """Return the page's URLs of the trash, of `owner` if given, and one more as `find_page`."""
    rows = await connection.fetch(SELECT_TRASH, page.after, page.limit + 1, page.offset, owner)
    return [_url(row) for row in rows]


EXISTS = "SELECT FROM urls WHERE id = $1 AND ($2::bigint IS NULL OR user_id = $2)"


async def exists(connection: Connection, url_id: int, owner: int | None) -> bool:
    """Tell whether a URL is there, in the trash or not, and `owner`'s if given."""
    return await connection.fetchrow(EXISTS, url_id, owner) is not None
