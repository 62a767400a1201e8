"""The roll-ups are what counting the events again gives, whatever came in which way."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest

from shared.postgres import Pool

NOW = datetime.now(UTC).replace(minute=30)
MOMENTS = (NOW, NOW + timedelta(minutes=45), NOW + timedelta(days=1))  # partitions are there
LINKS = (1, 2, 3, None)
TYPES = ("redirect", "redirect", "redirect", "created")
FACTS: dict[str, tuple[Any, ...]] = {
    "bot": (None, "bot", "preview"),
    "device": ("desktop", "mobile", ""),
    "system": ("Linux", "x" * 150),
    "browser": ("Firefox", None),
    "country": ("AT", "DE"),
    "language": ("de", "de-at"),
    "referrer": ("https://A.example/b", "a.example", "android-app://b/c", None),
    "source": ("qr", 7),
}

INSERT = """
    INSERT INTO events (at, event_id, event_type, url_id, details)
    SELECT at, event_id, event_type, url_id, details::jsonb
      FROM unnest($1::timestamptz[], $2::uuid[], $3::text[], $4::bigint[], $5::text[])
        AS event (at, event_id, event_type, url_id, details)
        ON CONFLICT DO NOTHING
"""
CORRECT = """
    UPDATE events
       SET at = $2, event_type = $3, url_id = $4, details = $5::text::jsonb
     WHERE event_id = ANY ($1::uuid[])
"""
ROLL_UPS = {
    "clicks_hourly": ("url_id, hour", "clicks, bots, previews"),
    "clicks_by_agent": ("url_id, day, device, system, browser", "clicks, people"),
    "clicks_by_place": ("url_id, day, country, language", "clicks, people"),
    "clicks_by_origin": ("url_id, day, referrer, source", "clicks, people"),
}
Counted = dict[str, dict[tuple[Any, ...], tuple[int, ...]]]


def an_event(chance: random.Random, link: int | None) -> tuple[Any, ...]:
    told = {name: chance.choice(of) for name, of in FACTS.items() if chance.random() < 0.6}
    details = None if chance.random() < 0.1 else msgspec.json.encode(told).decode()
    event_id = UUID(int=chance.getrandbits(128))
    kind = chance.choice(TYPES)
    return chance.choice(MOMENTS), event_id, kind, link, details


async def counted(pool: Pool) -> Counted:
    """Return each roll-up's rows that say anything."""
    found: Counted = {}
    for table, (key, sums) in ROLL_UPS.items():
        rows = await pool.fetch(f"SELECT ({key}) AS key, ({sums}) AS sums FROM {table}")
        found[table] = {tuple(row["key"]): tuple(row["sums"]) for row in rows if any(row["sums"])}
    return found


async def counted_again(pool: Pool) -> Counted:
    """Count the events, one by one."""
    counts: dict[str, Counter[tuple[tuple[Any, ...], int]]] = {
        table: Counter() for table in ROLL_UPS
    }
    for row in await pool.fetch(
        "SELECT at, url_id, details::text AS details FROM events "
        "WHERE event_type = 'redirect' AND url_id IS NOT NULL"
    ):
        facts = msgspec.json.decode(row["details"] or "{}")
        for table, key, sums in shares(row["url_id"], row["at"].astimezone(UTC), facts):
            for place, share in enumerate(sums):
                counts[table][key, place] += share
    return {
        table: {
            key: tuple(count[key, place] for place in range(len(sums.split(","))))
            for key, _ in count
        }
        for (table, count), (_, sums) in zip(counts.items(), ROLL_UPS.values(), strict=True)
    }


def shares(
    link: int, at: datetime, facts: dict[str, Any]
) -> Iterator[tuple[str, tuple[Any, ...], tuple[int, ...]]]:
    bot = facts.get("bot")
    hour = at.replace(minute=0, second=0, microsecond=0)
    yield "clicks_hourly", (link, hour), (1, bot not in {None, "preview"}, bot == "preview")
    told = {name: "" if fact is None else str(fact)[:100] for name, fact in facts.items()}
    host = [*told.get("referrer", "").split("/"), "", "", ""][2].lower()
    for table, kinds in (
        (
            "clicks_by_agent",
            (told.get("device", ""), told.get("system", ""), told.get("browser", "")),
        ),
        ("clicks_by_place", (told.get("country", ""), told.get("language", ""))),
        ("clicks_by_origin", (host, told.get("source", ""))),
    ):
        if any(kinds):
            yield table, (link, at.date(), *kinds), (1, bot is None)


@pytest.mark.parametrize("seed", range(8))
async def test_the_roll_ups_are_what_counting_again_gives(pool: Pool, seed: int):
    chance = random.Random(seed)
    known: list[tuple[Any, ...]] = []
    for _ in range(8):
        fresh = [an_event(chance, chance.choice(LINKS)) for _ in range(chance.randrange(60))]
        known += fresh
        again = chance.choices(known, k=chance.randrange(20)) if known else []
        await pool.execute(INSERT, *map(list, zip(*fresh, *again, strict=True)) or [[]] * 5)
        corrected = {event[1] for event in chance.sample(known, k=min(len(known), 3))}
        known = [event for event in known if event[1] not in corrected]
        at, _, kind, link, details = an_event(chance, chance.choice(LINKS))
        await pool.execute(CORRECT, corrected, at, kind, link, details)

    found = await counted(pool)

    assert found == await counted_again(pool)
    assert all(found.values())


async def test_writers_of_the_same_links_take_turns_and_never_deadlock(pool: Pool):
    chance = random.Random(1)

    async def write() -> None:
        for _ in range(15):
            batch = [an_event(chance, chance.randrange(500)) for _ in range(400)]
            batch.sort(key=lambda event: event[:2])
            await pool.execute(INSERT, *map(list, zip(*batch, strict=True)))

    await asyncio.gather(*(write() for _ in range(4)))

    assert await counted(pool) == await counted_again(pool)
