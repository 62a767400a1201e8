"""Metrics of event-ingest, each declared once; docs/reference/metrics.md explains them."""

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from shared import streams
from shared.events import DeadReason

STORED = Counter("shortwire_ingest_events_stored_total", "Clicks inserted.")
DUPLICATES = Counter("shortwire_ingest_duplicates_total", "Clicks that were stored before.")
DEAD = Counter("shortwire_ingest_dead_letters_total", "Clicks or entries put aside.", ["reason"])
BATCH_EVENTS = Histogram(
    "shortwire_ingest_batch_events",
    "Clicks of one transaction.",
    buckets=(1, 10, 50, 100, 500, 1_000, 2_000, 5_000, 10_000),
)
STORE_SECONDS = Histogram(
    "shortwire_ingest_store_seconds",
    "Time of one transaction.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
CLICK_TO_ROW_SECONDS = Histogram(
    "shortwire_ingest_click_to_row_seconds",
    "From a batch's oldest click to its committed row.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0, 600.0),
)
RETRIES = Counter("shortwire_ingest_retries_total", "Pauses because a store was away.", ["store"])
AGENTS_SKIPPED = Counter(
    "shortwire_ingest_user_agents_skipped_total",
    "Clicks whose User-Agent was not looked at: too many new ones at once.",
)
CLAIMED = Counter("shortwire_ingest_claimed_total", "Entries taken over from other consumers.")
PARTITIONS = Counter("shortwire_ingest_partitions_made_total", "Missing partitions made.")
WAITING = Gauge(
    "shortwire_ingest_stream_waiting_entries", "Entries not yet read by the group.", ["stream"]
)
PENDING = Gauge(
    "shortwire_ingest_pending_entries", "Entries read and not acknowledged.", ["stream"]
)
OLDEST_PENDING_SECONDS = Gauge(
    "shortwire_ingest_oldest_pending_seconds",
    "Age of the oldest entry not acknowledged.",
    ["stream"],
)
OLDEST_WAITING_SECONDS = Gauge(
    "shortwire_ingest_oldest_waiting_seconds", "Age of the oldest entry not yet read.", ["stream"]
)
STREAM_ENTRIES = Gauge(
    "shortwire_ingest_stream_entries",
    "Entries on the stream, acknowledged ones included.",
    ["stream"],
)
CONSUMERS = Gauge("shortwire_ingest_consumers", "Consumers the group knows.", ["stream"])
DEAD_WAITING = Gauge("shortwire_ingest_dead_letters_waiting", "Dead letters nobody has decided on.")
PARTITIONS_AT = Gauge(
    "shortwire_ingest_partitions_ensured_timestamp_seconds",
    "When the partitions of the week ahead were last seen to be there.",
)
TOTALS_AT = Gauge(
    "shortwire_ingest_totals_timestamp_seconds",
    "When what clicks were noted was last seen to be in the totals of links.",
)
DAYS_AT = Gauge(
    "shortwire_ingest_days_timestamp_seconds",
    "When the days of all links that are over were last seen to be summed up.",
)
LOOPED_AT = Gauge(
    "shortwire_ingest_last_loop_timestamp_seconds", "When the loop last turned.", ["stream"]
)

# A series that is there from the start, at zero, can be alerted on when it first moves.
for _reason in get_args(DeadReason):
    DEAD.labels(_reason)
for _store in ("bus", "database"):
    RETRIES.labels(_store)
for _gauge in (
    WAITING,
    PENDING,
    OLDEST_WAITING_SECONDS,
    OLDEST_PENDING_SECONDS,
    STREAM_ENTRIES,
    CONSUMERS,
    LOOPED_AT,
):
    _gauge.labels(streams.CLICKS)
