"""Which requests get a line of log, at what level, and how many lines at most."""

import logging
import math
import time
from collections.abc import Mapping
from typing import Annotated

import msgspec
from prometheus_client import Counter

from shared import telemetry

log = logging.getLogger(__name__)

MAX_LINES_A_SECOND = 100  # when all fails, the log must not be what keeps it from healing
MAX_PATH = 256  # characters
UNAVAILABLE = 503

SUPPRESSED = Counter(
    "shortwire_log_lines_suppressed_total", "Lines of requests or batches beyond the limit."
)

Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Settings(telemetry.Settings, frozen=True, kw_only=True):
    """Of requests that are neither failed nor slow, the share `log_ratio` gets a line."""

    log_level: str = "INFO"
    log_ratio: Ratio = 1.0
    log_slow_ms: Annotated[float, msgspec.Meta(gt=0)] = 500.0


class RequestLog:
    """The lines of one process; failed and slow requests have one always."""

    def __init__(self, config: Settings) -> None:
        self._every = 1 / config.log_ratio if config.log_ratio else math.inf
        self._until_next = self._every
        self._slow_seconds = config.log_slow_ms / 1000
        self._second = 0
        self._lines = 0

    def level(self, status: int, seconds: float, times: int = 1) -> int | None:
        """Return the level of the line that is due for `times` such requests, or None.

        Error: a bug, somebody must act. Warning: slow, or a store was away. Info: a sample.
        """
        if status >= 500:
            return logging.WARNING if status == UNAVAILABLE else logging.ERROR
        return self.batch_level(seconds, times)

    def batch_level(self, seconds: float, times: int = 1) -> int | None:
        """Return the level of the line of a batch that is done, or None."""
        if seconds >= self._slow_seconds:
            return logging.WARNING
        self._until_next -= times
        if self._until_next > 0:
            return None
        self._until_next = max(0.0, self._until_next + self._every)
        return logging.INFO

    def write(self, level: int, event: str, facts: Mapping[str, object]) -> None:
        """Write a line, within the limit."""
        second = int(time.monotonic())
        if second != self._second:
            self._second, self._lines = second, 0
        self._lines += 1
        if self._lines > MAX_LINES_A_SECOND:
            SUPPRESSED.inc()
        else:
            log.log(level, event, extra=facts)


def milliseconds(seconds: float) -> float:
    """Return a duration as it is logged: to the microsecond."""
    return round(seconds * 1000, 3)


def shown(path: bytes) -> str:
    """Return a path as it was sent, so that no character of it means anything to a reader."""
    return path[:MAX_PATH].decode("ascii", "backslashreplace")
