"""A status as a person reads it: the same lines on a terminal and in a pipe."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

from rich.live import Live
from rich.table import Table
from rich.text import Text

from shortwire.scrapes import scrape
from shortwire.stack_file import Stack
from shortwire.status import Status, metrics_urls, status

SECONDS = 1.0
NONE = "-"
UNITS = ("B", "KB", "MB", "GB")


def once(stack: Stack, seconds: float) -> Status:
    """Return what happened within `seconds` from now."""
    urls = metrics_urls(stack)
    before = scrape(urls)
    time.sleep(seconds)
    return status(stack, before, scrape(urls))


def live(read: Callable[[], Stack], seconds: float) -> None:
    """Show it anew every so many seconds until Ctrl-C; `read` ends the program where none runs."""
    before = scrape(metrics_urls(read()))
    with suppress(KeyboardInterrupt), Live(auto_refresh=False) as screen:
        while True:
            time.sleep(seconds)
            stack = read()
            now = scrape(metrics_urls(stack))
            screen.update(table(status(stack, before, now)), refresh=True)
            before = now


def text(now: Status) -> str:
    """Return it as plain text, a line for each thing."""
    lines = [f"{part.name:<14}{part.health:<6}{part.address}" for part in now.parts]
    return "\n".join([*lines, "", *(f"{name:<14}{facts}" for name, facts in _lines(now))])


def table(now: Status) -> Table:
    """Return it for a terminal, what is wrong in red."""
    grid = Table.grid(padding=(0, 2))
    for part in now.parts:
        is_well = part.health == "ok"
        health = Text(part.health, style="green" if is_well else "bold red")
        pid = "" if part.pid is None else f"  pid {part.pid}"
        grid.add_row(Text(part.name), health, Text(f"{part.address}{pid}", style="dim"))
    grid.add_row()
    for name, facts in _lines(now):
        grid.add_row(Text(name, style="bold"), "", Text(facts, style=_style(name, now)))
    return grid


def _style(name: str, now: Status) -> str:
    is_wrong = {
        "redirects": now.redirects.errors_per_second or now.redirects.stale_per_second,
        "api": now.api.errors_per_second,
        "clicks": now.clicks.dropped,
        "lag": now.clicks.dead_letters,
        "changes": now.changes.relay_leaders != 1,
        "webhooks": now.webhooks.dead,
    }
    return "red" if is_wrong[name] else ""


def _lines(now: Status) -> Iterator[tuple[str, str]]:
    redirects, clicks, changes, webhooks = now.redirects, now.clicks, now.changes, now.webhooks
    yield (
        "redirects",
        f"{_rate(redirects.per_second)}, {_rate(redirects.errors_per_second)} errors, "
        f"{_rate(redirects.stale_per_second)} stale, p50 {redirects.p50_ms:.2f} ms, "
        f"p95 {redirects.p95_ms:.2f} ms, hits: near {_share(redirects.near_hit_ratio)}, "
        f"cache {_share(redirects.cache_hit_ratio)}",
    )
    yield (
        "api",
        f"{_rate(now.api.per_second)}, {_rate(now.api.errors_per_second)} errors, "
        f"p95 {now.api.p95_ms:.1f} ms",
    )
    yield (
        "clicks",
        f"{_rate(clicks.recorded_per_second)} recorded, {_rate(clicks.stored_per_second)} stored, "
        f"journal {_bytes(clicks.journal_bytes)} ({_bytes(clicks.unsent_bytes)} unsent), "
        f"{clicks.unwritten:.0f} in memory, {clicks.dropped:.0f} lost",
    )
    yield (
        "lag",
        f"{clicks.waiting_entries:.0f} entries waiting, {clicks.pending_entries:.0f} pending, "
        f"oldest {clicks.oldest_seconds:.1f} s, {clicks.dead_letters:.0f} dead letters",
    )
    yield (
        "changes",
        f"outbox {changes.outbox_rows:.0f} ({changes.outbox_age_seconds:.1f} s), "
        f"{changes.relay_leaders:.0f} leading relay, "
        f"p95 {changes.propagation_p95_ms:.0f} ms to the redirectors",
    )
    yield (
        "webhooks",
        f"{_rate(webhooks.read_per_second)} entries read, "
        f"{_rate(webhooks.delivered_per_second)} delivered, "
        f"{_rate(webhooks.failed_per_second)} failed, {webhooks.dead:.0f} given up, "
        f"p95 {webhooks.p95_ms:.0f} ms",
    )


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}/s" if per_second >= 10 or not per_second else f"{per_second:.1f}/s"


def _share(ratio: float | None) -> str:
    return NONE if ratio is None else f"{ratio:.1%}"


def _bytes(count: float) -> str:
    for unit in UNITS[:-1]:
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} {UNITS[-1]}"
