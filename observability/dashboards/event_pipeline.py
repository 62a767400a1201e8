"""From a click to its row, and from a change to everybody's knowledge of it."""

from grafana_foundation_sdk.models.dashboard import Dashboard

from observability.dashboards.panels import RATE, lines, page, per_second, quantiles


def event_pipeline() -> Dashboard:
    """Return the dashboard."""
    return page(
        "Shortwire: Event pipeline",
        "shortwire-event-pipeline",
        "Journal, bus, PostgreSQL; outbox, relay, caches: nothing lost, doubled or late.",
        lines(
            "Clicks in and out",
            "reqps",
            per_second("shortwire_redirector_clicks_total", called="recorded"),
            per_second("shortwire_redirector_clicks_sent_total", called="on the bus"),
            per_second("shortwire_ingest_events_stored_total", called="stored"),
        ),
        lines(
            "From click to row", "s", *quantiles("shortwire_ingest_click_to_row_seconds", 0.5, 0.99)
        ),
        lines(
            "Waiting on the bus",
            "short",
            ("sum(max by (stream) (shortwire_ingest_stream_waiting_entries))", "unread"),
            ("sum(max by (stream) (shortwire_ingest_pending_entries))", "not acknowledged"),
            about="Entries; one holds many clicks.",
        ),
        lines(
            "Waiting on the bus: the oldest",
            "s",
            ("max(shortwire_ingest_oldest_waiting_seconds)", "unread"),
            ("max(shortwire_ingest_oldest_pending_seconds)", "not acknowledged"),
            about="Alerts at 30 and 60 s.",
        ),
        lines(
            "Journals",
            "bytes",
            (
                "sum by (instance) (shortwire_redirector_journal_unsent_bytes)",
                "unsent {{instance}}",
            ),
            ("sum by (instance) (shortwire_redirector_journal_bytes)", "all {{instance}}"),
            about="Clicks on the redirectors' disk. 512 MB are the limit of each.",
        ),
        lines(
            "Lost clicks",
            "short",
            (
                "sum by (reason) (increase(shortwire_redirector_clicks_dropped_total[1h]))",
                "{{reason}}",
            ),
            about="Within the hour before. Anything but 0 alerts.",
        ),
        lines(
            "Tries that the bus or the disk refused",
            "reqps",
            per_second("shortwire_redirector_send_failures_total", called="bus"),
            per_second("shortwire_redirector_journal_errors_total", called="disk"),
        ),
        lines(
            "Dead letters",
            "short",
            ("max(shortwire_ingest_dead_letters_waiting)", "undecided"),
            ("sum by (reason) (increase(shortwire_ingest_dead_letters_total[1h]))", "{{reason}}"),
            about="Clicks that cannot be stored: those that wait, and those of the hour before.",
        ),
        lines(
            "Pauses because a store was away",
            "reqps",
            per_second("shortwire_ingest_retries_total", "store"),
        ),
        lines(
            "Time of one transaction", "s", *quantiles("shortwire_ingest_store_seconds", 0.5, 0.99)
        ),
        lines(
            "Clicks of one transaction",
            "short",
            (
                f"sum(rate(shortwire_ingest_batch_events_sum[{RATE}]))"
                f" / sum(rate(shortwire_ingest_batch_events_count[{RATE}]))",
                "on average",
            ),
        ),
        lines(
            "Seen before",
            "reqps",
            per_second("shortwire_ingest_duplicates_total", called="clicks sent twice"),
            per_second("shortwire_ingest_claimed_total", called="entries taken over"),
            about="Both are normal after something was killed; neither is counted twice.",
        ),
        lines(
            "Outbox: oldest change",
            "s",
            (
                "max(shortwire_management_outbox_age_seconds"
                " * on (instance) shortwire_management_relay_leader)",
                "age",
            ),
            about="Alerts above 5 s.",
        ),
        lines(
            "Relay",
            "short",
            ("sum(shortwire_management_relay_leader)", "leaders"),
            (
                "sum(shortwire_management_outbox_rows"
                " * on (instance) shortwire_management_relay_leader)",
                "changes waiting",
            ),
            per_second("shortwire_management_relay_failures_total", called="failures a second"),
            per_second("shortwire_management_left_to_relay_total", called="left to it a second"),
        ),
        lines(
            "From a change to its announcement",
            "s",
            *quantiles("shortwire_management_relay_propagation_seconds", 0.5, 0.99),
        ),
        lines("API: requests", "reqps", per_second("shortwire_management_requests_total", "route")),
        lines(
            "API: time", "s", *quantiles("shortwire_management_request_seconds", 0.95, by="route")
        ),
        lines(
            "API: answers by status",
            "reqps",
            per_second("shortwire_management_requests_total", "status"),
        ),
    )
