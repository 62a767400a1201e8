"""A store that may fail: each call has a time limit and passes a circuit breaker."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redirector import metrics
from redirector.breaker import CircuitBreaker, State

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")


class DependencyDown(Exception):
    """The call failed, took too long, or was not made because the breaker is open."""


class Dependency:
    """One store as this worker sees it; `unavailable` are the errors that mean it is away."""

    def __init__(
        self, name: str, *, timeout: float, unavailable: tuple[type[Exception], ...]
    ) -> None:
        self._name = name
        self._timeout = timeout
        self._unavailable = unavailable
        self._errors = metrics.DEPENDENCY_ERRORS.labels(name)
        self._seconds = metrics.DEPENDENCY_SECONDS.labels(name)
        self._gauge = metrics.BREAKER.labels(name)
        self._breaker = CircuitBreaker(time.monotonic, self._on_change)

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the call's answer; raises `DependencyDown`."""
        if not self._breaker.allows():
            raise DependencyDown(self._name)
        try:
            with self._seconds.time():
                async with asyncio.timeout(self._timeout):
                    answer = await call()
        except self._unavailable as error:
            self._breaker.failed()
            self._errors.inc()
            raise DependencyDown(self._name) from error
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return answer

    def _on_change(self, state: State) -> None:
        self._gauge.set({"closed": 0, "half_open": 0.5, "open": 1}[state])
        log.warning("breaker.changed", extra={"dependency": self._name, "state": state})
