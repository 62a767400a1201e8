import asyncio
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from event_ingest import consumer as consumer_module
from event_ingest import keeper
from event_ingest.consumer import TooManyDeadLetters
from event_ingest.replay_dead import replay
from shared import consumer_groups, streams
from shared.postgres import Pool
from tests import log_lines
from tests.conftest import refusing
from tests.integration.event_ingest.conftest import (
    Consumers,
    add,
    click,
    pending,
    publish,
    stored,
)
from tests.waiting import eventually


async def dead(bus: Redis) -> list[dict[bytes, bytes]]:
    entries = cast("streams.Entries", await bus.xrange(streams.CLICKS_DEAD))
    return [fields for _, fields in entries]


def waiting(stream: str) -> float | None:
    name = "shortwire_ingest_stream_waiting_entries"
    return REGISTRY.get_sample_value(name, {"stream": stream})


async def _killed(*_: object) -> None:
    raise ConnectionError


@pytest.mark.parametrize("user_id", [7, None, 2**63 - 1])
async def test_a_click_is_a_redirect_event_with_its_facts(
    bus: Redis, pool: Pool, consumers: Consumers, user_id: int | None
):
    sent = click(user_id=user_id, referrer="https://a.example", user_agent="B/1", request_id="r1")
    await publish(bus, [sent])

    await consumers.drain()

    row = await pool.fetchrow("SELECT *, details::text AS text FROM events")
    assert row is not None
    assert (row["event_id"], row["at"], row["event_type"]) == (sent.id, sent.at, "redirect")
    assert (row["url_id"], row["user_id"]) == (1, user_id)
    assert row["text"] == (
        '{"referrer": "https://a.example", "request_id": "r1", '
        '"short_code": "abc123", "user_agent": "B/1"}'
    )


async def test_an_event_published_twice_is_stored_and_counted_once(
    bus: Redis, pool: Pool, consumers: Consumers
):
    clicks = [click() for _ in range(10)]
    await publish(bus, clicks)
    await publish(bus, clicks, frames=3)
    await publish(bus, [clicks[0], clicks[0]])

    await consumers.drain()

    assert await stored(pool) == (10, 10)
    assert await pending(bus) == 0


async def test_what_is_new_among_what_was_stored_before_is_stored(
    bus: Redis, pool: Pool, consumers: Consumers
):
    old = [click(user_id=number % 2 or None) for number in range(20)]
    await publish(bus, old)
    await consumers.drain()
    new = [click(user_id=number % 2 or None, user_agent="ü") for number in range(20)]
    await publish(bus, [each for pair in zip(new, old, strict=True) for each in pair])

    await consumers.drain()

    assert await stored(pool) == (40, 40)
    rows = await pool.fetch("SELECT event_id, user_id, details FROM events ORDER BY at")
    assert {row["event_id"]: row["user_id"] for row in rows} == {
        each.id: each.user_id for each in [*old, *new]
    }


async def test_a_full_replay_of_the_stream_changes_nothing(
    bus: Redis, pool: Pool, consumers: Consumers
):
    await publish(bus, [click() for _ in range(100)], frames=7)
    await consumers.drain()

    await bus.xgroup_destroy(streams.CLICKS, streams.INGEST_GROUP)
    assert await consumers.drain() == 100

    assert await stored(pool) == (100, 100)


async def test_what_was_published_before_the_first_consumer_is_stored(
    bus: Redis, pool: Pool, consumers: Consumers
):
    await publish(bus, [click()])

    await consumers.drain("latecomer")

    assert await stored(pool) == (1, 1)


async def test_a_consumer_that_starts_again_finishes_what_it_left(
    bus: Redis, pool: Pool, consumers: Consumers
):
    group = consumers.group("ingest-1")
    await group.ensure()
    await publish(bus, [click() for _ in range(5)])
    await group.read_new(10)  # and then it was killed

    consumer = consumers.make("ingest-1")
    await consumer._finish_own()

    assert await stored(pool) == (5, 5)
    assert await pending(bus) == 0


