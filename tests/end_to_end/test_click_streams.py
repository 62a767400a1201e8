"""The whole system with several streams of clicks, and with another number after a restart."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from shared import streams
from tests.end_to_end.launcher import Launcher, eventually, send
from tests.end_to_end.test_status import told
from tests.redis_cluster import LocalCluster

CLICKS = 30
GATHER_SECONDS = 0.02  # clicks within it share a frame, and there are to be some for each stream


@contextmanager
def running(data: Path, count: int, **settings: str) -> Iterator[Launcher]:
    several = {"CLICK_STREAMS": str(count), "REDIRECTORS": "2", "INGESTS": "2"}
    limits = {"API_RATE": "10000", "REDIRECT_RATE": "100000"}
    launcher = Launcher(data, **several, **limits, **settings)
    try:
        yield launcher.wait_ready()
    finally:
        launcher.end(signal.SIGTERM)


def test_clicks_are_counted_once_whatever_the_number_of_streams(tmp_path: Path):
    with running(tmp_path / "data", 3) as system:
        url = link(system)
        visit(system)
        eventually(lambda: clicks(system, url) == CLICKS)
        assert used(system) == streams.click_streams(3)
        now = told(system)
        assert (now["clicks"]["waiting_entries"], now["clicks"]["dead_letters"]) == (0, 0)

    with running(tmp_path / "data", 1) as system:
        visit(system)
        eventually(lambda: clicks(system, url) == 2 * CLICKS)
        assert used(system) == [streams.CLICKS, *streams.click_streams(3)]


async def test_the_whole_system_runs_on_clusters_and_tells_that_a_node_is_away(
    tmp_path: Path, cluster: LocalCluster, bus_cluster: LocalCluster
):
    addresses = {"CACHE_URL": cluster.url, "BUS_URL": bus_cluster.url}
    with running(tmp_path / "data", 4, **addresses) as system:
        url = link(system)
        visit(system)
        eventually(lambda: clicks(system, url) == CLICKS)
        change = {"original_url": "https://example.com/new"}
        assert send(system.url(f"/urls/{url['id']}"), "PUT", change).status == 200
        eventually(lambda: leads_to(system) == change["original_url"])
        whole = healths(system)
        bus_cluster.kill(0)
        try:
            without = healths(system)
        finally:
            await bus_cluster.revive(0)

    assert (whole["cache"], whole["bus"]) == ("ok", "ok")
    assert (without["cache"], without["bus"]) == ("ok", "away")


def healths(system: Launcher) -> dict[str, str]:
    return {part["name"]: part["health"] for part in told(system)["parts"]}


def leads_to(system: Launcher) -> str | None:
    return send(system.url("/many")).headers["location"]


def link(system: Launcher) -> Any:
    user = {"username": "ada", "email": "ada@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    wanted = {"user_id": user_id, "original_url": "https://example.com/", "short_code": "many"}
    return send(system.url("/urls"), "POST", wanted).json()


def visit(system: Launcher) -> None:
    for _ in range(CLICKS):
        assert send(system.url("/many")).status == 302
        time.sleep(GATHER_SECONDS)


def clicks(system: Launcher, url: dict[str, Any]) -> int:
    return int(send(system.url(f"/urls/{url['id']}/stats")).json()["total"]["clicks"])


def used(system: Launcher) -> list[str]:
    """The streams that were written to."""
    names = [streams.CLICKS, *streams.click_streams(streams.MAX_CLICK_STREAMS)]
    with redis.Redis.from_url(system.stack().bus.url) as bus:
        return [name for name in names if bus.xlen(name)]
