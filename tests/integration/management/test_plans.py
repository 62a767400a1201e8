"""The hot queries use their indexes where a table is large."""

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from management import event_repository, url_repository, user_repository
from management.pages import Page
from redirector.link_repository import SELECT_BY_CODE
from shared.postgres import Pool

LARGE = 1_000_000
FILL = [
    "INSERT INTO users (username, email) SELECT 'u' || n, 'u' || n || '@example.com' "
    "FROM generate_series(1, 1000) AS n",
    "INSERT INTO urls (short_code, user_id, original_url, is_active) "
    "SELECT 'code' || n, 1 + n % 1000, 'https://example.com/' || n, n % 20 <> 0 "
    "FROM generate_series(1, 100000) AS n",
    "INSERT INTO url_aliases (short_code, url_id) "
    "SELECT 'alias' || n, n FROM generate_series(1, 10000) AS n",
    "ALTER TABLE events DISABLE TRIGGER USER",
    f"INSERT INTO events (at, event_type, url_id, user_id) "
    f"SELECT now() + n % 8 * interval '1 day', "
    f"CASE WHEN n % 100 = 0 THEN 'updated' ELSE 'redirect' END, 1 + n % 50000, 1 + n % 1000 "
    f"FROM generate_series(1, {LARGE}) AS n",
    "ANALYZE",
]


@pytest.fixture(scope="module")
async def large(postgres_url: str, template: str) -> AsyncIterator[Pool]:
    name = "test_plans"
    admin = await asyncpg.connect(postgres_url)
    await admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    await admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    async with asyncpg.create_pool(
        postgres_url.rpartition("/")[0] + f"/{name}", min_size=1, max_size=1
    ) as pool:
        for statement in FILL:
            await pool.execute(statement)
        yield pool
    await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await admin.close()


class Explaining:
    """Stands in for a connection and keeps the plan of each query instead of its rows."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.plans: list[Any] = []

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        plan = await self._pool.fetchval(f"EXPLAIN (FORMAT JSON) {query}", *arguments)
        self.plans.append(json.loads(plan)[0]["Plan"])
        return []


def nodes(plan: Any) -> list[Any]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def scanned_whole(plan: Any) -> set[str]:
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


FIRST = Page(0, 0, 100)
LATER = Page(500_000, 0, 100)


@pytest.mark.parametrize("page", [FIRST, LATER])
@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"url_id": 7},
        {"user_id": 7},
        {"event_type": "updated"},
        {"event_type": "redirect"},
        {"event_type": "nothing"},
        {"url_id": 7, "event_type": "updated"},
        {"user_id": 7, "event_type": "redirect"},
    ],
)
@pytest.mark.parametrize("owner", [None, 7])
async def test_no_list_of_events_scans_a_partition(
    large: Pool, page: Page, filters: dict[str, Any], owner: int | None
):
    connection = Explaining(large)

    await event_repository.find_page(connection, page, filters, owner)  # type: ignore[arg-type]

    assert {name for name in scanned_whole(connection.plans[0]) if name.startswith("events")} == (
        set()
    )


@pytest.mark.parametrize(
    "filters",
    [
        {},
        {"user_id": 7},
        {"is_active": False},
        {"is_active": True},
        {"short_code": "code77"},
        {"user_id": 7, "is_active": False},
        {"archived": "true"},
        {"archived": "all", "user_id": 7},
    ],
)
async def test_no_list_of_urls_scans_the_table(large: Pool, filters: dict[str, Any]):
    connection = Explaining(large)

    await url_repository.find_page(connection, FIRST, filters, None)  # type: ignore[arg-type]

    assert scanned_whole(connection.plans[0]) == set()


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        (SELECT_BY_CODE, (1, "code77")),
        (url_repository.SELECT, (77, None)),
        (event_repository.SELECT, (77, None)),
        (user_repository.SELECT, (77,)),
        (user_repository.SELECT_PAGE, (0, 20, 0)),
        (url_repository.LOCK_OF_USER, (77,)),
    ],
)
async def test_no_look_up_scans_a_table(large: Pool, query: str, arguments: tuple[Any, ...]):
    connection = Explaining(large)

    await connection.fetch(query, *arguments)

    assert scanned_whole(connection.plans[0]) - {"users"} == set()
