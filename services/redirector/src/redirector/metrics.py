"""The redirector's metrics, each declared once."""

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

RESPONSES = Counter(
    "shortwire_redirector_responses_total", "Answers to visitors.", ["status", "source"]
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


class ResponseSeconds(Collector):
    """A histogram that takes many answers of one turn at the cost of one.

    prometheus_client's own takes them one by one, which costs more than the answer. Only the
    event loop's thread writes; a scrape that reads meanwhile is at most some answers behind.
    """

    BOUNDS = (
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
    )  # fmt: skip

    def __init__(self) -> None:
        self._counts = [0] * (len(self.BOUNDS) + 1)
        self._sum = 0.0

    def observe(self, seconds: float, times: int) -> None:
        """Count `times` answers that took `seconds` each."""
        self._counts[bisect_left(self.BOUNDS, seconds)] += times
        self._sum += seconds * times

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Return the histogram, as prometheus_client asks for it."""
        bounds = [*map(str, self.BOUNDS), "+Inf"]
        yield HistogramMetricFamily(
            "shortwire_redirector_response_seconds",
            "Time from request to answer.",
            buckets=list(zip(bounds, map(float, accumulate(self._counts)), strict=True)),
            sum_value=self._sum,
        )


_response_seconds = ResponseSeconds()
REGISTRY.register(_response_seconds)


def answered(status: int, source: str, seconds: float, times: int = 1) -> None:
    """Count answers to visitors; `source` is where the link's record came from."""
    _responses(status, source).inc(times)
    _response_seconds.observe(seconds, times)


@cache  # a label's look-up costs more than its increment; statuses and sources are few
def _responses(status: int, source: str) -> Counter:
    return RESPONSES.labels(status, source)
