"""Answers about clicks: from roll-ups that add up."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from management.stats_repository import DIMENSIONS
from shared.postgres import Pool
from tests.integration.management.conftest import Api, Start
from tests.integration.management.test_auth import World, admin_key

KINDS = ("clicks", "people", "bots", "previews", "visitors")
APRIL = "from=2026-04-01&to=2026-04-30"


async def click(pool: Pool, url_id: int, at: str, **details: Any) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    await pool.execute("SELECT ensure_events_partition($1)", moment)
    await pool.execute(
        "INSERT INTO events (at, event_type, url_id, details) "
        "VALUES ($1, 'redirect', $2, $3::text::jsonb)",
        moment,
        url_id,
        msgspec.json.encode(details).decode(),
    )


async def visitor(pool: Pool, url_id: int, hour: str, visitors: int = 1) -> None:
    await pool.execute(
        "INSERT INTO visitors_hourly VALUES ($1, $2, $3)",
        url_id,
        datetime.fromisoformat(hour).replace(tzinfo=UTC),
        visitors,
    )


async def visit(pool: Pool, url_id: int, at: str, visitor: int) -> None:
    moment = datetime.fromisoformat(at).replace(tzinfo=UTC)
    await pool.execute("SELECT count_visitors($1, $2, $3)", [url_id], [moment], [visitor])


async def stats(api: Api, url_id: int, query: str = APRIL) -> Any:
    answer = await api.get(f"/urls/{url_id}/stats?{query}")
    assert answer.status == 200, answer.body
    return answer.json


def starts(found: Any) -> dict[str, int]:
    return {each["start"]: each["clicks"] for each in found["series"] if each["clicks"]}


async def test_clicks_are_told_by_kind_and_by_what_they_tell(api: Api, pool: Pool):
    url = (await api.url(await api.user()))["id"]
    firefox = {"device": "desktop", "system": "Linux", "browser": "Firefox"}
    await click(pool, url, "2026-04-03T10:00", country="AT", language="de-at", **firefox)
    await click(pool, url, "2026-04-03T10:59", country="AT", source="qr", **firefox)
    await click(pool, url, "2026-04-04T10:00", referrer="https://a.example", **firefox)
    await click(pool, url, "2026-04-04T11:00", bot="bot", country="US")
    await click(pool, url, "2026-04-04T11:00", bot="preview")
    await click(pool, url, "2026-05-01T00:00", country="FR")
    await visitor(pool, url, "2026-04-03T10:00", 2)

    found = await stats(api, url)

    assert found["total"] == dict(zip(KINDS, (5, 3, 1, 1, 2), strict=True))
    assert len(found["series"]) == 30
    assert found["series"][2] == {
        "start": "2026-04-03T00:00:00",
        **dict(zip(KINDS, (2, 2, 0, 0, 2), strict=True)),
    }
    assert found["breakdowns"]["country"] == {
        "top": [
            {"value": "AT", "clicks": 2, "people": 2},
            {"value": "US", "clicks": 1, "people": 0},
        ],
        "other": {"clicks": 0, "people": 0},
        "unknown": {"clicks": 2, "people": 1},
    }
    assert found["breakdowns"]["browser"]["top"] == [{"value": "Firefox", "clicks": 3, "people": 3}]
    assert found["breakdowns"]["browser"]["unknown"] == {"clicks": 2, "people": 0}
    assert [each["value"] for each in found["breakdowns"]["source"]["top"]] == ["qr"]
    assert [each["value"] for each in found["breakdowns"]["referrer"]["top"]] == ["a.example"]


async def test_what_is_beyond_the_limit_is_other(api: Api, pool: Pool):
    url = (await api.url(await api.user()))["id"]
    for number, country in enumerate(("AT", "DE", "CH", "FR")):
        for _ in range(4 - number):
            await click(pool, url, "2026-04-03T10:00", country=country)

    found = await stats(api, url, f"{APRIL}&limit=2")

    countries = found["breakdowns"]["country"]
    assert [each["value"] for each in countries["top"]] == ["AT", "DE"]
    assert countries["other"] == {"clicks": 3, "people": 3}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("interval=day", {"2026-04-03T00:00:00": 2, "2026-04-04T00:00:00": 1}),
        # In Vienna the day begins at 22 h UTC, in Kolkata at 18.30 h: the hour that begins at
        # 18 h counts to the day before.
        ("interval=day&timezone=Europe/Vienna", {"2026-04-03T22:00:00": 3}),
        ("interval=day&timezone=Asia/Kolkata", {"2026-04-03T18:30:00": 3}),
        ("interval=day&timezone=America/New_York", {"2026-04-03T04:00:00": 3}),
        ("interval=week", {"2026-03-30T00:00:00": 3}),
        ("interval=month&timezone=Europe/Vienna", {"2026-03-31T22:00:00": 3}),
        (
            "interval=hour&timezone=Asia/Kolkata&from=2026-04-03&to=2026-04-04",
            {"2026-04-03T22:00:00": 1, "2026-04-03T23:00:00": 1, "2026-04-04T01:00:00": 1},
        ),
    ],
)
async def test_time_is_cut_as_asked(api: Api, pool: Pool, query: str, expected: dict[str, int]):
    url = (await api.url(await api.user()))["id"]
    for at in ("2026-04-03T22:10", "2026-04-03T23:50", "2026-04-04T01:00"):
        await click(pool, url, at)

    found = await stats(api, url, query if "from" in query else f"{APRIL}&{query}")

    assert starts(found) == expected
    times = [each["start"] for each in found["series"]]
    assert times == sorted(set(times))


@pytest.mark.parametrize("zone", ["Europe/Vienna", "Atlantic/Azores", "Australia/Lord_Howe"])
async def test_no_day_is_missing_where_clocks_change(api: Api, zone: str):
    url = (await api.url(await api.user()))["id"]

    found = await stats(api, url, f"from=2026-01-01&to=2026-12-31&timezone={zone}")

    assert len(found["series"]) == 366  # the ends of the year are cut


async def test_without_a_range_the_last_thirty_days_are_told(api: Api):
    url = (await api.url(await api.user()))["id"]

    found = await stats(api, url, "")

    today = datetime.now(UTC).date()
    assert found["to"] in {str(today), str(today - timedelta(days=1))}  # at midnight
    assert len(found["series"]) == 30
    assert found["total"] == dict.fromkeys(KINDS, 0)


def random_details(rng: random.Random) -> dict[str, Any]:
    values = {
        "referrer": ["https://a.example", "https://b.example/x", "nonsense", ""],
        "source": ["qr"],
        "country": ["AT", "DE", "CH", "FR", "IT"],
        "language": ["de", "fr", ""],
        "device": ["mobile", "desktop"],
        "system": ["iOS", "Linux"],
        "browser": ["Firefox", "Chrome", "Safari", "x" * 300],
        "bot": ["bot", "preview", "other"],
    }
    return {name: rng.choice(each) for name, each in values.items() if rng.random() < 0.4}


@pytest.mark.parametrize("seed", range(4))
async def test_every_breakdown_and_the_series_make_up_the_total(api: Api, pool: Pool, seed: int):
    rng = random.Random(seed)
    owner = await api.user()
    urls = [(await api.url(owner))["id"] for _ in range(3)]
    count = 120
    await pool.execute("CREATE TABLE visitors_seen_then PARTITION OF visitors_seen DEFAULT")
    for _ in range(count):
        at = f"2026-04-{rng.randint(1, 30):02}T{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
        await click(pool, rng.choice(urls), at, **random_details(rng))
        await visit(pool, rng.choice(urls), at, rng.randint(1, 3))
        await pool.execute("SELECT add_up_hours('0', $1)", rng.choice([0, 0, 0, 9]))
    for (event_id,) in await pool.fetch("SELECT id FROM events WHERE event_type = 'redirect'"):
        if rng.random() < 0.3:  # an administrator corrects some
            change = {"details": random_details(rng), "url_id": rng.choice(urls)}
            assert (await api.put(f"/events/{event_id}", change)).status == 200
    query = f"{APRIL}&limit={rng.randint(1, 4)}&interval={rng.choice(['day', 'week', 'month'])}"

    answers = [await stats(api, url, query) for url in urls]
    whole = (await api.get(f"/stats?{query}")).json
    of_owner = (await api.get(f"/stats?{query}&user_id={owner}")).json

    assert whole["total"]["clicks"] == sum(each["total"]["clicks"] for each in answers) == count
    assert whole["total"]["visitors"] == sum(each["total"]["visitors"] for each in answers) > 0
    assert of_owner == whole
    for answer in (*answers, whole):
        total = answer["total"]
        assert total["clicks"] == total["people"] + total["bots"] + total["previews"]
        assert set(answer["breakdowns"]) == set(DIMENSIONS)
        for dimension, parts in answer["breakdowns"].items():
            for kind in ("clicks", "people"):
                numbers = [each[kind] for each in (*parts["top"], parts["other"], parts["unknown"])]
                assert sum(numbers) == total[kind], (dimension, kind)
                assert min(numbers) >= 0
        for kind in KINDS:
            assert sum(each[kind] for each in answer["series"]) == total[kind]


@pytest.mark.parametrize(
    ("query", "before"),
    [
        ("from=2026-04-10&to=2026-04-10", ("2026-04-09", "2026-04-09")),
        ("from=2026-04-10&to=2026-04-16", ("2026-04-03", "2026-04-09")),
        ("from=2026-04-01&to=2026-04-29", ("2026-03-03", "2026-03-31")),
        ("from=2026-04-02&to=2026-04-30", ("2026-03-04", "2026-04-01")),
        ("from=2026-04-02&to=2026-05-01", ("2026-03-03", "2026-04-01")),
        ("from=2026-04-01&to=2026-04-30", ("2026-03-01", "2026-03-31")),
        ("from=2026-03-01&to=2026-03-31", ("2026-02-01", "2026-02-28")),
        ("from=2026-01-01&to=2026-02-28", ("2025-11-01", "2025-12-31")),
        ("from=2025-01-01&to=2025-12-31", ("2024-01-01", "2024-12-31")),
        ("from=1970-01-01&to=1970-01-31", ("1969-12-01", "1969-12-31")),
        ("from=1970-01-02&to=1972-12-31", ("1967-01-03", "1970-01-01")),
    ],
)
async def test_the_time_before_is_so_many_months_or_days(
    api: Api, pool: Pool, query: str, before: tuple[str, str]
):
    url = (await api.url(await api.user()))["id"]
    first, last = before
    outside = datetime.fromisoformat(first) - timedelta(minutes=1)
    for hour in (outside.isoformat(), f"{first}T00:00", f"{last}T23:00"):
        await pool.execute(
            "INSERT INTO clicks_hourly (url_id, hour, clicks, bots) VALUES ($1, $2, 1, 1)",
            url,
            datetime.fromisoformat(hour).replace(tzinfo=UTC),
        )

    told = (await stats(api, url, f"{query}&compare=previous&timezone=Europe/Vienna"))["previous"]

    assert (told["from"], told["to"]) == before
    assert told["total"] == dict(zip(KINDS, (2, 0, 2, 0, 0), strict=True))
    assert sum(step["clicks"] for step in told["series"]) == 2


async def test_what_was_before_is_cut_by_the_same_clock_over_its_change(api: Api, pool: Pool):
    url = (await api.url(await api.user()))["id"]
    # In Vienna clocks went forward on 29 March: midnight was at 23:00 UTC before, 22:00 after it.
    for at in ("2026-03-28T22:59", "2026-03-28T23:01", "2026-03-29T21:59", "2026-03-29T22:01"):
        await click(pool, url, at)

    cut = "interval=day&timezone=Europe/Vienna&compare=previous"
    told = (await stats(api, url, f"from=2026-03-30&to=2026-03-31&{cut}"))["previous"]

    assert starts(told) == {
        "2026-03-27T23:00:00": 1,
        "2026-03-28T23:00:00": 2,
        "2026-03-29T22:00:00": 1,
    }


async def test_clicks_of_a_tag_add_up_and_are_compared_too(api: Api, pool: Pool):
    user_id = await api.user()
    tagged, other = await api.url(user_id, tags=["a b"]), await api.url(user_id)
    for url in (tagged, other):
        await click(pool, url["id"], "2026-04-03T10:00", country="AT")
        await click(pool, url["id"], "2026-03-03T10:00", country="AT")

    found = (await api.get(f"/stats?{APRIL}&tag=%20a%20b&compare=previous")).json

    assert (found["total"]["clicks"], found["previous"]["total"]["clicks"]) == (1, 1)
    assert found["breakdowns"]["country"]["top"] == [{"value": "AT", "clicks": 1, "people": 1}]


async def test_what_was_before_is_told_only_if_asked_for(api: Api):
    user_id = await api.user()
    await api.url(user_id)

    assert "previous" not in (await api.get(f"/stats?user_id={user_id}")).json
    assert "previous" in (await api.get(f"/stats?user_id={user_id}&compare=previous")).json


async def test_an_owner_s_total_is_of_their_live_links(start: Start, database: str, pool: Pool):
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()
        gone = (await world.owner.post("/urls", {"original_url": "https://example.com"})).json
        for url_id in (world.url["id"], gone["id"], 999_999):
            await click(pool, url_id, "2026-04-03T10:00")
        await world.owner.delete(f"/urls/{gone['id']}")

        async def clicks(client: Api, query: str = "") -> int:
            answer = await client.get(f"/stats?{APRIL}{query}")
            return int(answer.json["total"]["clicks"])

        assert await clicks(world.owner) == 1
        assert await clicks(world.stranger) == 0
        assert await clicks(world.admin) == 3
        assert await clicks(world.admin, f"&user_id={world.owner_id}") == 1
        await world.owner.put(f"/urls/{world.url['id']}", {"tags": ["spring", "mail"]})
        for client in (world.owner, world.admin):
            assert await clicks(client, "&tag=mail") == 1
            assert await clicks(client, "&tag=Mail") == 0
        assert await clicks(world.stranger, "&tag=mail") == 0
        assert await clicks(world.admin, f"&tag=mail&user_id={world.owner_id}") == 1
        foreign = await world.stranger.get(f"/stats?user_id={world.owner_id}")
        assert foreign.status == 404
        assert (await world.owner.get(f"/urls/{gone['id']}/stats")).status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("from=2026-04-31", "from"),
        ("from=yesterday", "from"),
        ("to=1969-12-31", "to"),
        ("from=20260403", "from"),
        ("from=2026-04-02&to=2026-04-01", "from"),
        ("from=2020-01-01&to=2026-04-01&interval=hour", "from"),
        ("interval=minute", "interval"),
        ("timezone=Mars/Olympus", "timezone"),
        ("timezone=%2B05:30", "timezone"),
        ("timezone=", "timezone"),
        ("compare=next", "compare"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=x", "limit"),
    ],
)
async def test_a_wrong_parameter_is_named(api: Api, query: str, field: str):
    url = (await api.url(await api.user()))["id"]

    answer = await api.get(f"/urls/{url}/stats?{query}")

    assert answer.status == 400, answer.body
    assert list(answer.json["details"]) == [field]
    assert field in answer.error


async def test_orphans_are_an_administrator_s_and_add_up(start: Start, database: str, pool: Pool):
    await pool.execute(
        "INSERT INTO orphans_daily VALUES ('2026-04-03', 1, 'helo', 5), "
        "('2026-04-05', 1, 'helo', 2), ('2026-04-03', 1, 'hullo', 1), "
        "('2026-04-03', 1, '*', 100), ('2026-05-01', 1, 'late', 1)"
    )
    async with start(auth="required") as api:
        world = World(api, await admin_key(database))
        await world.fill()

        answer = await world.admin.get(f"/stats/orphans?{APRIL}&limit=1")
        everything = await world.admin.get(f"/stats/orphans?{APRIL}")
        refused = await world.owner.get("/stats/orphans")

    assert answer.json == {
        "from": "2026-04-01",
        "to": "2026-04-30",
        "visits": 108,
        "codes": [{"short_code": "helo", "visits": 7, "last_day": "2026-04-05"}],
        "other": 101,
    }
    assert [each["short_code"] for each in everything.json["codes"]] == ["helo", "hullo"]
    assert everything.json["other"] == 100
    assert refused.status == 403
