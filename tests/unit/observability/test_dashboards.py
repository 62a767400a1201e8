"""Dashboards are what their source makes, what Grafana's schema knows, what pages name."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.__main__ import DASHBOARDS, FOLDER, render
from tests import observed
from tests.observed import ROOT

FILES = sorted(FOLDER.glob("*.json"))
PAGES = [ROOT / "docs" / "observability.md", *sorted((ROOT / "docs" / "runbooks").glob("*.md"))]
METRICS = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
SERIES_OF_A_HISTOGRAM = re.compile(r"_(?:bucket|sum|count)\Z")
IN_PAGE = re.compile(r"\*(Overview|Redirect path|Event pipeline|Autoscaling|Stores)\*|\"([^\"]+)\"")


def load(file: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


def test_every_dashboard_has_its_file():
    assert {file.stem for file in FILES} == set(DASHBOARDS)


@pytest.mark.parametrize("name", DASHBOARDS)
def test_a_file_is_what_its_source_makes(name: str):
    made = render(DASHBOARDS[name]())

    assert made == (FOLDER / f"{name}.json").read_text(encoding="utf-8"), "run make dashboards"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_grafanas_schema_knows_every_field(file: Path):
    """What the schema does not know is lost on the way through its types."""
    register_default_plugins()
    dashboard = load(file)

    through = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))

    assert through == dashboard


def test_uids_are_stable_and_panels_tell_their_source():
    uids = [load(file)["uid"] for file in FILES]

    assert sorted(uids) == sorted(f"shortwire-{name}" for name in DASHBOARDS)
    for file in FILES:
        dashboard = load(file)
        variables = {f"${{{v['name']}}}" for v in dashboard["templating"]["list"]}
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)
        for panel in dashboard["panels"]:
            sources = [panel["datasource"], *(t["datasource"] for t in panel["targets"])]
            assert {source["uid"] for source in sources} <= variables


def test_the_overview_has_its_eight_panels():
    titles = [panel["title"] for panel in observed.panels(FOLDER / "overview.json")]

    assert titles == [
        "Availability", "Firing alerts", "Request rate", "Error rate", "p95", "Memory", "CPU",
        "Live logs",
    ]  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_panel_that_a_page_names_is_there(page: Path):
    titles = {
        load(file)["title"].removeprefix("Shortwire: "): {p["title"] for p in observed.panels(file)}
        for file in FILES
    }
    text = re.sub(r"```.*?```|`[^`]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for item in re.split(r"\n- |\n\n", text):
        dashboard = None
        for named, panel in IN_PAGE.findall(" ".join(item.split())):
            if named:
                dashboard = named
            elif dashboard:
                assert panel in titles[dashboard], f"{dashboard} has no {panel}"


def test_every_metric_of_ours_that_is_asked_for_is_documented():
    expressions = [rule.expr for rule in observed.rules()]
    expressions += [asked.expr for asked in observed.asked()]
    asked = {name for expression in expressions for name in observed.metric_names(expression)}
    names = {SERIES_OF_A_HISTOGRAM.sub("", name) for name in asked if name.startswith("shortwire_")}

    # The autoscaler, which `make run` does not start, has its list in its own module.
    source = ROOT / "services" / "autoscaler" / "src" / "autoscaler" / "metrics.py"
    documented = METRICS + source.read_text(encoding="utf-8")
    assert len(names) > 50
    assert {name for name in names if not re.search(rf'[`"]{name}[`"]', documented)} == set()
