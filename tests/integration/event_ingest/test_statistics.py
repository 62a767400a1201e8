"""From clicks to the roll-ups that answer questions about them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from mmdb_writer import MMDBWriter
from netaddr import IPSet
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from event_ingest import agents, keeper
from event_ingest.agents import Agents
from event_ingest.enrichment import Enrichment
from event_ingest.orphan_counts import OrphanCounts
from event_ingest.visitors import VisitorNumbers
from shared import streams
from shared.countries import Countries
from shared.events import Click
from shared.postgres import Pool
from tests.integration.event_ingest.conftest import Consumers, click, publish, stored

FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like "
    "Gecko) Version/17.0 Mobile/15E148 Safari/604.1"
)
GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
WHATSAPP = "WhatsApp/2.23.20.0 A"
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def visit(**facts: Any) -> Click:
    return click(**{"at": NOON, "user_agent": FIREFOX, "address": "203.0.113.0", **facts})


TABLES = {
    "device": "clicks_by_agent",
    "system": "clicks_by_agent",
    "browser": "clicks_by_agent",
    "country": "clicks_by_place",
    "language": "clicks_by_place",
    "referrer": "clicks_by_origin",
    "source": "clicks_by_origin",
}


async def breakdown(pool: Pool, dimension: str) -> dict[str, tuple[int, int]]:
    """What is known of clicks: all of them, and those by people."""
    rows = await pool.fetch(
        f"SELECT {dimension} AS value, sum(clicks)::int AS clicks, sum(people)::int AS people "
        f"FROM {TABLES[dimension]} WHERE {dimension} <> '' GROUP BY 1 HAVING sum(clicks) <> 0"
    )
    return {row["value"]: (row["clicks"], row["people"]) for row in rows}


async def everything(pool: Pool) -> dict[str, dict[str, tuple[int, int]]]:
    return {dimension: await breakdown(pool, dimension) for dimension in TABLES}


async def test_clicks_are_counted_by_what_they_tell(consumers: Consumers, bus: Redis, pool: Pool):
    clicks = [
        visit(referrer="https://News.example.com", language="de-at", source="qr"),
        visit(referrer="https://news.example.com", user_agent=IPHONE, language="<script>"),
        visit(user_agent=GOOGLEBOT, language="en"),
        visit(user_agent=WHATSAPP),
        visit(user_agent=None),
    ]
    await publish(bus, clicks)

    await consumers.drain()

    assert await everything(pool) == {
        "device": {"desktop": (1, 1), "mobile": (1, 1)},
        "system": {"Linux": (1, 1), "iOS": (1, 1)},
        "browser": {"Firefox": (1, 1), "Mobile Safari": (1, 1)},
        "country": {},
        "language": {"de-at": (1, 1), "en": (1, 0)},
        "referrer": {"news.example.com": (2, 2)},
        "source": {"qr": (1, 1)},
    }
    hour = await pool.fetchrow("SELECT clicks, bots, previews FROM clicks_hourly")
    assert hour is not None
    assert tuple(hour) == (5, 1, 1)


async def test_a_replay_changes_no_sum(consumers: Consumers, bus: Redis, pool: Pool):
    clicks = [
        visit(referrer=f"https://{number % 7}.example.com", address=f"10.0.{number}.0")
        for number in range(250)
    ]
    await publish(bus, clicks, frames=4)
    await consumers.drain()
    before = await everything(pool), await visitors(pool)

    await publish(bus, clicks, frames=3)
    await consumers.drain()

    assert (await everything(pool), await visitors(pool)) == before
    assert sum(count for count, _ in before[0]["referrer"].values()) == 250
    assert before[1] == {NOON.date(): 250}
    assert await stored(pool) == (250, 250)


async def test_a_corrected_event_moves_its_share(consumers: Consumers, bus: Redis, pool: Pool):
    await publish(bus, [visit(referrer="https://a.example"), visit(user_agent=GOOGLEBOT)])
    await consumers.drain()

    await pool.execute("UPDATE events SET url_id = 2 WHERE details ? 'referrer'")
    await pool.execute("UPDATE events SET details = details - 'bot' WHERE details ? 'bot'")

    hours = await pool.fetch("SELECT url_id, clicks, bots FROM clicks_hourly ORDER BY 1")
    origins = await pool.fetch("SELECT url_id, clicks, people FROM clicks_by_origin ORDER BY 1")
    assert [tuple(row) for row in hours] == [(1, 1, 0), (2, 1, 0)]
    assert [tuple(row) for row in origins] == [(1, 0, 0), (2, 1, 1)]


async def visitors(pool: Pool) -> dict[Any, int]:
    rows = await pool.fetch(
        "SELECT (hour AT TIME ZONE 'UTC')::date AS day, sum(visitors)::int AS visitors "
        "FROM visitors_hourly GROUP BY 1"
    )
    return {row["day"]: row["visitors"] for row in rows}


async def test_visitors_are_counted_once_a_day_and_link(
    consumers: Consumers, bus: Redis, pool: Pool
):
    clicks = [
        visit(address=f"198.51.{number % 50}.0", at=NOON + timedelta(days=day), url_id=url_id)
        for number in range(100)
        for day in (0, 1)
        for url_id in (1, 2)
        if NOON + timedelta(days=day) < datetime.now(UTC) + timedelta(minutes=50)
    ]
    programs = [visit(user_agent=GOOGLEBOT), visit(user_agent=WHATSAPP)]
    untold = [visit(address=None), visit(at=NOON - timedelta(days=30))]
    await publish(bus, [*clicks, *programs, *untold], frames=3)

    await consumers.drain()

    days = {click.at.date() for click in clicks}
    assert await visitors(pool) == dict.fromkeys(days, 100)


async def test_nothing_that_is_stored_tells_a_visitor(consumers: Consumers, bus: Redis, pool: Pool):
    await publish(bus, [visit(), visit(at=NOON + timedelta(hours=1))])
    await consumers.drain()

    details = await pool.fetch("SELECT details::text FROM events")
    keys = await bus.keys("visitors:*")

    assert all("203.0.113" not in row["details"] for row in details)
    assert await pool.fetchval("SELECT count(*) FROM visitors_seen") == 1
    assert len(keys) == 1
    assert 0 < await bus.ttl(keys[0]) <= 2 * 24 * 3600


async def test_visitors_of_days_gone_by_are_dropped_and_their_number_stays(
    consumers: Consumers, bus: Redis, pool: Pool
):
    await publish(bus, [visit()])
    await consumers.drain()
    await pool.execute(
        "CREATE TABLE visitors_seen_20200101 PARTITION OF visitors_seen "
        "FOR VALUES IN ('2020-01-01')"
    )

    await pool.execute("SELECT keep_visitor_days()")

    left = await pool.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits "
        "WHERE inhparent = 'visitors_seen'::regclass"
    )
    assert "visitors_seen_20200101" not in {row[0] for row in left}
    assert len(left) == 4
    assert await visitors(pool) == {NOON.date(): 1}


async def test_a_missing_partition_of_visitors_is_made(
    consumers: Consumers, bus: Redis, pool: Pool
):
    await pool.execute(f"DROP TABLE visitors_seen_{NOON:%Y%m%d}")
    await publish(bus, [visit()])

    await consumers.drain()

    assert await visitors(pool) == {NOON.date(): 1}
    assert await stored(pool) == (1, 1)


async def test_a_full_bus_is_emptied_and_visitors_go_uncounted_meanwhile(
    consumers: Consumers, bus: Redis, pool: Pool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeper, "TAIL_SECONDS", -10.0)
    await consumers.group("ingest-1").ensure()
    await publish(bus, [visit(address=f"10.0.{number}.0") for number in range(200)], frames=200)
    limit = str((await bus.config_get("maxmemory"))["maxmemory"])
    await bus.config_set("maxmemory", "100kb")
    try:
        with pytest.raises(OutOfMemoryError):
            await publish(bus, [visit()])

        await consumers.drain()

        assert await keeper.has_turn(bus, streams.CLICKS)
        assert await keeper.trim(bus, streams.CLICKS) > 0
    finally:
        await bus.config_set("maxmemory", limit)
    assert await stored(pool) == (200, 200)
    assert await visitors(pool) == {}
    await publish(bus, [visit()])
    await consumers.drain()
    assert await visitors(pool) == {NOON.date(): 1}


async def test_visits_to_nothing_are_copied_and_copying_twice_adds_none(
    bus: Redis, ingest_pool: Pool, pool: Pool
):
    today = datetime.now(UTC).date()
    key = streams.orphans_key(1, today)
    await pool.execute("INSERT INTO orphans_daily VALUES ($1, 1, 'old', 1)", NOON - timedelta(100))
    counts = OrphanCounts(bus, ingest_pool)

    await bus.hset(key, mapping={"misprint": 3, "*": 70})
    await counts.copy()
    await bus.hincrby(key, "misprint", 2)
    await counts.copy()
    await OrphanCounts(bus, ingest_pool).copy()

    rows = await pool.fetch("SELECT day, short_code, visits FROM orphans_daily ORDER BY 2")
    assert [tuple(row) for row in rows] == [(today, "*", 70), (today, "misprint", 5)]


def enrichment(bus: Redis, countries: Path | None = None, *, keep: bool = False) -> Enrichment:
    return Enrichment(Countries(countries), VisitorNumbers(bus), keep_addresses=keep)


async def details_of(made: Enrichment, *clicks: Click) -> list[dict[str, Any]]:
    return [msgspec.json.decode(each.details) for each in await made.enrich(clicks)]


@pytest.mark.parametrize("keep", [False, True])
async def test_an_address_is_stored_only_where_the_operator_wants_it(bus: Redis, keep: bool):
    (details,) = await details_of(enrichment(bus, keep=keep), visit(address="203.0.113.7"))

    assert details.get("address") == ("203.0.113.7" if keep else None)


@pytest.fixture
def countries(tmp_path: Path) -> Path:
    writer = MMDBWriter(ip_version=4, database_type="Test-Country")
    writer.insert_network(IPSet(["203.0.113.0/24"]), {"country": {"iso_code": "AT"}})
    writer.insert_network(IPSet(["198.51.100.0/24"]), {"continent": {"code": "EU"}})
    path = tmp_path / "countries.mmdb"
    writer.to_db_file(str(path))
    return path


@pytest.mark.parametrize(
    ("address", "country"),
    [("203.0.113.0", "AT"), ("198.51.100.0", None), ("192.0.2.0", None), ("nonsense", None)],
)
async def test_countries_come_from_the_operators_database(
    bus: Redis, countries: Path, address: str, country: str | None
):
    (details,) = await details_of(enrichment(bus, countries), visit(address=address))

    assert details.get("country") == country


@pytest.mark.parametrize("content", [None, b"no database"])
def test_a_database_that_can_t_be_read_is_said_in_one_sentence(tmp_path: Path, content: Any):
    path = tmp_path / "countries.mmdb"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(SystemExit, match="GEOIP_DATABASE can't be read"):
        Countries(path)


@pytest.mark.parametrize(
    ("agent", "facts"),
    [
        (FIREFOX, {"device": "desktop", "system": "Linux", "browser": "Firefox"}),
        (IPHONE, {"device": "mobile", "system": "iOS", "browser": "Mobile Safari"}),
        (GOOGLEBOT, {"bot": "bot"}),
        ("curl/8.5.0", {"bot": "bot"}),
        (WHATSAPP, {"bot": "preview"}),
        ("x" * 5000, {}),
    ],
)
async def test_a_user_agent_tells_a_person_from_a_program(
    bus: Redis, agent: str, facts: dict[str, str]
):
    (details,) = await details_of(enrichment(bus), visit(user_agent=agent))

    assert {
        name: details[name] for name in ("device", "system", "browser", "bot") if name in details
    } == facts


def test_who_invents_user_agents_does_not_hold_the_others_up(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(agents, "MAX_NEW_A_BATCH", 3)
    monkeypatch.setattr(agents, "REMEMBERED", 4)
    told = Agents()
    told.begin_batch()
    first = [told.tell(f"Firefox/{number}.0 {FIREFOX}") for number in range(5)]
    told.begin_batch()
    second = [told.tell(f"Firefox/{number}.0 {FIREFOX}") for number in range(3)]

    assert [agent.device for agent in first] == ["desktop"] * 3 + ["", ""]
    assert [agent.device for agent in second] == ["desktop"] * 3
    assert len(told._known) <= 4
