"""Many rows of the `urls` table in one statement each, and what keeps rows from being written."""

from collections.abc import Collection, Mapping, Sequence

import asyncpg
import msgspec

from management import url_repository
from management.url_repository import Content, VersionedUrl
from shared.errors import Unavailable
from shared.events import DEFAULT_DOMAIN
from shared.postgres import Connection


class NewUrl(msgspec.Struct, frozen=True):
    """A URL to be made."""

    user_id: int
    short_code: str
    content: Content


_ROWS = """
    json_to_recordset($1::text::json) AS row (
        number integer, id bigint, user_id bigint, short_code text, original_url text, title text,
        is_active boolean, expires_at timestamp, max_clicks bigint, password_hash text,
        redirect_type smallint, cache_seconds integer, forward_query boolean, tags text[],
        notes text, rules jsonb, archived boolean, starts_at timestamp, expired_url text)
"""


def _rows(contents: Sequence[Content], **columns: Sequence[object]) -> str:
    rows = []
    for number, content in enumerate(contents):
        row = {"number": number, **{name: values[number] for name, values in columns.items()}}
        row |= msgspec.structs.asdict(content)
        if not content.rules:
            del row["rules"]  # what is left out is null
        rows.append(row)
    return msgspec.json.encode(rows).decode()


INSERT = f"""
    INSERT INTO urls (domain_id, user_id, short_code, original_url, title, is_active, expires_at,
                      max_clicks, password_hash, redirect_status, cache_seconds, forward_query,
                      tags, notes, rules, archived_at, starts_at, expired_url)
    SELECT $2::smallint, user_id, short_code, original_url, title, is_active,
           expires_at AT TIME ZONE 'UTC', max_clicks, password_hash, redirect_type, cache_seconds,
           forward_query, tags, notes, rules, CASE WHEN archived THEN now() END,
           starts_at AT TIME ZONE 'UTC', expired_url
      FROM {_ROWS} ORDER BY number
        ON CONFLICT (domain_id, short_code) DO NOTHING
"""  # noqa: S608


async def insert(connection: Connection, news: Sequence[NewUrl]) -> list[VersionedUrl]:
    """Add URLs; raises `Unavailable` where one of the codes was taken this very moment."""
    rows = _rows(
        [new.content for new in news],
        user_id=[new.user_id for new in news],
        short_code=[new.short_code for new in news],
    )
    try:
        links = await url_repository.write(connection, INSERT, rows, DEFAULT_DOMAIN)
    except asyncpg.UniqueViolationError:  # an alias of this moment
        raise Unavailable from None
    if len(links) < len(news):
        raise Unavailable
    by_code = {link.url.short_code: link for link in links}
    return [by_code[new.short_code] for new in news]


LOCK = """
    WHERE id = ANY($1) AND deleted_at IS NULL AND ($2::bigint IS NULL OR user_id = $2)
    ORDER BY id FOR UPDATE
"""


async def lock(
    connection: Connection, url_ids: Collection[int], owner: int | None
) -> dict[int, VersionedUrl]:
    """Return the live URLs among `url_ids`, of `owner` if given, and keep them from changing."""
    links = await url_repository.select_versioned(connection, LOCK, list(url_ids), owner)
    return {link.url.id: link for link in links}


# The new values have names of their own: what is returned is read by the names of `urls`.
UPDATE = f"""
    UPDATE urls
       SET original_url = new.target, title = new.name, is_active = new.active,
           expires_at = new.end_at AT TIME ZONE 'UTC', max_clicks = new.clicks,
           password_hash = new.password, redirect_status = new.status,
           cache_seconds = new.seconds, forward_query = new.forwards, tags = new.words,
           notes = new.text, rules = new.choices,
           archived_at = CASE WHEN new.is_archived THEN coalesce(urls.archived_at, now()) END,
           starts_at = new.start_at AT TIME ZONE 'UTC', expired_url = new.end_target,
           updated_at = clock_timestamp(), version = nextval('url_version_seq')
      FROM (SELECT id, original_url, title, is_active, expires_at, max_clicks, password_hash,
                   redirect_type, cache_seconds, forward_query, tags, notes, rules, archived,
                   starts_at, expired_url
              FROM {_ROWS})
        AS new (url_id, target, name, active, end_at, clicks, password, status, seconds,
                forwards, words, text, choices, is_archived, start_at, end_target)
     WHERE urls.id = new.url_id
"""  # noqa: S608


async def update(
    connection: Connection, contents: Mapping[int, Content]
) -> dict[int, VersionedUrl]:
    """Write what owners set of locked URLs, by id."""
    rows = _rows(list(contents.values()), id=list(contents))
    links = await url_repository.write(connection, UPDATE, rows)
    return {link.url.id: link for link in links}


TOUCH = "UPDATE urls SET updated_at = clock_timestamp() WHERE id = ANY($1)"


async def touch(connection: Connection, url_ids: Collection[int]) -> dict[int, VersionedUrl]:
    """Note that locked URLs were written, although nothing in them changed."""
    links = await url_repository.write(connection, TOUCH, list(url_ids))
    return {link.url.id: link for link in links}


FIND_TAKEN = """
    SELECT short_code FROM urls WHERE domain_id = $2 AND short_code = ANY($1)
    UNION ALL
    SELECT short_code FROM url_aliases WHERE domain_id = $2 AND short_code = ANY($1)
"""


async def find_taken(connection: Connection, codes: Collection[str]) -> set[str]:
    """Return which of `codes` lead, or led, somewhere."""
    rows = await connection.fetch(FIND_TAKEN, list(codes), DEFAULT_DOMAIN)
    return {row["short_code"] for row in rows}


FIND_RESERVED = "SELECT short_code FROM reserved_codes WHERE short_code = ANY($1)"


async def find_reserved(connection: Connection, codes: Collection[str]) -> set[str]:
    """Return which of `codes` an administrator reserved, in whatever case."""
    lower = {code.lower() for code in codes}
    reserved = {row["short_code"] for row in await connection.fetch(FIND_RESERVED, list(lower))}
    return {code for code in codes if code.lower() in reserved}


LOCK_USERS = "SELECT id FROM users WHERE id = ANY($1) ORDER BY id FOR KEY SHARE"


async def lock_users(connection: Connection, user_ids: Collection[int]) -> set[int]:
    """Return which of `user_ids` are there, and keep them from being removed."""
    return {row["id"] for row in await connection.fetch(LOCK_USERS, list(user_ids))}
