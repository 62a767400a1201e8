import re
from pathlib import Path

from prometheus_client import Counter, Gauge

from autoscaler import metrics

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "metrics.md"


def test_the_reference_says_what_is_exported():
    declared = {
        (family.name + "_total" * (family.type == "counter"), family.type)
        for each in vars(metrics).values()
        if isinstance(each, Counter | Gauge)
        for family in each.collect()
    }

    rows = re.findall(r"^\| `(shortwire_autoscaler_\w+)` \| (\w+) \|", PAGE.read_text(), re.M)

    assert sorted(declared) == sorted(rows)
