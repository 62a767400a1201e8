from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from shared.events import LinkRecord, record_decoder
from shared.postgres import Connection
from shortwire import importer
from shortwire.import_repository import EVENTS, URLS, USERS, Table
from shortwire.import_rows import BadFile
from shortwire.importer import ImportFailed, Outcome
from tests.conftest import database_url

HEADERS = {
    "users": "id,username,email,created_at",
    "urls": "id,user_id,short_code,original_url,title,is_active,created_at,updated_at",
    "events": "id,url_id,user_id,event_type,timestamp,details",
}
ADA = "7,ada,ada@example.com,2025-12-29 00:57:12"
BOB = "8,bob,bob@example.com,2025-12-29 00:57:13"
LINK = "70,7,abc123,https://example.com/a,Title,True,2025-12-29 00:57:12,2026-01-21 06:47:26"
OTHER = "71,7,xyz789,https://example.com/b,,False,2025-12-29 00:57:12,2026-01-21 06:47:26"
CREATED = '700,70,7,created,2025-12-29 00:57:12,"{""short_code"":""abc123""}"'
CLICK = "701,70,7,redirect,2026-02-01 10:30:00,"


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    """As the management role: the importer needs no more than it may."""
    server, name = database.rsplit("/", 1)
    dsn = database_url(f"{server}/{name}", name, "shortwire_management")
    connection = await asyncpg.connect(dsn)
    yield connection
    await connection.close()


class Importer:
    def __init__(self, connection: Connection, folder: Path) -> None:
        self.connection = connection
        self.folder = folder

    async def __call__(self, table: Table, *rows: str) -> Outcome:
        path = self.folder / f"{table.name}.csv"
        path.write_text("\n".join([HEADERS[table.name], *rows, ""]))
        return await importer.import_file(self.connection, table, path, lambda _: None)


@pytest.fixture
def load(connection: Connection, tmp_path: Path) -> Importer:
    return Importer(connection, tmp_path)


async def test_all_that_a_file_says_is_kept(load: Importer, connection: Connection):
    await load(USERS, ADA)
    await load(URLS, LINK)
    await load(EVENTS, CREATED, CLICK)

    link = await connection.fetchrow(
        "SELECT id, user_id, short_code, original_url, title, is_active, created_at::text,"
        " updated_at::text FROM urls"
    )
    events = await connection.fetch(
        "SELECT id, url_id, event_type, details FROM events ORDER BY id"
    )
    assert link is not None
    assert tuple(link.values()) == (
        *(70, 7, "abc123", "https://example.com/a", "Title", True),
        *("2025-12-29 00:57:12+00", "2026-01-21 06:47:26+00"),
    )
    assert [tuple(event.values()) for event in events] == [
        (700, 70, "created", '{"short_code": "abc123"}'),
        (701, 70, "redirect", None),
    ]
    assert await connection.fetchval("SELECT clicks FROM clicks_hourly WHERE url_id = 70") == 1


async def test_repeating_an_import_changes_nothing(load: Importer, connection: Connection):
    for table, rows in ((USERS, [ADA, BOB]), (URLS, [LINK, OTHER]), (EVENTS, [CREATED, CLICK])):
        assert await load(table, *rows) == Outcome(rows=2, new=2)
        assert await load(table, *rows) == Outcome(rows=2, new=0)

    assert await connection.fetchval("SELECT count(*) FROM events") == 2
    assert await connection.fetchval("SELECT count(*) FROM outbox") == 2
    assert await connection.fetchval("SELECT sum(clicks) FROM clicks_hourly") == 1


async def test_an_edit_made_since_is_not_undone(load: Importer, connection: Connection):
    await load(USERS, ADA)
    await load(URLS, LINK)
    await connection.execute("UPDATE users SET username = 'lovelace'")
    await connection.execute(
        "UPDATE urls SET short_code = 'renamed', is_active = false, deleted_at = now()"
    )
    await connection.execute("INSERT INTO url_aliases (short_code, url_id) VALUES ('abc123', 70)")

    await load(USERS, ADA)
    await load(URLS, LINK)

    assert await connection.fetchval("SELECT username FROM users") == "lovelace"
    assert await connection.fetchval("SELECT deleted_at IS NOT NULL FROM urls")


