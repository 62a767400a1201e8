"""Metrics of the process that tells webhooks, each declared once."""

from prometheus_client import Counter, Histogram

from shared import streams

ENTRIES = Counter("shortwire_webhooks_entries_total", "Entries taken off the bus.", ["stream"])
ATTEMPTS = Counter(
    "shortwire_webhooks_attempts_total", "Messages sent, by what came of it.", ["outcome"]
)
SECONDS = Histogram(
    "shortwire_webhooks_attempt_seconds",
    "From the attempt to its end.",
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0),
)

for _stream in (streams.LINKS, streams.CLICKS):
    ENTRIES.labels(_stream)
for _outcome in ("delivered", "failed", "dead"):
    ATTEMPTS.labels(_outcome)
