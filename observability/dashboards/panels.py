"""The kinds of panel that our dashboards are made of; what all of them have is said here, once."""

import json
from typing import TypeAlias
from urllib.parse import quote

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import logs, loki, prometheus, stat, table, timeseries
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "shortwire"
RATE = "$__rate_interval"  # what Grafana thinks fit for the span that is shown
HEIGHT = 8
WHOLE_WIDTH, HALF, THIRD = 24, 12, 8
LOGS_HEIGHT = 12
PROMETHEUS = common.DataSourceRef("prometheus", "${prometheus}")
LOKI = common.DataSourceRef("loki", "${loki}")
REF_IDS = "ABCDEFGH"

Panel: TypeAlias = timeseries.Panel | stat.Panel | table.Panel | logs.Panel
Query: TypeAlias = tuple[str, str]
"""An expression, and how its series are named: `{{label}}` stands for a label's value."""


def _queries(queries: tuple[Query, ...], *, is_instant: bool = False) -> list[prometheus.Dataquery]:
    made = []
    for ref_id, (expression, legend) in zip(REF_IDS, queries, strict=False):
        query = prometheus.Dataquery().ref_id(ref_id).datasource(PROMETHEUS).expr(expression)
        query.legend_format(legend)
        made.append(query.instant() if is_instant else query.range())
    return made


def lines(
    title: str, unit: str, *queries: Query, about: str = "", width: int = THIRD
) -> timeseries.Panel:
    """Return a panel of numbers over time; `unit` is one of Grafana's."""
    return (
        timeseries.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .unit(unit)
        .min(0)
        .line_width(1)
        .fill_opacity(10)
        .legend(common_builders.VizLegendOptions().show_legend(True).placement(_BOTTOM))
        .tooltip(common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI))
        .targets([*_queries(queries)])
        .height(HEIGHT)
        .span(width)
    )


_BOTTOM = common.LegendPlacement.BOTTOM


def health(title: str, *queries: Query, about: str, width: int = HALF) -> stat.Panel:
    """Return a panel of how many there are now; none is red."""
    steps = [dashboard.Threshold(color="red"), dashboard.Threshold(value=1, color="green")]
    return (
        stat.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .thresholds(builders.ThresholdsConfig().mode(_ABSOLUTE).steps(steps))
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .targets([*_queries(queries, is_instant=True)])
        .height(HEIGHT)
        .span(width)
    )


_ABSOLUTE = dashboard.ThresholdsMode.ABSOLUTE


def rows(title: str, expression: str, *, hidden: tuple[str, ...], about: str) -> table.Panel:
    """Return a table of the labels of what there is now, without the `hidden` ones."""
    query = prometheus.Dataquery().ref_id("A").datasource(PROMETHEUS).expr(expression)
    organize = dashboard.DataTransformerConfig(
        id_val="organize", options={"excludeByName": dict.fromkeys(hidden, True)}
    )
    return (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(PROMETHEUS)
        .with_target(query.format(PromQueryFormat.TABLE).instant())
        .transformations([organize])
        .no_value("Nothing fires")
        .height(HEIGHT)
        .span(HALF)
    )


def log_lines(title: str, expression: str) -> logs.Panel:
    """Return the newest lines first; one with a trace leads to it."""
    return (
        logs.Panel()
        .title(title)
        .datasource(LOKI)
        .with_target(loki.Dataquery().ref_id("A").datasource(LOKI).expr(expression))
        .show_time(True)
        .enable_log_details(True)
        .sort_order(common.LogsSortOrder.DESCENDING)
        .height(LOGS_HEIGHT)
        .span(WHOLE_WIDTH)
    )


def quantiles(name: str, *shares: float, by: str = "") -> list[Query]:
    """Return queries for quantiles of a histogram, in all or for each value of `by`."""
    labels = f"le, {by}" if by else "le"
    return [
        (
            f"histogram_quantile({share}, sum by ({labels}) (rate({name}_bucket[{RATE}])))",
            f"p{share * 100:g}" + (f" {{{{{by}}}}}" if by else ""),
        )
        for share in shares
    ]


def per_second(name: str, by: str = "", *, called: str = "") -> Query:
    """Return a query for how fast a counter grows, in all or for each value of `by`."""
    of = f" by ({by})" if by else ""
    legend = " ".join(f"{{{{{label}}}}}" for label in by.split(", ")) if by else called
    return f"sum{of} (rate({name}[{RATE}]))", legend


def _explore(datasource: str, query: dict[str, str]) -> str:
    panes = {"a": {"datasource": datasource, "queries": [{"refId": "A", **query}]}}
    return f"/explore?schemaVersion=1&panes={quote(json.dumps(panes, separators=(',', ':')))}"


def page(title: str, uid: str, about: str, *panels: Panel) -> dashboard.Dashboard:
    """Return a dashboard with links to the others, to logs and to traces."""
    made = (
        builders.Dashboard(title)
        .uid(uid)
        .description(about)
        .tags([TAG])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("15s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .variables(
            [
                builders.DatasourceVariable(kind).label(kind.capitalize()).type(kind)
                for kind in ("prometheus", "loki")
            ]
        )
        .links(
            [
                builders.DashboardLink("Dashboards")
                .type(dashboard.DashboardLinkType.DASHBOARDS)
                .tags([TAG])
                .as_dropdown(True)
                .keep_time(True),
                _link("Logs", "loki", {"expr": '{level=~"error|warning"}'}),
                _link("Traces", "jaeger", {"queryType": "search", "service": "redirector"}),
            ]
        )
    )
    for number, panel in enumerate(panels, start=1):
        made.with_panel(panel.id(number))
    return made.build()


def _link(title: str, datasource: str, query: dict[str, str]) -> builders.DashboardLink:
    link = builders.DashboardLink(title).type(dashboard.DashboardLinkType.LINK)
    return link.url(_explore(datasource, query)).keep_time(True).icon("external link")