async def test_new_links_are_announced_as_the_relay_expects(load: Importer, connection: Connection):
    await load(USERS, ADA)
    await load(URLS, LINK, OTHER)

    rows = await connection.fetch("SELECT domain_id, short_code, operation, record FROM outbox")
    versions = await connection.fetch("SELECT version FROM urls ORDER BY id")
    assert [(r["domain_id"], r["short_code"], r["operation"]) for r in rows] == [
        (1, "abc123", "created"),
        (1, "xyz789", "created"),
    ]
    active, inactive = (record_decoder.decode(row["record"]) for row in rows)
    assert active == LinkRecord(
        version=versions[0]["version"],
        state="active",
        cached_at=active.cached_at,
        url_id=70,
        user_id=7,
        target="https://example.com/a",
    )
    assert (inactive.state, inactive.version) == ("inactive", versions[1]["version"])


async def test_new_ids_begin_after_the_imported_ones_and_never_before(
    load: Importer, connection: Connection
):
    await connection.execute("SELECT setval('urls_id_seq', 1000)")

    await load(USERS, ADA)
    await load(URLS, LINK)
    await load(EVENTS, CLICK)

    assert await connection.fetchval("SELECT nextval('users_id_seq')") == 8
    assert await connection.fetchval("SELECT nextval('urls_id_seq')") == 1001
    assert await connection.fetchval("SELECT nextval('events_id_seq')") == 702


@pytest.mark.parametrize(
    ("table", "row", "expected"),
    [
        (USERS, BOB.replace("8,", "7,", 1), "line 3, field id: stands in line 2 too"),
        (USERS, BOB.replace(",bob,", ",ada,"), "line 3, field username: stands in line 2 too"),
        (USERS, BOB.replace("bob@", "ADA@"), "line 3, field email: stands in line 2 too"),
        (USERS, BOB.replace("12-29", "12-32"), "line 3, field created_at: "),
        (USERS, "5,new,new@example.com,2025-01-01", "field id: user 5 exists and is another one"),
        (USERS, BOB.replace("bob,", "there,"), "field username: is taken by user 5"),
        (USERS, BOB.replace("bob@", "There@"), "field email: is taken by user 5"),
        (URLS, OTHER.replace("71,", "70,", 1), "line 3, field id: stands in line 2 too"),
        (URLS, OTHER.replace("xyz789", "abc123"), "field short_code: stands in line 2 too"),
        (URLS, OTHER.replace("71,", "50,", 1), "field id: URL 50 exists and has another code"),
        (URLS, OTHER.replace("xyz789", "taken1"), "line 3, field short_code: is taken by URL 50"),
        (URLS, OTHER.replace("xyz789", "alias1"), "field short_code: is an alias of URL 50"),
        (URLS, OTHER.replace("xyz789", "Forms"), "line 3, field short_code: is a reserved word"),
        (URLS, OTHER.replace("71,7,", "71,9,"), "line 3, field user_id: there is no user 9"),
        (EVENTS, CLICK.replace("701,", "700,"), "line 3, field id: stands in line 2 too"),
        (EVENTS, CLICK.replace("701,", "500,"), "field id: event 500 exists and is another one"),
    ],
)
async def test_a_row_that_contradicts_is_named_and_nothing_of_its_file_stays(
    load: Importer, connection: Connection, table: Table, row: str, expected: str
):
    await connection.execute(
        "INSERT INTO users (id, username, email, created_at)"
        " VALUES (5, 'there', 'there@example.com', '2020-01-01'),"
        " (7, 'ada', 'ada@example.com', '2025-12-29 00:57:12')"
    )
    await connection.execute(
        "INSERT INTO urls (id, user_id, short_code, original_url)"
        " VALUES (50, 5, 'taken1', 'https://example.com/')"
    )
    await connection.execute("INSERT INTO url_aliases (short_code, url_id) VALUES ('alias1', 50)")
    await connection.execute("INSERT INTO reserved_codes (short_code) VALUES ('forms')")
    await connection.execute("INSERT INTO events (id, event_type) VALUES (500, 'created')")
    first = {"users": ADA, "urls": LINK, "events": CREATED}[table.name]
    before = await _counts(connection)

    with pytest.raises(BadFile) as error:
        await load(table, first, row)

    assert str(error.value).startswith(f"{load.folder / table.name}.csv, line ")
    assert expected in str(error.value)
    assert await _counts(connection) == before


async def _counts(connection: Connection) -> object:
    return await connection.fetchrow(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM urls),"
        " (SELECT count(*) FROM events), (SELECT count(*) FROM outbox)"
    )


async def test_a_database_that_does_not_answer_is_said():
    with pytest.raises(ImportFailed, match="The database does not answer: "):
        await importer.connect("postgres://nobody@127.0.0.1:1/none")
