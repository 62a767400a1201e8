"""Is all well? The first page that anyone opens."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.panels import HALF, RATE, health, lines, log_lines, page, rows

OURS = "redirector|management|event-ingest|autoscaler"


def overview() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Shortwire: Overview",
        "shortwire-overview",
        "Who is there, who complains, how much, how well, at what cost, and what they say.",
        health(
            "Availability",
            (f'sum by (job) (up{{job=~"{OURS}"}})', "{{job}}"),
            ("sum by (job) (nginx_up)", "{{job}}"),
            ("sum by (job) (pg_up)", "{{job}}"),
            ("sum by (job) (redis_up)", "{{job}}"),
            about="Replicas that answer Prometheus; stores and the gateway, whether they answer.",
        ),
        rows(
            "Firing alerts",
            'ALERTS{alertstate="firing"}',
            hidden=("Time", "Value", "__name__", "alertstate", "job"),
            about="Each has its page in docs/runbooks.",
        ),
        lines(
            "Request rate",
            "reqps",
            ("service:requests:rate1m", "{{service}}"),
            about="Answers a second.",
        ),
        lines(
            "Error rate",
            "percentunit",
            ("service:errors:ratio_rate5m", "{{service}}"),
            about="The share of answers that were 5xx. Alerts above 5 %.",
        ),
        lines(
            "p95",
            "s",
            ("service:latency_p95:rate5m", "{{service}}"),
            about="Nineteen answers of twenty take less. Alerts above half a second.",
        ),
        lines(
            "Memory",
            "bytes",
            (f'process_resident_memory_bytes{{job=~"{OURS}"}}', "{{job}} {{instance}}"),
            ("redis_memory_used_bytes", "{{job}}"),
            about="A container of ours may have 384 MB.",
            width=HALF,
        ),
        lines(
            "CPU",
            "none",
            (
                f'rate(process_cpu_seconds_total{{job=~"{OURS}"}}[{RATE}])',
                "{{job}} {{instance}}",
            ),
            about="Cores in use. A container of ours may have 0.75.",
            width=HALF,
        ),
        log_lines("Live logs", f'{{service=~"{OURS}"}}'),
    )
