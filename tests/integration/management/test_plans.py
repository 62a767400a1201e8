"""The hot queries use their indexes where a table is large."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from management import (
    alias_repository,
    event_repository,
    lookup_repository,
    stats_repository,
    tag_repository,
    url_filters,
    url_list_repository,
    url_repository,
    user_repository,
)
from management.orders import Mark, Order
from management.pages import Page
from management.stats_repository import Days, Links
from redirector.link_repository import SELECT_BY_CODE
from shared.postgres import Pool

LARGE = 1_000_000
FILL = [
    "INSERT INTO users (username, email) SELECT 'u' || n, 'u' || n || '@example.com' "
    "FROM generate_series(1, 1000) AS n",
    "INSERT INTO urls (short_code, user_id, original_url, is_active, title, tags, starts_at, "
    "expires_at, max_clicks, password_hash, rules, created_at) "
    "SELECT 'code' || n, 1 + n % 1000, 'https://example.com/' || n, n % 20 <> 0, "
    "'A page about ' || n, CASE WHEN n % 100 = 0 THEN ARRAY['tag' || n % 7] ELSE '{}' END, "
    "CASE WHEN n % 100 = 5 THEN now() + (n - 90000) * interval '1 second' END, "
    "CASE WHEN n % 100 = 1 THEN now() + (n - 90000) * interval '1 second' END, "
    "CASE WHEN n % 100 = 2 THEN 100 END, CASE WHEN n % 100 = 3 THEN 'hash' END, "
    "CASE WHEN n % 100 = 4 THEN '[]'::jsonb END, "
    "now() - (100000 - n) * interval '1 minute' "
    "FROM generate_series(1, 100000) AS n",
    "INSERT INTO url_aliases (short_code, url_id) "
    "SELECT 'alias' || n, n FROM generate_series(1, 10000) AS n",
    "INSERT INTO clicks_hourly (url_id, hour, clicks) "
    "SELECT n, now(), n FROM generate_series(1, 100000) AS n",
    "UPDATE url_clicks SET clicks = url_id % 1000, "
    "last_click_at = now() - url_id * interval '1 minute' WHERE url_id % 2 = 0",
    "ALTER TABLE events DISABLE TRIGGER USER",
    f"INSERT INTO events (at, event_type, url_id, user_id) "
    f"SELECT now() + n % 8 * interval '1 day', "
    f"CASE WHEN n % 100 = 0 THEN 'updated' ELSE 'redirect' END, 1 + n % 50000, 1 + n % 1000 "
    f"FROM generate_series(1, {LARGE}) AS n",
    "INSERT INTO clicks_hourly SELECT 1 + n % 20000, date_trunc('hour', now()) - n / 20000 * "
    "interval '1 hour', 1 FROM generate_series(1, 200000) AS n",
    "INSERT INTO clicks_by_agent SELECT 1 + n % 20000, current_date - n / 20000, 'mobile', 'iOS', "
    "'b' || n % 5, 1, 1 FROM generate_series(1, 200000) AS n",
    "INSERT INTO clicks_by_place SELECT 1 + n % 20000, current_date - n / 20000, 'AT', "
    "'l' || n % 5, 1, 1 FROM generate_series(1, 200000) AS n",
    "INSERT INTO clicks_by_origin SELECT 1 + n % 20000, current_date - n / 20000, "
    "'r' || n % 50, 'qr', 1, 1 FROM generate_series(1, 200000) AS n",
    "INSERT INTO all_links_daily SELECT current_date - n / 50, dimension, 'v' || n % 50, 1, 1 "
    "FROM unnest(ARRAY['device', 'system', 'browser', 'country', 'language', 'referrer', "
    "'source']) AS dimension, generate_series(1, 20000) AS n",
    "UPDATE summed_until SET day = current_date",
    *(
        f"SELECT brin_summarize_new_values('{table}_by_day')"  # as autovacuum does by and by
        for table in ("clicks_by_agent", "clicks_by_place", "clicks_by_origin")
    ),
    "INSERT INTO all_links_hourly SELECT date_trunc('hour', now()) - n * interval '1 hour', 1, 0, "
    "0, 0 FROM generate_series(1, 100000) AS n",
    "ANALYZE",
    "INSERT INTO late_days (day) SELECT current_date - 5 FROM generate_series(1, 100)",
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

    def __init__(self, pool: Pool, options: str = "FORMAT JSON") -> None:
        self._pool = pool
        self._options = options
        self.plans: list[Any] = []

    async def fetch(self, query: str, *arguments: Any) -> list[Any]:
        plan = await self._pool.fetchval(f"EXPLAIN ({self._options}) {query}", *arguments)
        self.plans.append(json.loads(plan)[0]["Plan"])
        return []

    async def fetchval(self, query: str, *arguments: Any) -> int:
        await self.fetch(query, *arguments)
        return 0


def nodes(plan: Any) -> list[Any]:
    return [plan, *(node for child in plan.get("Plans", []) for node in nodes(child))]


def scanned_whole(plan: Any) -> set[str]:
    return {node["Relation Name"] for node in nodes(plan) if node["Node Type"] == "Seq Scan"}


NOW = datetime.now(UTC)
ORDERS = [Order(field, down) for field in url_filters.ORDERS for down in (False, True)]
FIRST = Page(0, 0, 100)
LATER = Page(500_000, 0, 100)


def page_within(order: Order) -> Page:
    value = NOW.replace(tzinfo=None) if order.field.endswith("_at") else "code5"
    return Page(0, 0, 100, order, Mark(order.name, 500 if order.field == "clicks" else value, 7))


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
        {"q": "77777"},
        {"q": "example"},
        {"q": "nothing like it"},
        {"q": "77777", "user_id": 7},
        {"tag": ["tag3"]},
        {"tag": ["tag3", "nothing"]},
        {"tag": ["tag3", "tag4"], "tags_mode": "any"},
        {"tag": ["-tag3"]},
        {"tag": ["tag3", "-tag4"]},
        *({"status": status} for status in url_filters.STATUSES),
        *({"has": [feature]} for feature in url_filters.FEATURES),
        {"created_after": NOW - timedelta(hours=1)},
        {"created_before": NOW - timedelta(days=60)},
    ],
    ids=str,
)
@pytest.mark.parametrize("owner", [None, 7])
async def test_no_list_of_urls_scans_the_table(
    large: Pool, filters: dict[str, Any], owner: int | None
):
    connection = Explaining(large)
    first = [Page(0, 0, 100, order) for order in ORDERS]

    for page in [FIRST, Page(500, 0, 100), *first, *map(page_within, ORDERS)]:
        for with_clicks in (False, True):
            await url_list_repository.find_page(
                connection,  # type: ignore[arg-type]
                page,
                filters,
                owner,
                with_clicks=with_clicks,
            )

    # To the few links that a filter finds, all totals may be joined: here they are few, too.
    few = {"url_clicks"} if "has" in filters else set()
    for plan in connection.plans:
        assert scanned_whole(plan) <= few


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: order.name)
async def test_a_page_far_in_an_order_is_not_sorted(large: Pool, order: Order):
    connection = Explaining(large)

    await url_list_repository.find_page(connection, page_within(order), {}, None)  # type: ignore[arg-type]

    # One link's aliases are sorted: at most fifty.
    sorted_links = [node for node in nodes(connection.plans[0]) if node["Node Type"] == "Sort"]
    assert {node.get("Subplan Name") for node in sorted_links} <= {"SubPlan 1"}


async def test_a_rare_term_is_found_by_its_trigrams(large: Pool):
    connection = Explaining(large)

    await url_list_repository.find_page(connection, FIRST, {"q": "77777"}, None)  # type: ignore[arg-type]
    await url_list_repository.count(connection, {"q": "77777"}, None, 10)  # type: ignore[arg-type]

    for plan in connection.plans:
        assert "urls_search" in {node.get("Index Name") for node in nodes(plan)}


@pytest.mark.parametrize("owner", [None, 7])
async def test_the_tags_are_counted_without_a_look_at_links_that_have_none(
    large: Pool, owner: int | None
):
    connection = Explaining(large)

    await tag_repository.find_page(connection, "", 100, owner)  # type: ignore[arg-type]

    assert scanned_whole(connection.plans[0]) == set()


@pytest.mark.parametrize(
    ("query", "arguments"),
    [
        (SELECT_BY_CODE, (1, "code77")),
        (url_repository.SELECT, (77, None)),
        (url_repository.EXISTS, (77, None)),
        (url_repository.SELECT_TRASH, (0, 101, 0, None)),
        (url_repository.SELECT_TRASH, (0, 101, 0, 7)),
        (event_repository.SELECT_CHANGES, (77, 0, 101, 0)),
        (alias_repository.SELECT_OF_URL, (77,)),
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


@pytest.mark.parametrize("owner", [None, 7])
async def test_no_lookup_by_code_or_target_scans_the_table(large: Pool, owner: int | None):
    connection: Any = Explaining(large)

    await lookup_repository.find_by_code(connection, "code77", owner)
    await lookup_repository.find_by_target(connection, "https://example.com/77", owner)

    await lookup_repository.find_alike(connection, "https://example.com/77", 77, None)

    by_code, *by_target = connection.plans
    assert scanned_whole(by_code) == set()
    for plan in by_target:
        assert "urls_by_target" in {node.get("Index Name") for node in nodes(plan)}


LAST_YEAR = Days(datetime.now(UTC) - timedelta(days=365), datetime.now(UTC))


@pytest.mark.parametrize(
    "links", [Links(url_id=7), Links(user_id=7), Links(user_id=7, tag="tag3"), Links()]
)
async def test_statistics_ask_roll_ups_only(large: Pool, links: Links):
    connection: Any = Explaining(large)

    await stats_repository.find_series(connection, links, LAST_YEAR, "day", "Europe/Vienna")
    for dimension in stats_repository.DIMENSIONS:
        await stats_repository.find_known(connection, links, LAST_YEAR, dimension, 10)

    assert len(connection.plans) == 8
    for plan in connection.plans:
        relations = {node["Relation Name"] for node in nodes(plan) if "Relation Name" in node}
        assert not {name for name in relations if name.startswith("events")}
        if links != Links():
            assert scanned_whole(plan) & {"clicks_hourly", "clicks_by_agent", "urls"} == set()


async def test_everybody_s_hours_are_not_summed_up_link_by_link(large: Pool):
    connection: Any = Explaining(large)

    await stats_repository.find_series(connection, Links(), LAST_YEAR, "day", "Europe/Vienna")

    (plan,) = connection.plans
    relations = {node["Relation Name"] for node in nodes(plan) if "Relation Name" in node}
    assert relations == {"all_links_hourly", "hour_notes"}
    assert "all_links_hourly" not in scanned_whole(plan)


async def test_everybody_s_breakdowns_read_the_days_only_that_are_not_summed_up(large: Pool):
    connection: Any = Explaining(large, "ANALYZE, FORMAT JSON")
    a_year = Days(NOW - timedelta(days=365), NOW + timedelta(days=1))

    for dimension, table in stats_repository.DIMENSIONS.items():
        await stats_repository.find_known(connection, Links(), a_year, dimension, 10)

        plan = connection.plans[-1]
        assert scanned_whole(plan) <= {"summed_until", "late_days"}
        read = sum(_rows_read(node) for node in nodes(plan) if node.get("Relation Name") == table)
        assert 40_000 <= read < 80_000  # today, one day that had late clicks, and the pages' rest


def _rows_read(node: Any) -> int:
    rows = node["Actual Rows"] + node.get("Rows Removed by Index Recheck", 0)
    return int(rows * node["Actual Loops"])
