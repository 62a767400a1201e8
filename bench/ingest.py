"""Clicks per second from the stream to committed rows and roll-ups, one consumer and two."""

import asyncio
import io
import time

import msgspec
from redis.asyncio import Redis

from bench import click_repository, copy_repository, goals, report, rivals, traffic
from bench.bus import wait_until_acknowledged
from bench.installation import Installation
from bench.medians import Figure, figure, ratios
from bench.rounds import Say
from bench.settings import Settings
from shared import redis_client, streams
from shared.postgres import Connection

CLICKS_A_SECOND = 15_000  # so many are waiting for each of a turn's seconds
MAX_ROUNDS = 3
GOAL = 0.6


class Paces(msgspec.Struct, frozen=True):
    """Rows per second, round by round."""

    one: list[float]
    two: list[float]
    copy: list[float]


def measure(installation: Installation, settings: Settings, say: Say) -> None:
    """Measure, print and write the pace of event-ingest."""
    paces = asyncio.run(_all_rounds(installation, settings, say))
    rows = [
        _row("event-ingest, one consumer", paces.one, paces.copy),
        _row("event-ingest, two consumers", paces.two, paces.copy),
        _row("COPY into a table with the same indexes", paces.copy, paces.copy),
    ]
    columns = ["", "rows/s (lowest to highest)", "÷ COPY"]
    report.show("From the stream to committed rows and roll-ups", columns, rows)
    share: Figure = ratios(paces.one, paces.copy)
    verdict = goals.at_least("event-ingest, one consumer ÷ COPY", share, GOAL)
    report.show_verdicts([verdict])
    results = {"rows_per_second": paces, "goals": [verdict]}
    report.write(settings.results, {"ingest": msgspec.to_builtins(results)})


def _row(what: str, rates: list[float], copy: list[float]) -> list[str]:
    return [what, report.text(figure(rates)), f"{ratios(rates, copy).median:.3f}"]


async def _all_rounds(installation: Installation, settings: Settings, say: Say) -> Paces:
    clicks = round(CLICKS_A_SECOND * settings.seconds)
    rounds = min(MAX_ROUNDS, settings.rounds)
    paces = Paces([], [], [])
    connection = await installation.connect()
    try:
        async with redis_client.connect(
            installation.stack.bus.url, name="bench", max_connections=2, timeout=10.0
        ) as bus:
            for number in range(rounds):
                last = await click_repository.last_id(connection)
                paces.one.append(await _pace(installation, bus, connection, clicks))
                rows = await copy_repository.prepare(connection, last, clicks)
                paces.copy.append(await _copy_pace(connection, rows, clicks))
                say(f"ingest {number + 1} of {rounds}: {paces.one[-1]:,.0f} rows/s")
            rivals.second_ingest(installation)
            for number in range(rounds):
                paces.two.append(await _pace(installation, bus, connection, clicks))
                say(f"two consumers {number + 1} of {rounds}: {paces.two[-1]:,.0f} rows/s")
    finally:
        await connection.close()
    return paces


async def _pace(
    installation: Installation, bus: Redis, connection: Connection, clicks: int
) -> float:
    """Let the clicks wait in the stream, then time their storing."""
    last = await click_repository.last_id(connection)
    with installation.paused_ingest():
        for count, batch in traffic.frames(clicks, seed=last):
            entry = {
                streams.CLICKS_SCHEMA: streams.CLICKS_SCHEMA_VERSION,
                streams.CLICKS_COUNT: count,
                streams.CLICKS_BATCH: batch,
            }
            await bus.xadd(streams.CLICKS, entry)  # type: ignore[arg-type]
    began = time.perf_counter()
    await wait_until_acknowledged(bus)
    seconds = time.perf_counter() - began
    stored = await click_repository.count_since(connection, last)
    if stored != clicks:
        raise RuntimeError(f"{stored} of {clicks} clicks are stored")
    return clicks / seconds


async def _copy_pace(connection: Connection, rows: io.BytesIO, clicks: int) -> float:
    return clicks / await copy_repository.copy(connection, rows)
