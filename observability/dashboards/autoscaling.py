"""How many replicas there are, how many are wanted, and why."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.panels import HALF, lines, page, per_second

NAME = "shortwire_autoscaler"


def autoscaling() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Shortwire: Autoscaling",
        "shortwire-autoscaling",
        "Load, decisions, replicas.",
        lines(
            "Load",
            "percentunit",
            (f"max by (service, signal) ({NAME}_load_ratio)", "{{service}} {{signal}}"),
            about="Above 0.7 one more is wanted, below 0.3 one less.",
            width=HALF,
        ),
        lines(
            "Replicas",
            "short",
            (f"max by (service, state) ({NAME}_replicas)", "{{service}} {{state}}"),
            (f"max by (service) ({NAME}_wanted_replicas)", "{{service}} wanted"),
            width=HALF,
        ),
        lines("Replicas that answer Prometheus", "short", ("service:replicas:up", "{{service}}")),
        lines(
            "Requests of each replica",
            "reqps",
            ("service:requests:rate1m / on (service) service:replicas:up", "{{service}}"),
        ),
        lines(
            "Decisions", "reqps", per_second(f"{NAME}_decisions_total", "service, action, reason")
        ),
        lines("Failures", "reqps", per_second(f"{NAME}_failures_total", "step")),
        lines("Leader", "short", (f"sum({NAME}_leader)", "leaders"), about="One, or nobody acts."),
        lines(
            "Since it last looked",
            "s",
            (f"time() - max({NAME}_last_poll_timestamp_seconds)", "age"),
        ),
    )
