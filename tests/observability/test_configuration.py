"""Configuration, rules and routes, as Prometheus's and Alertmanager's own tools read them."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.observability import tools
from tests.observed import PROMETHEUS, ROOT, RULE_TESTS, RULES

ALERTMANAGER = ROOT / "observability" / "alertmanager"
WEBHOOK = "http://127.0.0.1:9/webhook"
MAIL = {
    "ALERT_MAIL_TO": "ops@example.com",
    "ALERT_SMTP": "mail.example.com:587",
    "ALERT_SMTP_USER": "shortwire",
}


def render(folder: Path, webhook: str = "", **settings: str) -> Path:
    """The configuration that the start script makes of these settings."""
    secret, rendered = folder / "webhook", folder / "alertmanager.yml"
    secret.write_text(webhook)
    subprocess.run(
        [ALERTMANAGER / "start.sh"],
        env={
            "PATH": os.environ["PATH"],
            "CONFIG_DIR": str(ALERTMANAGER),
            "RENDERED": str(rendered),
            "DISCORD_WEBHOOK_FILE": str(secret),
            "ALERTMANAGER": "true",
            **settings,
        },
        check=True,
        timeout=10,
    )
    return rendered


def test_prometheus_accepts_its_configuration_and_rules():
    tools.run("promtool", "check", "config", PROMETHEUS / "prometheus.yml")
    tools.run("promtool", "check", "rules", "--lint-fatal", *RULES)


@pytest.mark.parametrize("file", RULE_TESTS, ids=lambda file: file.stem)
def test_alerts_fire_when_they_should_and_only_then(file: Path):
    tools.run("promtool", "test", "rules", file)


@pytest.mark.parametrize("webhook", ["", WEBHOOK], ids=["", "discord"])
@pytest.mark.parametrize("mail", [{}, MAIL], ids=["", "mail"])
def test_alertmanager_accepts_any_set_of_receivers(
    tmp_path: Path, webhook: str, mail: dict[str, str]
):
    rendered = render(tmp_path, webhook, **mail)

    said = tools.run("amtool", "check-config", rendered)

    assert "2 receivers" in said
    text = rendered.read_text()
    assert text.count(f"webhook_url: '{WEBHOOK}'") == (2 if webhook else 0)
    assert text.count("to: 'ops@example.com'") == (2 if mail else 0)
    assert rendered.stat().st_mode & 0o077 == 0, "it may hold a secret"


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=ServiceDown", "service=redirector", "severity=critical"], "critical"),
        (["alertname=HighLatency", "service=redirector", "severity=warning"], "warning"),
        (["alertname=OfSomebodyElse"], "warning"),
    ],
)
def test_an_alert_goes_where_its_severity_says(tmp_path: Path, labels: list[str], receiver: str):
    rendered = render(tmp_path, WEBHOOK)

    said = tools.run(
        "amtool", "config", "routes", "test", "--config.file", rendered,
        "--verify.receivers", receiver, *labels,
    )  # fmt: skip

    assert said.strip() == receiver
