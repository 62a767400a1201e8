"""What is killed under load: redirects go on, and every one that was answered is counted once."""

import time

import pytest

from tests.compose.deployment.installation import Installation, run, until
from tests.compose.deployment.visitors import crowd

BEFORE_SECONDS = 2.0
AWAY_SECONDS = 6.0
AFTER_SECONDS = 4.0
LINKS = 10


@pytest.mark.parametrize("victim", ["redirector", "management", "postgres", "cache", "bus"])
def test_a_part_that_is_killed_costs_no_redirect_and_no_click(
    installation: Installation, victim: str
):
    links = installation.make_links(LINKS, f"killed-{victim}")
    container = installation.containers(victim)[0]
    with crowd(installation, links) as visitors:
        time.sleep(BEFORE_SECONDS)

        run(["docker", "kill", container])
        time.sleep(AWAY_SECONDS)
        run(["docker", "start", container])
        time.sleep(AFTER_SECONDS)

    print(f"{victim} killed: {dict(visitors.redirects)}")
    assert set(visitors.redirects) == {"302"}, installation.complaints()
    installation.await_clicks(f"killed-{victim}", visitors.redirects["302"], seconds=90)
    until(
        lambda: all(
            c["State"]["Health"]["Status"] == "healthy" for c in installation.inspect(victim)
        ),
        f"{victim} healthy again",
    )
    installation.await_ready()


def test_clicks_of_a_redirector_that_never_comes_back_are_sent_by_another(
    installation: Installation,
):
    links = installation.make_links(LINKS, "orphan")
    bus, redirectors = installation.containers("bus"), installation.containers("redirector")
    assert len(redirectors) == 2
    with crowd(installation, links) as visitors:
        time.sleep(BEFORE_SECONDS)
        run(["docker", "kill", *bus])  # what comes now stays in the journals
        time.sleep(BEFORE_SECONDS)
        run(["docker", "kill", redirectors[0]])
        run(["docker", "rm", redirectors[0]])
        time.sleep(BEFORE_SECONDS)
        run(["docker", "start", *bus])

    try:
        assert set(visitors.redirects) == {"302"}, installation.complaints()
        installation.await_clicks("orphan", visitors.redirects["302"], seconds=90)
    finally:
        installation.compose("up", "-d", "--no-build", "--wait", "redirector")
