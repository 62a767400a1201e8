"""What the running services export, read once and asked for sums, rates and quantiles."""

import http.client
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import msgspec
from prometheus_client.parser import text_string_to_metric_families

TIMEOUT_SECONDS = 2.0

Sample = tuple[Mapping[str, str], float]


class Scrape(msgspec.Struct, frozen=True):
    """The samples of all services by name; `at` is monotonic, in seconds."""

    at: float
    samples: Mapping[str, list[Sample]]

    def values(self, name: str, **labels: str) -> list[float]:
        """Return the values of the series that have these labels."""
        return [
            value
            for found, value in self.samples.get(name, [])
            if all(found.get(label) == wanted for label, wanted in labels.items())
        ]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum over series and services."""
        return sum(self.values(name, **labels))

    def largest(self, name: str) -> float:
        """Return the largest value: of what all services see of one thing."""
        return max(self.values(name), default=0.0)

    def sum_of_largest(self, name: str, by: str) -> float:
        """Return the sum of the largest values of each thing that the label `by` tells apart."""
        values: dict[str, float] = {}
        for labels, value in self.samples.get(name, []):
            values[labels[by]] = max(value, values.get(labels[by], 0.0))
        return sum(values.values())

    def errors(self, name: str) -> float:
        """Return the sum over the statuses that are ours to answer for."""
        return sum(value for found, value in self.samples.get(name, []) if found["status"] >= "500")

    def buckets(self, name: str) -> dict[float, float]:
        """Return how many observations of a histogram were at most so many seconds."""
        counts: dict[float, float] = defaultdict(float)
        for labels, value in self.samples.get(f"{name}_bucket", []):
            counts[float(labels["le"])] += value
        return counts


def scrape(urls: Iterable[str]) -> Scrape:
    """Read what answers at `urls`; a service that is away has no samples."""
    samples: dict[str, list[Sample]] = defaultdict(list)
    with ThreadPoolExecutor() as threads:
        for text in threads.map(_get, urls):
            for family in text_string_to_metric_families(text):
                for sample in family.samples:
                    samples[sample.name].append((sample.labels, sample.value))
    return Scrape(time.monotonic(), samples)


def _get(url: str) -> str:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(
        str(parts.hostname), parts.port, timeout=TIMEOUT_SECONDS
    )
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().read().decode()
    except (OSError, http.client.HTTPException):
        return ""
    finally:
        connection.close()


def quantile(share: float, before: Mapping[float, float], now: Mapping[float, float]) -> float:
    """Estimate a quantile of what was observed between two readings, as Prometheus does.

    Return 0 where nothing was, and the highest finite bound for what is beyond it.
    """
    bounds = sorted(now)
    counts = [now[bound] - before.get(bound, 0.0) for bound in bounds]
    if not counts or counts[-1] <= 0:
        return 0.0
    wanted = share * counts[-1]
    lower, below = 0.0, 0.0
    for bound, count in zip(bounds, counts, strict=True):
        if count >= wanted:
            if math.isinf(bound):
                return lower
            within = count - below
            return lower + (bound - lower) * ((wanted - below) / within if within else 1.0)
        lower, below = bound, count
    return lower
