"""The same figures with more and more links and events: what should not grow with them."""

import asyncio
import http.client
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec

from bench import contenders, event_repository, goals, link_repository, report, wrk
from bench.bus import wait_until_stored
from bench.contenders import Contender
from bench.installation import Installation
from bench.medians import Figure, figure, ratios
from bench.rounds import Say
from bench.settings import Settings
from bench.wrk import Traffic
from shared.postgres import Connection

STEP_ROWS = 250_000
PAGE_REQUESTS = 20
PAGE_TIMEOUT_SECONDS = 60.0
SUMMED_UP_SECONDS = 600.0  # it is looked at once a minute, and takes its time
WARM_GOAL, PAGE_GOAL = 0.95, 2.0
ORDERS = ("warm", "zipf", "uniform")

Add = Callable[[Connection, int, int], Awaitable[None]]


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Redirects per second at one number of links, round by round, and Nginx's beside them."""

    links: int
    nginx: list[float]
    warm: list[float]
    zipf: list[float]
    uniform: list[float]


class Pages(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of each page at one number of events; None where a page is not served."""

    events: int
    milliseconds: dict[str, Figure | None]


def measure(installation: Installation, settings: Settings, say: Say) -> None:
    """Measure, print and write what happens as links and events grow."""
    both = contenders.start(installation, ("nginx", "redirector"))
    rates = []
    there = settings.growth_links()[0]
    for links in settings.growth_links():
        if links > there:
            asyncio.run(_grow(installation, link_repository.add, there, links, "links", say))
            asyncio.run(_analyze(installation))
            there = links
        rates.append(_rates(installation, both, links, settings, say))
    _show_rates(rates)
    pages = []
    there = 0
    for events in settings.growth_events():
        asyncio.run(_grow(installation, event_repository.add, there, events, "events", say))
        asyncio.run(_analyze(installation))
        say("waiting until event-ingest has summed them up")
        asyncio.run(_sum_up(installation))
        there = events
        pages.append(_pages(installation, events))
        say(f"pages with {events:,} events")
    _show_pages(pages)
    verdicts = [*_judge_rates(rates), *_judge_pages(pages)]
    report.show_verdicts(verdicts)
    results = {"rates": rates, "pages": pages, "goals": verdicts}
    report.write(settings.results, {"growth": msgspec.to_builtins(results)})


async def _grow(
    installation: Installation, add: Add, there: int, wanted: int, what: str, say: Say
) -> None:
    connection = await installation.connect()
    try:
        if add is event_repository.add:
            await event_repository.ensure_year(connection)
        for first in range(there, wanted, STEP_ROWS):
            end = min(first + STEP_ROWS, wanted)
            await add(connection, first, end)
            say(f"{end:,} of {wanted:,} {what}")
    finally:
        await connection.close()


async def _analyze(installation: Installation) -> None:
    connection = await installation.connect()
    try:
        await link_repository.analyze(connection)
        await event_repository.analyze(connection)
    finally:
        await connection.close()


async def _sum_up(installation: Installation) -> None:
    """Wait as long as events that came all at once take, unlike those that come as they happen."""
    connection = await installation.connect()
    try:
        async with asyncio.timeout(SUMMED_UP_SECONDS):
            while not await event_repository.are_summed_up(connection):
                await asyncio.sleep(1.0)
    finally:
        await connection.close()


def _rates(
    installation: Installation,
    both: Sequence[Contender],
    links: int,
    settings: Settings,
    say: Say,
) -> Rates:
    nginx, redirector = both
    rates = Rates(links=links, nginx=[], warm=[], zipf=[], uniform=[])
    for number in range(1, settings.rounds + 1):
        rates.nginx.append(_rate(installation, nginx.url, nginx.traffic, settings))
        for order in ORDERS:
            traffic = redirector.traffic
            if order != "warm":
                traffic = Traffic(links=links, order=order, start=number)
            rate = _rate(installation, redirector.url, traffic, settings)
            getattr(rates, order).append(rate)
            say(f"{links:,} links, round {number} of {settings.rounds}: {order} {rate:,.0f}/s")
    return rates


def _rate(installation: Installation, url: str, traffic: Traffic, settings: Settings) -> float:
    with installation.paused_ingest():
        load = wrk.run(url, traffic, seconds=settings.seconds, connections=settings.connections)
    asyncio.run(wait_until_stored(installation.stack.bus.url))
    return load.rate


def _addresses() -> dict[str, str]:
    year = (datetime.now(UTC) - timedelta(days=364)).date()
    return {
        "a page of events": "/events?per_page=100",
        "the last page of a link's events": "/events?url_id=7&per_page=100&cursor=1",
        "a page of links": "/urls?per_page=100",
        "search": "/urls?q=l00000007&per_page=20",
        "a link's year, by days": f"/urls/7/stats?interval=day&from={year}",
        "everybody's year, by days": f"/stats?interval=day&from={year}",
    }


def _pages(installation: Installation, events: int) -> Pages:
    url = installation.stack.management.url
    return Pages(
        events=events,
        milliseconds={what: _times(url, path) for what, path in _addresses().items()},
    )


def _times(url: str, path: str) -> Figure | None:
    """Return how long the page takes; None where this release has no such page."""
    times = []
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PAGE_TIMEOUT_SECONDS)
    try:
        for _ in range(PAGE_REQUESTS):
            began = time.perf_counter()
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                return None
            times.append((time.perf_counter() - began) * 1000)
    finally:
        connection.close()
    return figure(times)


def _judge_rates(rates: Sequence[Rates]) -> list[goals.Verdict]:
    if len(rates) < 2:
        return []
    first, last = rates[0], rates[-1]
    # Each beside the Nginx of its own round: a machine's pace changes in the hour between them.
    measured = ratios(
        [ours / theirs for ours, theirs in zip(last.warm, last.nginx, strict=True)],
        [ours / theirs for ours, theirs in zip(first.warm, first.nginx, strict=True)],
    )
    what = f"warm redirects with {last.links:,} links ÷ with {first.links:,}"
    return [goals.at_least(what, measured, WARM_GOAL)]


def _judge_pages(pages: Sequence[Pages]) -> list[goals.Verdict]:
    if len(pages) < 2:
        return []
    verdicts = []
    for what, after in pages[-1].milliseconds.items():
        before = pages[0].milliseconds[what]
        if before is not None and after is not None:
            measured = figure([after.median / before.median])
            text = f"{what} with {pages[-1].events:,} events ÷ with {pages[0].events:,}"
            verdicts.append(goals.at_most(text, measured, PAGE_GOAL))
    return verdicts


def _show_rates(rates: Sequence[Rates]) -> None:
    columns = ["links", "Nginx/s", *(f"{order}/s" for order in ORDERS)]
    rows = [
        [f"{each.links:,}", *(report.text(figure(getattr(each, n))) for n in ("nginx", *ORDERS))]
        for each in rates
    ]
    report.show("Redirects as links grow", columns, rows)


def _show_pages(pages: Sequence[Pages]) -> None:
    columns = ["milliseconds with", *(f"{each.events:,} events" for each in pages)]
    rows = []
    for what in _addresses():
        own = [each.milliseconds[what] for each in pages]
        rows.append([what, *(report.text(each) if each else "not served" for each in own)])
    report.show("Pages as events grow", columns, rows)
