"""The redirector's metrics, each declared once."""

from prometheus_client import Counter, Gauge, Histogram

RESPONSES = Counter(
    "shortwire_redirector_responses_total", "Answers to visitors.", ["status", "source"]
)
SECONDS = Histogram(
    "shortwire_redirector_response_seconds",
    "Time from request to answer.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)
NEAR_LINKS = Gauge("shortwire_redirector_near_cache_links", "Links this worker remembers.")
NEAR_FLUSHES = Counter("shortwire_redirector_near_cache_flushes_total", "Near-cache flushes.")
BREAKER = Gauge(
    "shortwire_redirector_breaker_open",
    "1 while a dependency is not asked, 0.5 while it is probed.",
    ["dependency"],
)
DEPENDENCY_ERRORS = Counter(
    "shortwire_redirector_dependency_errors_total", "Failed calls.", ["dependency"]
)
LEASES_LOST = Counter(
    "shortwire_redirector_leases_lost_total", "Fills refused: the link changed meanwhile."
)
CACHE_SAMPLES = Counter(
    "shortwire_redirector_cache_samples_total", "Entries compared with their rows."
)
CACHE_INCONSISTENT = Counter(
    "shortwire_redirector_cache_inconsistent_total", "Entries that stayed unlike their rows."
)
FEED_AGE = Gauge(
    "shortwire_redirector_links_feed_age_seconds", "Since changes of links were last known whole."
)
CLICKS = Counter("shortwire_redirector_clicks_total", "Clicks recorded.")
CLICKS_SENT = Counter("shortwire_redirector_clicks_sent_total", "Clicks acknowledged by the bus.")
FRAMES_SENT = Counter("shortwire_redirector_frames_sent_total", "Stream entries of clicks sent.")
CLICKS_DROPPED = Counter(
    "shortwire_redirector_clicks_dropped_total", "Clicks lost at a limit.", ["reason"]
)
JOURNAL_ERRORS = Counter(
    "shortwire_redirector_journal_errors_total", "Clicks that the journal's disk refused."
)
JOURNAL_BYTES = Gauge("shortwire_redirector_journal_bytes", "Size of this worker's journal.")
