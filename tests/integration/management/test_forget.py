import asyncio
import sys
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from shared.postgres import Pool
from tests.conftest import database_url

TOLD = {"user_agent": "A/1", "request_id": "r", "address": "203.0.113.7", "browser": "Firefox"}


async def run(database: str, *arguments: str) -> tuple[int | None, str]:
    server, _, name = database.rpartition("/")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "management.forget", *arguments),
        env={"POSTGRES_DSN": database_url(f"{server}/x", name, "shortwire_management")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    output, _ = await process.communicate()
    return process.returncode, output.decode()


async def fill(pool: Pool) -> None:
    now = datetime.now(UTC)
    for url_id, user_id, address in ((1, 1, "203.0.113.7"), (2, 1, "192.0.2.1"), (3, 2, "")):
        await pool.execute(
            "INSERT INTO events (at, event_type, url_id, user_id, details) "
            "VALUES ($1, 'redirect', $2, $3, $4::text::jsonb)",
            now,
            url_id,
            user_id,
            msgspec.json.encode({**TOLD, "address": address}).decode(),
        )


@pytest.mark.parametrize(
    ("arguments", "forgotten"),
    [
        (["--url-id", "1"], {1}),
        (["--user-id", "1"], {1, 2}),
        (["--address", "203.0.113.7"], {1}),
        (["--user-id", "1", "--address", "192.0.2.1"], {2}),
        (["--before", "2020-01-01"], set()),
        (["--before", "2099-01-01"], {1, 2, 3}),
    ],
)
async def test_what_tells_a_person_goes_and_no_statistics_change(
    database: str, pool: Pool, arguments: list[str], forgotten: set[int]
):
    await fill(pool)
    tables = ("clicks_hourly", "clicks_by_agent", "clicks_by_place", "clicks_by_origin")
    before = [await pool.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables]

    first = await run(database, *arguments)
    second = await run(database, *arguments)

    assert first == (0, f"{len(forgotten)} clicks\n")
    assert second == (0, "0 clicks\n")
    rows: dict[int, Any] = {
        row["url_id"]: msgspec.json.decode(row["details"])
        for row in await pool.fetch("SELECT url_id, details::text AS details FROM events")
    }
    for url_id, details in rows.items():
        assert set(details) == ({"browser"} if url_id in forgotten else set(TOLD))
    assert [await pool.fetch(f"SELECT * FROM {table} ORDER BY 1") for table in tables] == before


@pytest.mark.parametrize("arguments", [[], ["--address", "x"], ["--before", "soon"]])
async def test_without_a_sensible_condition_nothing_is_forgotten(
    database: str, pool: Pool, arguments: list[str]
):
    await fill(pool)

    code, output = await run(database, *arguments)

    assert (code, output) == (2, "")
    assert await pool.fetchval("SELECT count(*) FROM events WHERE details ? 'user_agent'") == 3
