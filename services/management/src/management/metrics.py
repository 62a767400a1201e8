"""Management's metrics, each declared once; docs/reference/metrics.md explains them."""

from prometheus_client import Counter, Gauge, Histogram

from shared.observation import Answered

REQUESTS = Counter(
    "shortwire_management_requests_total", "Requests.", ["route", "method", "status"]
)
SECONDS = Histogram(
    "shortwire_management_request_seconds",
    "Time from request to answer.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
RATE_LIMITED = Counter(
    "shortwire_management_rate_limited_total", "Requests beyond a limit, answered 429.", ["limit"]
)
RATE_UNCHECKED = Counter(
    "shortwire_management_rate_unchecked_total", "Limits not checked: Redis was away."
)
LEFT_TO_RELAY = Counter(
    "shortwire_management_left_to_relay_total", "Changes their own request could not announce."
)
LIVE_LISTENERS = Gauge("shortwire_management_live_listeners", "Open streams of live clicks.")
LIVE_DROPPED = Counter(
    "shortwire_management_live_dropped_total", "Streams ended because their client was too slow."
)
RELAY_LEADER = Gauge("shortwire_management_relay_leader", "1 in the process whose relay leads.")
RELAY_FAILURES = Counter("shortwire_management_relay_failures_total", "Failed applies or sends.")
OUTBOX_ROWS = Gauge(
    "shortwire_management_outbox_rows", "Changes not yet announced, as the leader sees them."
)
OUTBOX_AGE_SECONDS = Gauge(
    "shortwire_management_outbox_age_seconds", "Age of the oldest change not yet announced."
)
PROPAGATION_SECONDS = Histogram(
    "shortwire_management_relay_propagation_seconds",
    "From the change to the relay's announcement of it.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)


def note(answered: Answered) -> None:
    """Count a request and its time."""
    REQUESTS.labels(answered.route, answered.method, answered.status).inc()
    SECONDS.labels(answered.route).observe(answered.seconds)


# A series that is there from the start, at zero, can be alerted on when it first moves.
for _limit in ("address", "key", "failed keys"):
    RATE_LIMITED.labels(_limit)