async def test_what_a_lost_consumer_holds_is_taken_over_and_stored_once(
    bus: Redis, pool: Pool, consumers: Consumers
):
    lost = consumers.group("lost")
    await lost.ensure()
    await publish(bus, [click() for _ in range(5)])
    entries = await lost.read_new(10)

    heir = consumers.make("heir", claim_idle_seconds=0.0)
    await heir.process(await heir._next())
    await consumers.make("lost").process(entries)  # it was only slow

    assert await stored(pool) == (5, 5)
    assert await pending(bus) == 0


@pytest.mark.parametrize("heir", ["ingest-1", "ingest-2"])
async def test_what_is_claimed_while_it_is_in_hand_is_put_aside_once(
    bus: Redis, pool: Pool, consumers: Consumers, heir: str
):
    await publish(bus, [click(url_id=-1), click()])
    await add(bus, b"garbage")
    group, other = consumers.group("ingest-1"), consumers.group(heir)
    await group.ensure()
    entries = await group.read_new(10)
    claimed = await other.claim(0)

    await consumers.make("ingest-1").process(entries)
    await consumers.make(heir).process(claimed)

    reasons = [letter[b"reason"] for letter in await dead(bus)]
    assert sorted(reasons) == [b"out_of_range", b"undecodable"]
    assert await stored(pool) == (1, 1)
    assert await pending(bus) == 0


async def test_readers_that_a_failover_sends_away_come_again(
    bus: Redis, pool: Pool, consumers: Consumers
):
    consumer = consumers.make()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run())
        await eventually(lambda: _send_readers_away(bus))
        await publish(bus, [click()])
        await eventually(lambda: is_stored(pool, 1))
        consumer._stop.set()


async def test_a_bus_that_takes_no_writes_for_a_while_only_delays_them(
    bus: Redis, pool: Pool, consumers: Consumers, caplog: pytest.LogCaptureFixture
):
    consumer = consumers.make()

    async def is_told() -> bool:
        told = [record for record in caplog.records if record.msg == "ingest.retry"]
        return any(vars(record)["store"] == "bus" for record in told)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(consumer.run())
        await publish(bus, [click()])
        await eventually(lambda: is_stored(pool, 1))
        async with refusing(bus):
            await eventually(is_told)
        await publish(bus, [click()])
        await eventually(lambda: is_stored(pool, 2))
        consumer._stop.set()


async def is_stored(pool: Pool, count: int) -> bool:
    return await stored(pool) == (count, count)


async def _send_readers_away(bus: Redis) -> int:
    """Answer them as a server does that becomes a replica; return how many they were."""
    clients = await bus.client_list()
    waiting = [int(each["id"]) for each in clients if "b" in each["flags"]]
    return sum([await bus.client_unblock(each, error=True) for each in waiting])


async def test_a_missing_partition_is_made(bus: Redis, pool: Pool, consumers: Consumers):
    await publish(bus, [click(), click(at=datetime.now(UTC) - timedelta(days=3))])

    await consumers.drain()

    assert await stored(pool) == (2, 2)


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (b"garbage", b"undecodable"),
        (b"", b"undecodable"),
        (b'{"id":1}', b"undecodable"),
        (b'[{"id":"x"}]', b"undecodable"),
    ],
)
async def test_an_undecodable_entry_is_put_aside_and_the_rest_is_stored(
    bus: Redis, pool: Pool, consumers: Consumers, batch: bytes, reason: bytes
):
    await publish(bus, [click()])
    entry_id = await add(bus, batch)
    await publish(bus, [click()])

    await consumers.drain()

    assert await stored(pool) == (2, 2)
    assert await pending(bus) == 0
    letters = await dead(bus)
    assert [(letter[b"entry"], letter[b"reason"]) for letter in letters] == [(entry_id, reason)]


