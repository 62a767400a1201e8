"""From the visitor's request to the answer: what was asked, what it took, what was remembered."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.panels import RATE, lines, page, per_second, quantiles

NAME = "shortwire_redirector"


def redirect_path() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Shortwire: Redirect path",
        "shortwire-redirect-path",
        "Near cache, Redis, PostgreSQL: who answers, how fast, and how fresh.",
        lines("Answers by status", "reqps", per_second(f"{NAME}_responses_total", "status")),
        lines(
            "Where answers come from",
            "reqps",
            per_second(f"{NAME}_responses_total", "source"),
            about="stale: nothing could be asked. none: nothing was found, or nobody answered.",
        ),
        lines("Time", "s", *quantiles(f"{NAME}_response_seconds", 0.5, 0.95, 0.99)),
        lines("Time by source", "s", *quantiles(f"{NAME}_response_seconds", 0.95, by="source")),
        lines(
            "Found, by tier",
            "percentunit",
            (
                f'sum by (tier) (rate({NAME}_lookups_total{{result=~"hit|negative"}}[{RATE}]))'
                f" / sum by (tier) (rate({NAME}_lookups_total[{RATE}]))",
                "{{tier}}",
            ),
            about="Of what a tier was asked, what it could tell; that a code is not there counts.",
        ),
        lines("Lookups", "reqps", per_second(f"{NAME}_lookups_total", "tier, result")),
        lines(
            "Time of a store's call",
            "s",
            *quantiles(f"{NAME}_dependency_seconds", 0.95, by="dependency"),
        ),
        lines(
            "Failed calls of stores",
            "reqps",
            per_second(f"{NAME}_dependency_errors_total", "dependency"),
        ),
        lines(
            "Breakers",
            "none",
            (f"max by (dependency) ({NAME}_breaker_open)", "{{dependency}}"),
            about="1: the store is not asked. 0.5: one call tries it.",
        ),
        lines(
            "Near cache",
            "short",
            (f"sum by (instance) ({NAME}_near_cache_links)", "links {{instance}}"),
            (f"sum by (instance) ({NAME}_near_cache_unknown_codes)", "unknown codes {{instance}}"),
        ),
        lines(
            "Near cache: forgotten",
            "reqps",
            per_second(f"{NAME}_near_cache_evictions_total", called="at the limit"),
            per_second(f"{NAME}_near_cache_flushes_total", "reason"),
            about="A flush forgets all, because a change may have been missed.",
        ),
        lines(
            "Age of what is known of changes",
            "s",
            (f"max by (instance) ({NAME}_links_feed_age_seconds)", "{{instance}}"),
            about="Beyond 3 s each link is checked before it is answered.",
        ),
        lines(
            "From a change to the redirectors",
            "s",
            *quantiles(f"{NAME}_link_propagation_seconds", 0.5, 0.99),
        ),
        lines(
            "Cache checked against rows",
            "reqps",
            per_second(f"{NAME}_cache_samples_total", called="compared"),
            per_second(f"{NAME}_cache_inconsistent_total", called="unlike"),
        ),
        lines(
            "Loading from PostgreSQL",
            "short",
            (f"sum({NAME}_loads_in_flight)", "now"),
            per_second(f"{NAME}_loads_refused_total", called="refused a second"),
            per_second(f"{NAME}_leases_taken_total", called="leases taken a second"),
            per_second(f"{NAME}_leases_lost_total", called="leases lost a second"),
        ),
        lines(
            "Traces: spans",
            "reqps",
            *(
                per_second(f"shortwire_trace_spans_{what}_total", called=what)
                for what in ("begun", "sent", "failed")
            ),
            about="Sent fewer than begun: Jaeger is away, or slower than they come.",
        ),
        lines(
            "Gateway: connections",
            "short",
            ("nginx_connections_active", "open"),
            ("nginx_connections_waiting", "idle"),
        ),
        lines("Gateway: requests", "reqps", per_second("nginx_http_requests_total", called="all")),
    )
