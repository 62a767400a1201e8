"""Users, URLs and events as an import writes them: into a temporary table, then at once.

Each kind has the same steps, as a `Table`: make the temporary table, find the first row that
contradicts another one or the database, insert what is not there yet, move the sequence.
A row that is there already, with the same identity, stays as it is: edits made since the first
import are not undone. Identity is the id and what never changes beside it: a user's time of
creation, a URL's code (or the alias that it became), an event's time and unique id.
"""

from collections.abc import AsyncIterator

import msgspec

from shared.postgres import Connection
from shortwire.import_rows import EVENT_COLUMNS, URL_COLUMNS, USER_COLUMNS, Column, Row


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """The statements that import one kind of row."""

    name: str
    columns: tuple[Column, ...]
    create: str
    conflicts: str  # line, field, reason
    prepare: str = ""
    insert: str  # returns the number of new rows
    highest_id: str
    sequence: str


class Conflict(msgspec.Struct, frozen=True):
    """The first row that can't be imported."""

    line: int
    field: str
    reason: str


USERS = Table(
    name="users",
    columns=USER_COLUMNS,
    create="""
        CREATE TEMPORARY TABLE incoming_users (
            line       bigint,
            id         bigint,
            username   text,
            email      text,
            created_at timestamptz
        ) ON COMMIT DROP
    """,
    conflicts="""
        SELECT line, 'id' AS field, 'stands in line ' || first || ' too' AS reason
          FROM (SELECT line, min(line) OVER (PARTITION BY id) AS first FROM incoming_users) AS ids
         WHERE line > first
        UNION ALL
        SELECT line, 'username', 'stands in line ' || first || ' too'
          FROM (SELECT line, min(line) OVER (PARTITION BY username) AS first
                  FROM incoming_users) AS names
         WHERE line > first
        UNION ALL
        SELECT line, 'email', 'stands in line ' || first || ' too'
          FROM (SELECT line, min(line) OVER (PARTITION BY lower(email)) AS first
                  FROM incoming_users) AS addresses
         WHERE line > first
        UNION ALL
        SELECT line, 'id', 'user ' || id || ' exists and is another one, ' || users.username
          FROM incoming_users AS incoming JOIN users USING (id)
         WHERE users.created_at <> incoming.created_at
        UNION ALL
        SELECT line, 'username', 'is taken by user ' || users.id
          FROM incoming_users AS incoming JOIN users USING (username)
         WHERE users.id <> incoming.id
           AND NOT EXISTS (SELECT FROM users AS same WHERE same.id = incoming.id)
        UNION ALL
        SELECT line, 'email', 'is taken by user ' || users.id
          FROM incoming_users AS incoming JOIN users ON lower(users.email) = lower(incoming.email)
         WHERE users.id <> incoming.id
           AND NOT EXISTS (SELECT FROM users AS same WHERE same.id = incoming.id)
         ORDER BY line
         LIMIT 1
    """,
    insert="""
        WITH inserted AS (
            INSERT INTO users (id, username, email, created_at)
            SELECT id, username, email, created_at FROM incoming_users ORDER BY line
                ON CONFLICT (id) DO NOTHING
            RETURNING id
        )
        SELECT count(*) FROM inserted
    """,
    highest_id="SELECT max(id) FROM incoming_users",
    sequence="users_id_seq",
)

