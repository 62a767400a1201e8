"""The whole system with several streams of clicks, and with another number after a restart."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from shared import streams
from tests.end_to_end.launcher import Launcher, eventually, send
from tests.end_to_end.test_status import told

CLICKS = 30


@contextmanager
def running(data: Path, count: int) -> Iterator[Launcher]:
    limits = {"API_RATE": "10000", "REDIRECT_RATE": "100000"}
    launcher = Launcher(data, CLICK_STREAMS=str(count), REDIRECTORS="2", INGESTS="2", **limits)
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)


def test_clicks_are_counted_once_whatever_the_number_of_streams(tmp_path: Path):
    with running(tmp_path / "data", 3) as system:
        user = {"username": "ada", "email": "ada@example.com"}
        user_id = send(system.url("/users"), "POST", user).json()["id"]
        link = {"user_id": user_id, "original_url": "https://example.com/", "short_code": "many"}
        url = send(system.url("/urls"), "POST", link).json()
        visit(system)
        eventually(lambda: clicks(system, url) == CLICKS)
        assert used(system) == streams.click_streams(3)
        now = told(system)
        assert (now["clicks"]["waiting_entries"], now["clicks"]["dead_letters"]) == (0, 0)

    with running(tmp_path / "data", 1) as system:
        visit(system)
        eventually(lambda: clicks(system, url) == 2 * CLICKS)
        assert used(system) == [streams.CLICKS, *streams.click_streams(3)]


def visit(system: Launcher) -> None:
    for _ in range(CLICKS):
        assert send(system.url("/many")).status == 302


def clicks(system: Launcher, url: dict[str, Any]) -> int:
    return int(send(system.url(f"/urls/{url['id']}/stats")).json()["total"]["clicks"])


def used(system: Launcher) -> list[str]:
    """The streams that were written to."""
    names = [streams.CLICKS, *streams.click_streams(streams.MAX_CLICK_STREAMS)]
    with redis.Redis.from_url(system.stack().bus.url) as bus:
        return [name for name in names if bus.xlen(name)]
