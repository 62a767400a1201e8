"""docs/reference/metrics.md as data, and what a service exports, to be compared."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from prometheus_client.parser import text_string_to_metric_families

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"


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
