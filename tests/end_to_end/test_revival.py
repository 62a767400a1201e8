import os
import signal
import time

import pytest

from tests.end_to_end.launcher import Launcher, eventually, send


@pytest.fixture(scope="module")
def link(system: Launcher) -> str:
    """The code of a link that is not in any cache by accident."""
    user = {"username": "grace", "email": "grace@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    body = {"user_id": user_id, "original_url": "https://example.com/", "short_code": "revival"}
    assert send(system.url("/urls"), "POST", body).status == 201
    return "revival"


@pytest.mark.parametrize(
    "name", ["gateway", "redirector", "management", "ingest", "postgres", "cache", "bus"]
)
def test_a_killed_part_comes_back_and_the_system_works(system: Launcher, link: str, name: str):
    before = system.parts()[name]
    assert before.pid is not None
    clicks = _clicks(system, link)

    os.kill(before.pid, signal.SIGKILL)

    eventually(lambda: system.parts()[name].pid != before.pid)
    assert system.parts()[name].url == before.url
    eventually(lambda: send(system.url(f"/{link}")).status == 302)
    eventually(lambda: _clicks(system, link) > clicks)
    eventually(lambda: send(system.url("/health/ready")).status == 200)
    assert f"{name}-1 was ended by SIGKILL" in system.printed() or (
        f"{name} was ended by SIGKILL" in system.printed()
    )


def test_what_ends_while_the_disk_is_full_comes_back_at_once(system: Launcher):
    before = system.parts()
    obstacle = system.data / ".stack.json.new"  # where the file is drafted: it can't be written
    obstacle.mkdir()
    try:
        os.kill(before["ingest"].pid or 0, signal.SIGKILL)
        eventually(lambda: f"can't use {system.data}" in system.printed())
        os.kill(before["cache"].pid or 0, signal.SIGKILL)  # while the launcher waits to try again
        began = time.monotonic()
        eventually(lambda: send(system.url("/health/ready")).status != 200)
        eventually(lambda: send(system.url("/health/ready")).status == 200)
        assert time.monotonic() - began < 10, "it was left to housekeeping"
    finally:
        obstacle.rmdir()
    assert system.printed().count(f"can't use {system.data}") == 1

    eventually(lambda: system.parts()["cache"].pid != before["cache"].pid)
    assert system.parts()["ingest"].pid != before["ingest"].pid


def _clicks(system: Launcher, code: str) -> int:
    """Return how many clicks of the link are stored, -1 where that can't be told now."""
    link = send(system.url(f"/urls?short_code={code}"))
    if link.status != 200:
        return -1
    url_id = link.json()[0]["id"]
    events = send(system.url(f"/events?url_id={url_id}&event_type=redirect&per_page=1000"))
    return len(events.json()) if events.status == 200 else -1


def test_with_another_redirector_alive_no_visitor_notices_a_kill(system: Launcher, link: str):
    before = system.parts()["redirector"]
    assert before.pid is not None

    os.kill(before.pid, signal.SIGKILL)
    statuses = [send(system.url(f"/{link}")).status for _ in range(50)]

    assert statuses == [302] * 50
    eventually(lambda: system.parts()["redirector"].pid != before.pid)
