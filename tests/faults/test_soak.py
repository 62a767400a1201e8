"""Everything is killed, at random, under load; then the clicks are counted, three times over."""

import asyncio
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from tests.end_to_end.launcher import Launcher, eventually, send
from tests.faults.test_propagation import Line

SECONDS = float(os.environ.get("SOAK_SECONDS", "20"))
CONNECTIONS = 16
PAUSE_SECONDS = 0.02  # between a connection's requests: some 500 a second in all
LINKS = 50
DRAIN_SECONDS = 60.0
ANSWER_SECONDS = 15.0  # above every time limit on the way
PARTS = ["redirector", "ingest", "bus", "cache", "postgres", "management", "gateway"]


@pytest.fixture(scope="module")
def soaking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launcher]:
    data = tmp_path_factory.mktemp("soak") / "data"
    launcher = Launcher(
        data, REDIRECTORS="2", INGESTS="2", API_RATE="10000", REDIRECT_RATE="100000"
    )
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)


class Load:
    """Visitors, and what they were told."""

    def __init__(self, port: int, codes: list[str], mark: str) -> None:
        self._port = port
        self._mark = mark
        self._codes = codes
        self.answered: list[str] = []  # request ids of redirects that arrived whole
        self.statuses: Counter[int] = Counter()
        self.broken = 0

    async def run(self, until: float) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CONNECTIONS):
                group.create_task(self._visit(number, until))

    async def _visit(self, visitor: int, until: float) -> None:
        requests = (f"{self._mark}-{visitor}-{number}" for number in itertools.count())
        while time.monotonic() < until:
            try:
                async with Line(self._port) as line:
                    await self._ask(line, requests, until)
            except (OSError, EOFError, IndexError):  # the gateway was killed
                self.broken += 1
                await asyncio.sleep(PAUSE_SECONDS)

    async def _ask(self, line: Line, requests: Iterator[str], until: float) -> None:
        while time.monotonic() < until:
            request_id = next(requests)
            code = random.choice(self._codes)
            async with asyncio.timeout(ANSWER_SECONDS):
                status, _ = await line.ask("GET", f"/{code}", request_id=request_id)
            self.statuses[status] += 1
            if status == 302:
                self.answered.append(request_id)
            await asyncio.sleep(PAUSE_SECONDS)


async def kill_at_random(system: Launcher, until: float) -> Counter[str]:
    chance = random.Random(11)
    killed: Counter[str] = Counter()
    order: list[str] = []
    while time.monotonic() < until:
        if not order:
            order = chance.sample(PARTS, len(PARTS))
        name = order.pop()
        parts = system.parts()
        if name == "redirector":
            parts[name] = chance.choice(system.stack().redirectors)
        elif name == "ingest":
            parts[name] = chance.choice(system.stack().ingest)
        with suppress(ProcessLookupError, TypeError):
            os.kill(parts[name].pid or 0, signal.SIGKILL)
            killed[name] += 1
        await asyncio.sleep(chance.uniform(1.0, 2.5))
    return killed


async def stored_visits(dsn: str) -> Counter[str]:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction(isolation="repeatable_read"):  # one moment for all
            rows = await connection.fetch(
                "SELECT details->>'request_id' AS id, count(*) AS times FROM events "
                "WHERE event_type = 'redirect' GROUP BY 1"
            )
            rolled_up = await connection.fetchval("SELECT sum(clicks) FROM clicks_hourly")
            in_totals = await connection.fetchval(
                "SELECT (SELECT sum(clicks) FROM url_clicks) + "
                "(SELECT coalesce(sum(number), 0) FROM click_notes, unnest(numbers) AS number)"
            )
            of_all_links = await connection.fetchval(
                "SELECT (SELECT sum(clicks) FROM all_links_hourly) + "
                "(SELECT coalesce(sum(clicks), 0) FROM hour_notes)"
            )
    finally:
        await connection.close()
    visits = Counter({row["id"]: row["times"] for row in rows})
    assert rolled_up is None or rolled_up == visits.total(), "the roll-ups are what the rows are"
    assert in_totals is None or in_totals == visits.total(), "and so are the links' totals"
    assert of_all_links is None or of_all_links == visits.total(), "and the hours' of all links"
    return visits


def logged_redirects(data: Path) -> set[str]:
    """The gateway's own account: request ids it answered with 302."""
    logged = set()
    for path in data.rglob("access.log*"):
        for line in path.read_text(errors="replace").splitlines():
            with suppress(ValueError):  # a line that the kill cut off
                entry: dict[str, Any] = json.loads(line)
                if entry["status"] == 302:
                    logged.add(entry["request_id"])
    return logged


class Count(msgspec.Struct, frozen=True):
    """What became of the acknowledged clicks."""

    lost: set[str]
    doubled: list[str]
    unlogged: set[str]  # in the gateway's log and not in the table
    seconds: float  # until the last one was stored


async def count(system: Launcher, load: Load) -> Count:
    """Wait until every acknowledged click is stored, or for DRAIN_SECONDS."""
    acknowledged = set(load.answered)
    dsn = system.stack().postgres.url
    visits: Counter[str] = Counter()
    began = time.monotonic()
    while time.monotonic() < began + DRAIN_SECONDS and not acknowledged <= visits.keys():
        await asyncio.sleep(0.2)
        with suppress(OSError, asyncpg.PostgresError):
            visits = await stored_visits(dsn)
    return Count(
        acknowledged - visits.keys(),
        [visit for visit, times in visits.items() if times > 1],
        logged_redirects(system.data) - visits.keys(),
        time.monotonic() - began,
    )


