"""Counting once a turn of the event loop: a counter's lock costs more than what is counted."""

import threading
from collections.abc import Iterable

from prometheus_client import Counter
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector


class Tally:
    """Counts for a counter without its lock: `total` is the event loop's thread's alone."""

    __slots__ = ("added", "counter", "total")

    def __init__(self, counter: Counter) -> None:
        self.counter = counter
        self.total = 0
        self.added = 0  # to the counter


class Tallies(Collector):
    """Adds to the counters, as a scrape begins, what was tallied since the last one.

    To be registered before them: a scrape asks in the order of registration.
    """

    def __init__(self) -> None:
        self._tallies: list[Tally] = []
        self._scrape = threading.Lock()

    def of(self, counter: Counter) -> Tally:
        """Return a new tally for `counter`."""
        tally = Tally(counter)
        self._tallies.append(tally)
        return tally

    def describe(self) -> Iterable[Metric]:
        """Return no metric: the counters tell theirs."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Bring the counters up to date."""
        with self._scrape:
            for tally in self._tallies:
                total = tally.total
                tally.counter.inc(total - tally.added)
                tally.added = total
        return ()
