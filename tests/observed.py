"""What `observability/` asks of Prometheus: the expressions of rules, tests and dashboards."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

ROOT = Path(__file__).parents[1]
PROMETHEUS = ROOT / "observability" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
DASHBOARDS = sorted((ROOT / "observability" / "grafana" / "dashboards").glob("*.json"))
RULE_TESTS = sorted((PROMETHEUS / "rules" / "tests").glob("*.yml"))


class AlertLabels(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`service` stands here, or is a label of what the expression returns."""

    severity: Literal["critical", "warning"]
    service: str | None = None


class Annotations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    summary: str
    runbook_url: str


class Alert(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    alert: str
    expr: str
    labels: AlertLabels
    annotations: Annotations
    pending: str = msgspec.field(name="for", default="0s")


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    record: str
    expr: str
    labels: dict[str, str] = {}


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """When an alert of a promtool test is looked at, and which are expected to fire then."""

    eval_time: str
    alertname: str
    exp_alerts: list[Any]


def _groups(file: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = msgspec.yaml.decode(file.read_bytes())["groups"]
    return groups


def rules() -> Iterator[Alert | Record]:
    """Every rule; raises `msgspec.ValidationError` where one lacks what each must have."""
    for file in RULES:
        for group in _groups(file):
            for rule in group["rules"]:
                if "alert" in rule:
                    yield msgspec.convert(rule, Alert)
                else:
                    yield msgspec.convert(rule, Record)


def alerts() -> list[Alert]:
    return [rule for rule in rules() if isinstance(rule, Alert)]


def cases() -> list[Case]:
    """Every look at an alert in the rules' tests."""
    return [
        msgspec.convert(case, Case)
        for file in RULE_TESTS
        for test in msgspec.yaml.decode(file.read_bytes())["tests"]
        for case in test["alert_rule_test"]
    ]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """An expression of a panel, and the language of its datasource."""

    dashboard: str
    panel: str
    language: str
    expr: str

    def __str__(self) -> str:
        return f"{self.dashboard}: {self.panel}: {self.expr}"


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(file.read_bytes())["panels"]
    return found


def asked() -> list[Asked]:
    """Every expression of every dashboard."""
    return [
        Asked(
            dashboard=file.stem,
            panel=panel["title"],
            language=target["datasource"]["type"],
            expr=target["expr"],
        )
        for file in DASHBOARDS
        for panel in panels(file)
        for target in panel["targets"]
    ]


COMPARISON = re.compile(r"\s(?:==|!=|>=|<=|>|<)\s+-?[\d.]+")
NAME = re.compile(
    r"(?<![\w:\"])(?:(?:shortwire|process|python|redis|pg|nginx|probe|node|alertmanager|prometheus)_\w+"
    r"|(?:service|filesystem):[\w:]+|up)(?![\w:(\"])"
)


def without_thresholds(expression: str) -> str:
    """What an alert compares with its thresholds: data whether it fires or not."""
    return COMPARISON.sub("", expression)


def metric_names(expression: str) -> set[str]:
    """The metrics an expression asks for, by the prefixes that we know."""
    return set(NAME.findall(expression))
