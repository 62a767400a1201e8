"""The redirector's metrics, each declared once; docs/reference/metrics.md explains them."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import accumulate
from typing import Literal

from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from redirector.tallies import Tallies, Tally
from shared.observation import OTHER

REDIRECT_ROUTE = "/{code}"

Tier = Literal["near", "cache", "database", "replica"]
Result = Literal["hit", "negative", "miss", "unavailable"]

_tallies = Tallies()
REGISTRY.register(_tallies)  # before the counters that it adds to

RESPONSES = Counter(
    "shortwire_redirector_responses_total", "Answers to visitors.", ["route", "status", "source"]
)
LOOKUPS = Counter(
    "shortwire_redirector_lookups_total", "Questions for a code, by who was asked.",
    ["tier", "result"],
)  # fmt: skip
NEAR_LINKS = Gauge("shortwire_redirector_near_cache_links", "Links this worker remembers.")
NEAR_UNKNOWN = Gauge(
    "shortwire_redirector_near_cache_unknown_codes", "Codes this worker knows to lead nowhere."
)
NEAR_EVICTIONS = Counter(
    "shortwire_redirector_near_cache_evictions_total", "Links forgotten at the near cache's limit."
)
NEAR_FLUSHES = Counter(
    "shortwire_redirector_near_cache_flushes_total", "Near-cache flushes.", ["reason"]
)
LOADS = Gauge("shortwire_redirector_loads_in_flight", "Codes being loaded now.")
LOADS_REFUSED = Counter(
    "shortwire_redirector_loads_refused_total", "Visitors refused at the limit of loads."
)
BREAKER = Gauge(
    "shortwire_redirector_breaker_open",
    "1 while a dependency is not asked, 0.5 while it is probed.",
    ["dependency"],
)
DEPENDENCY_ERRORS = Counter(
    "shortwire_redirector_dependency_errors_total", "Failed calls.", ["dependency"]
)
DEPENDENCY_SECONDS = Histogram(
    "shortwire_redirector_dependency_seconds",
    "Time of a call, failed ones included.",
    ["dependency"],
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0),
)
LEASES_TAKEN = Counter("shortwire_redirector_leases_taken_total", "Leases taken, to fill a miss.")
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
PROPAGATION_SECONDS = Histogram(
    "shortwire_redirector_link_propagation_seconds",
    "From a change's commit to this worker's knowledge of it.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.5, 10.0),
)
CLICKS = Counter("shortwire_redirector_clicks_total", "Clicks recorded.")
CLICKS_SENT = Counter("shortwire_redirector_clicks_sent_total", "Clicks acknowledged by the bus.")
FRAMES_SENT = Counter("shortwire_redirector_frames_sent_total", "Stream entries of clicks sent.")
SEND_FAILURES = Counter(
    "shortwire_redirector_send_failures_total", "Tries to send clicks that the bus did not take."
)
CLICKS_DROPPED = Counter(
    "shortwire_redirector_clicks_dropped_total", "Clicks lost at a limit.", ["reason"]
)
UNWRITTEN_CLICKS = Gauge(
    "shortwire_redirector_unwritten_clicks", "Clicks in memory, because the disk refused them."
)
ORPHANS = Counter("shortwire_redirector_orphans_total", "Visits to codes without a link.")
JOURNAL_ERRORS = Counter(
    "shortwire_redirector_journal_errors_total", "Clicks that the journal's disk refused."
)
JOURNAL_BYTES = Gauge("shortwire_redirector_journal_bytes", "Size of this worker's journal.")
JOURNAL_UNSENT_BYTES = Gauge(
    "shortwire_redirector_journal_unsent_bytes", "Part of the journal that the bus has yet to take."
)


class ResponseSeconds(Collector):
    """A histogram that takes many answers of one turn at the cost of one.

    prometheus_client's own takes them one by one, which costs more than the answer. Only the
    event loop's thread writes; a scrape that reads meanwhile is at most some answers behind.
    """

    NAME = "shortwire_redirector_response_seconds"
    BOUNDS = (
        0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
        1.0, 2.5,
    )  # fmt: skip

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], _Series] = {}

    def series(self, route: str, source: str) -> "_Series":
        """Return what counts the answers of `route` whose record came from `source`."""
        return self._series.setdefault((route, source), _Series())

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Return the histogram, as prometheus_client asks for it."""
        family = HistogramMetricFamily(
            self.NAME, "Time from request to answer.", labels=["route", "source"]
        )
        bounds = [*map(str, self.BOUNDS), "+Inf"]
        for labels, series in list(self._series.items()):
            buckets = zip(bounds, map(float, accumulate(series.counts)), strict=True)
            family.add_metric(labels, list(buckets), series.sum)
        yield family


class _Series:
    """The answers of one set of labels."""

    def __init__(self) -> None:
        self.counts = [0] * (len(ResponseSeconds.BOUNDS) + 1)
        self.sum = 0.0

    def observe(self, seconds: float, times: int) -> None:
        """Count `times` answers that took `seconds` each."""
        self.counts[bisect_left(ResponseSeconds.BOUNDS, seconds)] += times
        self.sum += seconds * times


_response_seconds = ResponseSeconds()
REGISTRY.register(_response_seconds)


def answered_on(route: str, status: int, source: str, seconds: float) -> None:
    """Count an answer; `source` is where the record came from."""
    _responses(route, status, source).inc()
    _seconds(route, source).observe(seconds, 1)


def answered_at_once(times: Mapping[int, int], seconds: float) -> None:
    """Count a turn's redirects by the short cut, by status, each after `seconds`."""
    answers = 0
    for status, number in times.items():
        _redirects_at_once(status).total += number
        answers += number
    SHORT_CUT_HITS.total += answers
    _seconds(REDIRECT_ROUTE, "near").observe(seconds, answers)


def refused(status: int) -> None:
    """Count what was no request, or none that is let in."""
    RESPONSES.labels(OTHER, status, "none").inc()


@cache  # a label's look-up costs more than its increment; routes, statuses and sources are few
def _responses(route: str, status: int, source: str) -> Counter:
    return RESPONSES.labels(route, status, source)


@cache
def _redirects_at_once(status: int) -> Tally:
    return _tallies.of(_responses(REDIRECT_ROUTE, status, "near"))


@cache
def _seconds(route: str, source: str) -> _Series:
    return _response_seconds.series(route, source)


# A series that is there from the start, at zero, can be alerted on when it first moves.
NEAR_HIT = LOOKUPS.labels("near", "hit")
SHORT_CUT_HITS = _tallies.of(NEAR_HIT)
RECORDED = _tallies.of(CLICKS)
NEAR_NEGATIVE = LOOKUPS.labels("near", "negative")
NEAR_MISS = LOOKUPS.labels("near", "miss")
for _result in ("hit", "negative", "miss", "unavailable"):
    LOOKUPS.labels("cache", _result)
for _result in ("hit", "negative", "unavailable"):  # a code without a row is a negative
    LOOKUPS.labels("database", _result)
    LOOKUPS.labels("replica", _result)
for _reason in ("corrupt", "journal_full", "memory_full"):
    CLICKS_DROPPED.labels(_reason)
for _reason in ("joined", "silent", "undecodable"):
    NEAR_FLUSHES.labels(_reason)
