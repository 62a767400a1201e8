"""Everything in one answer, of any length, in constant memory."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from management import event_export, event_repository
from shared.postgres import Pool
from shortwire import importer
from shortwire.import_repository import EVENTS
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World, admin_key

TYPES = ["scan", "=1+1", "'quoted", "-x", "@a", 'comma, "quote"\u00fc', "a\u2028b"]


async def filled(api: Api) -> dict[str, Any]:
    user_id = await api.user()
    url = await api.url(user_id)
    for kind in TYPES:
        body = {"url_id": url["id"], "user_id": user_id, "event_type": kind}
        answer = await api.post("/events", {**body, "details": {"text": 'a,"b"\n\u00e9', "n": [1]}})
        assert answer.status == 201, answer.body
    return url


@pytest.mark.parametrize(
    ("query", "headers"),
    [("?format=ndjson", {}), ("", {"Accept": "application/x-ndjson"})],
)
async def test_ndjson_has_the_events_of_the_list(api: Api, query: str, headers: dict[str, str]):
    await filled(api)

    answer = await api.get(f"/events/export{query}", headers=headers)

    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert answer.headers["content-disposition"] == 'attachment; filename="events.ndjson"'
    lines = answer.body.decode().split("\n")
    assert lines.pop() == ""
    assert [json.loads(line) for line in lines] == (await api.get("/events")).json


async def test_no_cell_of_a_csv_is_a_formula(api: Api):
    await filled(api)

    answer = await api.get("/events/export")

    assert answer.headers["content-type"].startswith("text/csv")
    header, *rows = csv.reader(io.StringIO(answer.body.decode(), newline=""))
    assert header == ["id", "url_id", "user_id", "event_type", "timestamp", "details"]
    assert len(rows) == len(TYPES) + 1
    assert not [cell for row in rows for cell in row if cell.startswith(tuple("=+-@\t\r"))]


async def test_what_was_exported_is_imported_as_it_was(
    api: Api, database: str, pool: Pool, tmp_path: Path
):
    await filled(api)
    before = (await api.get("/events")).json
    path = tmp_path / "events.csv"
    path.write_bytes((await api.get("/events/export?format=csv")).body)
    await pool.execute("TRUNCATE events")

    connection = await asyncpg.connect(database)
    outcome = await importer.import_file(connection, EVENTS, path, lambda _: None)
    await connection.close()

    assert outcome.new == len(before)
    assert (await api.get("/events")).json == before


async def test_filters_and_owners_are_those_of_the_list(start: Start, database: str):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        assert (await world.nobody.get("/events/export")).status == 401

        async def exported(client: Api, query: str = "") -> list[dict[str, str]]:
            answer = await client.get(f"/events/export?{query}")
            assert answer.status == 200, answer.body
            return list(csv.DictReader(io.StringIO(answer.body.decode(), newline="")))

        assert len(await exported(world.admin)) == 1
        assert len(await exported(world.owner)) == 1
        assert await exported(world.stranger) == []
        assert await exported(world.owner, "event_type=redirect") == []
        (row,) = await exported(world.owner, f"url_id={world.url['id']}&event_type=created")
        assert row["id"] == str(world.event["id"])


@pytest.mark.parametrize(("query", "field"), [("format=xml", "format"), ("url_id=x", "url_id")])
async def test_a_wrong_parameter_is_named(api: Api, query: str, field: str):
    answer = await api.get(f"/events/export?{query}")

    assert (answer.status, list(answer.json["details"])) == (400, [field])


async def test_a_long_export_comes_whole_a_part_at_a_time(
    api: Api, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    await pool.execute(
        "INSERT INTO events (event_type, url_id) "
        "SELECT 'scan', n FROM generate_series(1, 5000) AS n"
    )
    sizes = []
    stream = event_repository.stream

    async def measured(*arguments: Any) -> Any:
        async for batch in stream(*arguments):
            sizes.append(len(batch))
            yield batch

    monkeypatch.setattr(event_repository, "stream", measured)

    answer = await api.get("/events/export?format=ndjson")

    assert answer.body.count(b"\n") == 5000
    assert max(sizes) == event_repository.STREAMED_ROWS


async def test_more_exports_than_allowed_are_refused(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(event_export, "MAX_EXPORTS", 0)
    async with start() as api:
        refused = await api.get("/events/export")
        head = await api.ask("HEAD", "/events/export")

    assert (refused.status, head.status) == (503, 200)
    assert "retry-after" in refused.headers


async def test_every_export_gives_its_connection_back(api: Api):
    await filled(api)

    for _ in range(12):  # more than the pool has
        assert (await api.get("/events/export")).status == 200
