"""What the running services export, held against docs/reference/metrics.md."""

import re
from functools import partial

import pytest

from tests.end_to_end.launcher import Launcher, eventually, send
from tests.metrics_reference import documented, exported, rows

SECTIONS = {
    "redirector": "redirector",
    "management": "management",
    "ingest": "event-ingest",
    "webhooks": "webhooks",
}
MAX_SERIES = 1_000  # of one service
LONG_TARGET = "https://example.com/long"


@pytest.fixture(scope="module")
def scraped(system: Launcher) -> dict[str, str]:
    """What each service exports after every kind of traffic."""
    user = {"username": "metrics", "email": "metrics@example.com"}
    user_id = send(system.url("/users"), "POST", user).json()["id"]
    link = {"user_id": user_id, "original_url": LONG_TARGET, "short_code": "metered"}
    assert send(system.url("/urls"), "POST", link).status == 201
    for path in ("/metered", "/metered", "/urls/metered/redirect", "/nothing-there", "/a/b"):
        send(system.url(path))
    send(system.url("/urls"), "BREW")
    parts = system.parts()
    for redirector in system.stack().redirectors:
        for path in ("/metered", "/health", "/health/ready"):
            eventually(partial(is_fine, redirector.url + path))
    eventually(lambda: 'shortwire_ingest_consumers{stream="clicks"} 1.0\n' in ingest(system))
    eventually(lambda: "shortwire_ingest_events_stored_total 0.0\n" not in ingest(system))
    eventually(lambda: any(sent(each) for each in redirectors(system)))
    return {
        "redirector": next(each for each in redirectors(system) if sent(each)),
        "management": text(parts["management"].metrics),
        "ingest": ingest(system),
        "webhooks": text(system.stack().webhooks.metrics),
    }


def is_fine(url: str) -> bool:
    return send(url).status in {200, 302}


def text(url: str | None) -> str:
    assert url is not None
    return send(url).body.decode()


def ingest(system: Launcher) -> str:
    return text(system.parts()["ingest"].metrics)


def redirectors(system: Launcher) -> list[str]:
    return [text(part.metrics) for part in system.stack().redirectors]


def sent(metrics: str) -> bool:
    return "shortwire_redirector_clicks_sent_total 0.0\n" not in metrics


@pytest.mark.parametrize("service", SECTIONS)
def test_a_service_exports_what_the_reference_says(scraped: dict[str, str], service: str):
    found, _, _ = exported(scraped[service])

    promised = documented("Every service") | documented(SECTIONS[service])

    assert sorted(found - promised) == [], "exported, and not on the page"
    assert sorted(promised - found) == [], "on the page, and not exported"


@pytest.mark.parametrize("service", SECTIONS)
def test_labels_have_few_values(scraped: dict[str, str], service: str):
    _, values, series = exported(scraped[service])
    closed = {
        cells[0].strip("` "): set(re.findall(r"`([^`]+)`", cells[1])) for cells in rows("Labels")
    }

    assert series < MAX_SERIES
    for label, few in closed.items():
        if label not in {"route", "status"}:
            assert values.get(label, set()) <= few, label
    assert all("metered" not in value for each in values.values() for value in each)


def test_each_route_has_rate_errors_and_duration(scraped: dict[str, str]):
    _, of_redirector, _ = exported(scraped["redirector"])
    _, of_management, _ = exported(scraped["management"])

    assert {"/{code}", "/health/ready"} <= of_redirector["route"]
    assert {"/users", "/urls", "other"} <= of_management["route"]
    for name, service in (
        ("redirector_response_seconds", "redirector"),
        ("management_request_seconds", "management"),
    ):
        assert f'shortwire_{name}_bucket{{le="0.0005",route="' in scraped[service]
