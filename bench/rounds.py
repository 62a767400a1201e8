"""Round after round, each contender in its turn; then its clicks are counted."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import msgspec

from bench import wrk
from bench.contenders import Clicks, Contender
from bench.installation import Installation
from bench.medians import recorded_share
from bench.settings import Settings
from shared.postgres import Connection

DRAIN_SECONDS = 90.0  # for the clicks of one turn to be stored
POLL_SECONDS = 0.25
QUIET_SECONDS = 0.5  # without one more click, once there are as many as answers
WARM_UP_SECONDS = 1.0

Say = Callable[[str], None]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """What one contender did in one round; `recorded` is None where nothing is recorded."""

    rate: float
    requests: int
    refused: int
    recorded: float | None


async def all_rounds(
    installation: Installation, contenders: Sequence[Contender], settings: Settings, say: Say
) -> dict[str, list[Turn]]:
    """Return the turns of each contender, by its name, in the order of the rounds."""
    connection = await installation.connect()
    try:
        for contender in contenders:
            say(f"warming up: {contender.name}")
            await _turn(installation, connection, contender, settings, WARM_UP_SECONDS)
        turns: dict[str, list[Turn]] = {contender.name: [] for contender in contenders}
        for number in range(1, settings.rounds + 1):
            for contender in contenders:
                turn = await _turn(installation, connection, contender, settings, settings.seconds)
                turns[contender.name].append(turn)
                say(f"round {number} of {settings.rounds}: {contender.name} {turn.rate:,.0f}/s")
    finally:
        await connection.close()
    return turns


async def _turn(
    installation: Installation,
    connection: Connection,
    contender: Contender,
    settings: Settings,
    seconds: float,
) -> Turn:
    await contender.before()
    last = await contender.clicks.last_id(connection) if contender.clicks else 0
    with installation.paused_ingest() if contender.pauses_ingest else nullcontext():
        load = wrk.run(
            contender.url,
            contender.traffic,
            seconds=seconds,
            connections=settings.connections,
        )
    recorded = None
    if contender.clicks:
        rows = await _drained(connection, contender.clicks, last, load.requests - load.refused)
        recorded = recorded_share(rows, load.requests - load.refused, settings.connections)
    return Turn(rate=load.rate, requests=load.requests, refused=load.refused, recorded=recorded)


async def _drained(connection: Connection, clicks: Clicks, last: int, answers: int) -> int:
    """Wait until a click for each answer is stored and none follows; return how many there are."""
    deadline = time.monotonic() + DRAIN_SECONDS
    rows = await clicks.count_since(connection, last)
    while rows < answers and time.monotonic() < deadline:
        await asyncio.sleep(POLL_SECONDS)
        rows = await clicks.count_since(connection, last)
    while True:
        await asyncio.sleep(QUIET_SECONDS)
        before, rows = rows, await clicks.count_since(connection, last)
        if rows == before or time.monotonic() >= deadline:
            return rows
