"""Metrics of the autoscaler, each declared once."""

from prometheus_client import Counter, Gauge

DECISIONS = Counter(
    "shortwire_autoscaler_decisions_total",
    "Decisions of each poll: up, down or hold, and why (autoscaler/policy.py).",
    ["service", "action", "reason"],
)
REPLICAS = Gauge("shortwire_autoscaler_replicas", "Replicas that there are.", ["service", "state"])
WANTED = Gauge("shortwire_autoscaler_wanted_replicas", "Replicas that are wanted.", ["service"])
LOAD = Gauge(
    "shortwire_autoscaler_load_ratio",
    "Load as the policy sees it: 1 is all that can be carried; NaN is not known.",
    ["service", "signal"],
)
FAILURES = Counter(
    "shortwire_autoscaler_failures_total",
    "Polls that could not look, and changes that did not come about.",
    ["step"],
)
for step in ("look", "lag", "change"):
    FAILURES.labels(step)
LEADER = Gauge("shortwire_autoscaler_leader", "1 for the one that acts.")
POLLED_AT = Gauge("shortwire_autoscaler_last_poll_timestamp_seconds", "When it last looked.")