@pytest.fixture(scope="module")
def codes(soaking: Launcher) -> list[str]:
    user = send(soaking.url("/users"), "POST", {"username": "s", "email": "s@example.com"}).json()
    codes = [f"soak{number}" for number in range(LINKS)]
    for code in codes:
        body = {"user_id": user["id"], "original_url": "https://example.com", "short_code": code}
        assert send(soaking.url("/urls"), "POST", body).status == 201
    return codes


@pytest.mark.parametrize("part", ["bus", "cache", "postgres", "ingest"])
async def test_redirects_go_on_while_a_part_behind_them_stands_still(
    soaking: Launcher, codes: list[str], part: str, capsys: pytest.CaptureFixture[str]
):
    load = Load(int(soaking.settings["PORT"]), codes, mark=part)
    still = max(5.0, SECONDS / 3)
    visiting = asyncio.ensure_future(load.run(time.monotonic() + still + 4.0))
    await asyncio.sleep(2.5)  # every code is remembered by both redirectors
    before = len(load.answered)
    pid = soaking.parts()[part].pid or 0
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(still)
        during = len(load.answered) - before
    finally:
        os.kill(pid, signal.SIGCONT)
    await visiting

    counted = await count(soaking, load)
    with capsys.disabled():
        print(
            f"\n{part} stood still for {still:.0f} s: {before / 2.5:.0f} redirects/s before, "
            f"{during / still:.0f} during; {len(counted.lost)} clicks lost, "
            f"{len(counted.doubled)} doubled; all stored {counted.seconds:.1f} s after the load"
        )
    assert set(load.statuses) == {302}
    assert not load.broken
    assert during / still > 0.5 * before / 2.5
    assert not counted.lost
    assert not counted.doubled


async def test_a_redirector_told_to_stop_drains_and_no_visitor_notices(
    soaking: Launcher, codes: list[str]
):
    load = Load(int(soaking.settings["PORT"]), codes, mark="term")
    visiting = asyncio.ensure_future(load.run(time.monotonic() + 8.0))
    for redirector in soaking.stack().redirectors:
        await asyncio.sleep(1.5)
        os.kill(redirector.pid or 0, signal.SIGTERM)
        await asyncio.sleep(2.0)  # it leaves, drains, and is started again
    await visiting

    counted = await count(soaking, load)
    assert set(load.statuses) == {302}
    assert not load.broken
    assert not counted.lost
    assert not counted.doubled


async def test_a_reload_of_the_gateway_fails_no_request(soaking: Launcher, codes: list[str]):
    load = Load(int(soaking.settings["PORT"]), codes, mark="reload")
    visiting = asyncio.ensure_future(load.run(time.monotonic() + 6.0))
    for _ in range(2):
        await asyncio.sleep(1.5)
        os.kill(soaking.stack().gateway.pid or 0, signal.SIGHUP)
    await visiting

    counted = await count(soaking, load)
    assert set(load.statuses) == {302}
    # An old worker closes its idle connections; who sends into that closing asks again.
    assert load.broken <= 2 * CONNECTIONS
    assert not counted.lost
    assert not counted.doubled


async def test_a_redirector_that_stands_still_is_replaced_by_its_neighbour(
    soaking: Launcher, codes: list[str]
):
    load = Load(int(soaking.settings["PORT"]), codes, mark="still")
    pid = soaking.stack().redirectors[0].pid or 0
    visiting = asyncio.ensure_future(load.run(time.monotonic() + 9.0))
    await asyncio.sleep(1.0)
    os.kill(pid, signal.SIGSTOP)
    try:
        await asyncio.sleep(5.0)
    finally:
        os.kill(pid, signal.SIGCONT)
    await visiting

    counted = await count(soaking, load)
    assert set(load.statuses) == {302}
    assert not load.broken
    assert not counted.lost
    assert not counted.doubled


async def test_no_click_is_lost_or_doubled_whatever_is_killed(
    soaking: Launcher, codes: list[str], capsys: pytest.CaptureFixture[str]
):
    load = Load(int(soaking.settings["PORT"]), codes, mark="kill")
    until = time.monotonic() + SECONDS

    visiting = asyncio.ensure_future(load.run(until + 1.0))
    killed = await kill_at_random(soaking, until)
    await visiting

    await asyncio.to_thread(eventually, lambda: send(soaking.url("/health/ready")).status == 200)
    counted = await count(soaking, load)
    others = {status: times for status, times in load.statuses.items() if status != 302}
    with capsys.disabled():
        print(
            f"\n{killed.total()} kills {dict(killed)} in {SECONDS:.0f} s: "
            f"{len(load.answered)} redirects answered, {len(counted.lost)} clicks lost, "
            f"{len(counted.doubled)} doubled, {len(counted.unlogged)} in the gateway's log only; "
            f"other answers {others}, {load.broken} broken connections; "
            f"all stored {counted.seconds:.1f} s after the load"
        )
    assert not counted.lost
    assert not counted.doubled
    assert logged_redirects(soaking.data)
    assert not counted.unlogged
    assert len(load.answered) > 20 * SECONDS
