"""Rules, their tests and their runbooks belong together; what needs no tool of Prometheus."""

import re
from pathlib import Path

import pytest

from tests import observed
from tests.observed import ROOT, Alert

RUNBOOKS = ROOT / "docs" / "runbooks"
SECTIONS = ("It means:", "Visitors notice:", "Look at", "Do")
ALERTS = observed.alerts()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.alert)
def test_an_alert_names_its_runbook_and_its_service(alert: Alert):
    assert alert.annotations.runbook_url == f"docs/runbooks/{alert.alert}.md"
    assert (ROOT / alert.annotations.runbook_url).exists()
    of_result = "service:" in alert.expr or "by (service)" in alert.expr
    assert alert.labels.service or of_result, "inhibition goes by service"
    assert observed.without_thresholds(alert.expr) != alert.expr, "it would always fire"


@pytest.mark.parametrize("name", sorted({alert.alert for alert in ALERTS}))
def test_an_alert_is_tried_firing_and_not_firing(name: str):
    fires = {bool(case.exp_alerts) for case in observed.cases() if case.alertname == name}

    assert fires == {True, False}


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_a_runbook_is_of_an_alert_and_says_what_to_do(page: Path):
    text = page.read_text(encoding="utf-8")

    assert page.stem in {alert.alert for alert in ALERTS}
    assert text.startswith(f"# {page.stem}\n")
    places = [text.find(f"**{section}") for section in SECTIONS]
    assert -1 not in places
    assert places == sorted(places)
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert (page.parent / link).exists(), link


def test_every_record_that_is_asked_for_exists():
    recorded = {rule.record for rule in observed.rules() if isinstance(rule, observed.Record)}
    asked = {name for rule in observed.rules() for name in observed.metric_names(rule.expr)}

    assert {name for name in asked if ":" in name} <= recorded