async def test_a_click_that_postgresql_refuses_is_found_and_put_aside(
    bus: Redis, pool: Pool, consumers: Consumers
):
    clicks = [click() for _ in range(20)]
    clicks[13] = click(user_agent="nul\0byte")
    await publish(bus, clicks)

    await consumers.drain()

    assert await stored(pool) == (19, 19)
    letters = await dead(bus)
    assert [letter[b"reason"] for letter in letters] == [b"refused"]
    assert str(clicks[13].id).encode() in letters[0][b"payload"]
    assert await pending(bus) == 0


async def test_too_many_bad_events_stop_the_consumer_and_nothing_is_acknowledged(
    bus: Redis, consumers: Consumers
):
    await publish(bus, [click(url_id=-1) if n % 10 == 0 else click() for n in range(1500)])

    with pytest.raises(TooManyDeadLetters):
        await consumers.drain()

    assert await pending(bus) == 1
    assert await dead(bus) == []


async def test_an_entry_that_ends_its_consumers_is_put_aside(
    bus: Redis, pool: Pool, consumers: Consumers
):
    group = consumers.group("ingest-1")
    await group.ensure()
    await publish(bus, [click()])
    await group.read_new(10)
    for _ in range(consumer_module.MAX_DELIVERIES):
        await group.read_own(b"0", 10)

    await consumers.make("ingest-1")._finish_own()

    assert await stored(pool) == (0, 0)
    assert [letter[b"reason"] for letter in await dead(bus)] == [b"redelivered"]
    assert await pending(bus) == 0


async def test_dead_letters_sent_back_are_stored_once_and_gone(
    bus: Redis, pool: Pool, consumers: Consumers, monkeypatch: pytest.MonkeyPatch
):
    late = click(at=datetime.now(UTC) - timedelta(days=500))
    await publish(bus, [late, click()])
    await consumers.drain()
    assert len(await dead(bus)) == 1
    monkeypatch.setattr("event_ingest.frames.PAST_LIMIT", timedelta(days=1000))

    assert await replay(bus, 10, dry_run=True) == 1
    assert len(await dead(bus)) == 1
    assert await replay(bus, 10, dry_run=False) == 1
    assert await replay(bus, 10, dry_run=False) == 0
    await consumers.drain()

    assert await stored(pool) == (2, 2)
    assert await dead(bus) == []


async def test_dead_letters_of_any_stream_lie_together_and_go_back_to_their_own(
    bus: Redis, consumers: Consumers
):
    names = [streams.CLICKS, *streams.click_streams(2)]
    entries = [await add(bus, b"garbage", name) for name in names]
    for name in names:
        await consumers.drain(stream=name)
    letters = await dead(bus)

    assert await replay(bus, 10, dry_run=False) == 3

    found = [(letter[b"stream"].decode(), letter[b"entry"]) for letter in letters]
    assert found == list(zip(names, entries, strict=True))
    assert [await bus.xlen(name) for name in names] == [2, 2, 2]
    assert await dead(bus) == []


async def test_a_dead_letter_of_an_earlier_release_goes_back_to_the_one_stream(bus: Redis):
    await bus.xadd(streams.CLICKS_DEAD, {"entry": "1-1", "reason": "refused", "payload": "{}"})

    assert await replay(bus, 10, dry_run=False) == 1

    assert await bus.xlen(streams.CLICKS) == 1


async def test_killed_before_it_acknowledges_a_letter_is_put_aside_again_and_nothing_is_lost(
    bus: Redis, pool: Pool, consumers: Consumers, monkeypatch: pytest.MonkeyPatch
):
    await publish(bus, [click(url_id=-1), click()])
    group = consumers.group("ingest-1")
    await group.ensure()
    entries = await group.read_new(10)
    with monkeypatch.context() as killed:
        killed.setattr(Redis, "xack", _killed)
        with pytest.raises(ConnectionError):
            await consumers.make().process(entries)
    assert len(await dead(bus)) == 1

    await consumers.make()._finish_own()

    assert len(await dead(bus)) == 2
    assert await stored(pool) == (1, 1)
    assert await pending(bus) == 0