URLS = Table(
    name="urls",
    columns=URL_COLUMNS,
    create="""
        CREATE TEMPORARY TABLE incoming_urls (
            line         bigint,
            id           bigint,
            user_id      bigint,
            short_code   text COLLATE "C",
            original_url text,
            title        text,
            is_active    boolean,
            created_at   timestamptz,
            updated_at   timestamptz
        ) ON COMMIT DROP
    """,
    conflicts="""
        SELECT line, 'id' AS field, 'stands in line ' || first || ' too' AS reason
          FROM (SELECT line, min(line) OVER (PARTITION BY id) AS first FROM incoming_urls) AS ids
         WHERE line > first
        UNION ALL
        SELECT line, 'short_code', 'stands in line ' || first || ' too'
          FROM (SELECT line, min(line) OVER (PARTITION BY short_code) AS first
                  FROM incoming_urls) AS codes
         WHERE line > first
        UNION ALL
        SELECT line, 'id', 'URL ' || id || ' exists and has another code, ' || urls.short_code
          FROM incoming_urls AS incoming JOIN urls USING (id)
         WHERE urls.short_code <> incoming.short_code
           AND NOT EXISTS (SELECT FROM url_aliases AS alias
                            WHERE alias.url_id = urls.id
                              AND alias.short_code = incoming.short_code)
        UNION ALL
        SELECT line, 'short_code', 'is taken by URL ' || urls.id
          FROM incoming_urls AS incoming
          JOIN urls ON urls.domain_id = 1 AND urls.short_code = incoming.short_code
         WHERE urls.id <> incoming.id
        UNION ALL
        SELECT line, 'short_code', 'is an alias of URL ' || alias.url_id
          FROM incoming_urls AS incoming
          JOIN url_aliases AS alias
            ON alias.domain_id = 1 AND alias.short_code = incoming.short_code
         WHERE alias.url_id <> incoming.id
        UNION ALL
        SELECT line, 'short_code', 'is a reserved word'
          FROM incoming_urls AS incoming
          JOIN reserved_codes AS reserved ON reserved.short_code = lower(incoming.short_code)
         WHERE NOT EXISTS (SELECT FROM urls WHERE urls.id = incoming.id)
        UNION ALL
        SELECT line, 'user_id', 'there is no user ' || user_id
          FROM incoming_urls AS incoming
         WHERE NOT EXISTS (SELECT FROM users WHERE users.id = incoming.user_id)
           AND NOT EXISTS (SELECT FROM urls WHERE urls.id = incoming.id)
         ORDER BY line
         LIMIT 1
    """,
    # What is announced here is `shared.events.LinkRecord`: somebody may have asked for a code
    # before it was imported, and "unknown" is remembered for a while.
    insert="""
        WITH inserted AS (
            INSERT INTO urls (id, user_id, short_code, original_url, title, is_active,
                              created_at, updated_at)
            SELECT id, user_id, short_code, original_url, title, is_active,
                   created_at, updated_at
              FROM incoming_urls AS incoming
             WHERE NOT EXISTS (SELECT FROM urls WHERE urls.id = incoming.id)
             ORDER BY line
                ON CONFLICT (id) DO NOTHING
            RETURNING id, domain_id, short_code, user_id, original_url, is_active, version
        ), announced AS (
            INSERT INTO outbox (domain_id, short_code, operation, record)
            SELECT domain_id, short_code, 'created', json_build_object(
                       'version', version,
                       'state', CASE WHEN is_active THEN 'active' ELSE 'inactive' END,
                       'cached_at', extract(epoch FROM clock_timestamp()),
                       'url_id', id,
                       'user_id', user_id,
                       'target', original_url)::text
              FROM inserted
             ORDER BY version
            RETURNING pg_notify('outbox', '')
        )
        SELECT count(*) FROM announced
    """,
    highest_id="SELECT max(id) FROM incoming_urls",
    sequence="urls_id_seq",
)

EVENTS = Table(
    name="events",
    columns=EVENT_COLUMNS,
    create="""
        CREATE TEMPORARY TABLE incoming_events (
            line       bigint,
            id         bigint,
            url_id     bigint,
            user_id    bigint,
            event_type text,
            at         timestamptz,
            details    jsonb,
            event_id   uuid
        ) ON COMMIT DROP
    """,
    conflicts="""
        SELECT line, 'id' AS field, 'stands in line ' || first || ' too' AS reason
          FROM (SELECT line, min(line) OVER (PARTITION BY id) AS first FROM incoming_events) AS ids
         WHERE line > first
        UNION ALL
        SELECT line, 'id', 'event ' || id || ' exists and is another one, of ' || events.at
          FROM incoming_events AS incoming JOIN events USING (id)
         WHERE (events.at, events.event_id) <> (incoming.at, incoming.event_id)
         ORDER BY line
         LIMIT 1
    """,
    prepare="""
        SELECT ensure_events_partition(day)
          FROM (SELECT DISTINCT date_trunc('day', at, 'UTC') AS day FROM incoming_events) AS days
         ORDER BY day
    """,
    insert="""
        WITH inserted AS (
            INSERT INTO events (id, at, event_id, event_type, url_id, user_id, details)
            SELECT id, at, event_id, event_type, url_id, user_id, details
              FROM incoming_events
             ORDER BY line
                ON CONFLICT (at, event_id) DO NOTHING
            RETURNING id
        )
        SELECT count(*) FROM inserted
    """,
    highest_id="SELECT max(id) FROM incoming_events",
    sequence="events_id_seq",
)

# Not moved back where others are further already.
MOVE_SEQUENCE = """
    SELECT setval($1::text::regclass, $2)
     WHERE $2 > coalesce(pg_sequence_last_value($1::text::regclass), 0)
"""


async def copy(connection: Connection, table: Table, rows: AsyncIterator[Row]) -> None:
    """Make the temporary table and fill it; what `rows` raises ends the copy."""
    await connection.execute(table.create)
    # A name for each kind: asyncpg remembers the columns of a table by its name.
    await connection.copy_records_to_table(f"incoming_{table.name}", records=rows)


async def first_conflict(connection: Connection, table: Table) -> Conflict | None:
    """Return the first row that contradicts the file or the database, or None."""
    row = await connection.fetchrow(table.conflicts)
    return None if row is None else Conflict(row["line"], row["field"], row["reason"])


async def insert(connection: Connection, table: Table) -> int:
    """Insert the rows that are not there yet and return their number."""
    if table.prepare:
        await connection.execute(table.prepare)
    return int(await connection.fetchval(table.insert))


async def move_sequence(connection: Connection, table: Table) -> None:
    """Let new ids begin after the imported ones; not undone by a rollback, which is harmless."""
    highest = await connection.fetchval(table.highest_id)
    if highest is not None:
        await connection.execute(MOVE_SEQUENCE, table.sequence, highest)
