"""What the running services export, held against docs/reference/metrics.md."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.end_to_end.launcher import Launcher, eventually, send

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "metrics.md"
SECTIONS = {"redirector": "redirector", "management": "management", "ingest": "event-ingest"}
MAX_SERIES = 1_000  # of one service
LONG_TARGET = "https://example.com/long"


class Family(msgspec.Struct, frozen=True, order=True):
    """A metric as Prometheus sees it; `labels` without a bucket's `le`."""

    name: str
    type: str
    labels: tuple[str, ...]


def rows(section: str) -> Iterator[list[str]]:
    """The cells of a section's table."""
    (content,) = re.findall(
        rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    for line in content.splitlines():
        if line.startswith("| `"):
            yield [cell.strip() for cell in line.strip("|").split(" | ")]


def documented(section: str) -> set[Family]:
    return {
        Family(name.strip("` "), kind, tuple(sorted(re.findall(r"`(\w+)`", labels))))
        for name, kind, labels, _ in (
            (cells[0], cells[1], " ".join(cells[2:-1]), cells[-1]) for cells in rows(section)
        )
    }


def exported(text: str) -> tuple[set[Family], dict[str, set[str]], int]:
    """The families, the values of each label, and the number of series."""
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    families: set[Family] = set()
    values: dict[str, set[str]] = {}
    series = 0
    for metric in text_string_to_metric_families(text):
        name = metric.name if metric.name in types else f"{metric.name}_total"
        names: set[str] = set()
        for sample in metric.samples:
            series += 1
            names |= set(sample.labels) - {"le"}
            for label, value in sample.labels.items():
                values.setdefault(label, set()).add(value)
        families.add(Family(name, types[name], tuple(sorted(names))))
    return families, values, series


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
    eventually(lambda: "shortwire_ingest_consumers 1.0\n" in ingest(system))
    eventually(lambda: "shortwire_ingest_events_stored_total 0.0\n" not in ingest(system))
    eventually(lambda: any(sent(each) for each in redirectors(system)))
    return {
        "redirector": next(each for each in redirectors(system) if sent(each)),
        "management": text(parts["management"].metrics),
        "ingest": ingest(system),
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