async def test_trimming_leaves_what_any_group_has_not_acknowledged(
    bus: Redis, consumers: Consumers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeper, "TAIL_SECONDS", -10.0)
    await publish(bus, [click() for _ in range(1000)], frames=1000)
    await bus.xgroup_create(streams.CLICKS, "analytics", id="0")
    await consumers.drain()

    assert await keeper.trim(bus, streams.CLICKS) == 0

    reply = cast(
        "list[tuple[bytes, streams.Entries]]",
        await bus.xreadgroup("analytics", "a", {streams.CLICKS: ">"}, count=600),
    )
    read = reply[0][1]
    await bus.xack(streams.CLICKS, "analytics", *(entry_id for entry_id, _ in read[1:]))
    await keeper.trim(bus, streams.CLICKS)
    assert await bus.xlen(streams.CLICKS) == 1000, "the first entry is still pending"

    await bus.xack(streams.CLICKS, "analytics", read[0][0])
    await keeper.trim(bus, streams.CLICKS)
    left = cast("streams.Entries", await bus.xrange(streams.CLICKS))
    assert 400 <= len(left) < 1000
    assert left[-1][0] > read[-1][0]


async def test_a_silent_consumer_is_removed_only_with_nothing_pending(
    bus: Redis, consumers: Consumers, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(consumer_groups, "GONE_MS", 1)
    await publish(bus, [click()])
    busy = consumers.group("busy")
    await busy.ensure()
    await busy.read_new(1)
    await consumers.group("idle").read_own(b"0", 1)
    await asyncio.sleep(0.01)

    await consumer_groups.remove_gone(bus, streams.CLICKS, streams.INGEST_GROUP)

    left = await bus.xinfo_consumers(streams.CLICKS, streams.INGEST_GROUP)
    assert [consumer["name"] for consumer in left] == [b"busy"]


async def test_the_role_of_ingest_can_only_insert(ingest_pool: Pool):
    for forbidden in ("SELECT * FROM events", "DELETE FROM events", "SELECT * FROM users"):
        with pytest.raises(Exception, match="permission denied"):
            await ingest_pool.execute(forbidden)


async def test_lag_is_measured_of_each_stream(bus: Redis, consumers: Consumers):
    await publish(bus, [click() for _ in range(4)], frames=4)
    await publish(bus, [click() for _ in range(9)], frames=9, stream="clicks:{0}")
    for stream in (streams.CLICKS, "clicks:{0}"):
        group = consumers.group("ingest-1", stream)
        await group.ensure()
        await group.read_new(1)
        await keeper.measure(bus, stream)

    assert waiting(streams.CLICKS) == 3
    assert waiting("clicks:{0}") == 8
    assert REGISTRY.get_sample_value("shortwire_ingest_pending_entries", {"stream": "clicks"}) == 1


async def test_each_stream_is_kept_by_one_consumer_at_a_time(bus: Redis):
    assert await keeper.has_turn(bus, streams.CLICKS)
    assert not await keeper.has_turn(bus, streams.CLICKS)
    assert await keeper.has_turn(bus, "clicks:{0}")


async def test_each_batch_has_one_line(bus: Redis, consumers: Consumers):
    await publish(bus, [click() for _ in range(4)], frames=2)
    await add(bus, b"no JSON")

    with log_lines.kept() as lines:
        await consumers.drain()

    (line,) = lines.named("batch")
    assert (line["entries"], line["clicks"], line["dead"]) == (3, 4, 1)
    assert {"enrich", "insert", "settle"} <= set(line["timings"])
    assert line["duration_ms"] > 0
