"""A store that may fail: each call has a time limit and passes a circuit breaker.

Parts of a store that fail each on its own, as the nodes of a cluster do, have a breaker each.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from redirector import metrics
from redirector.breaker import CircuitBreaker, State

log = logging.getLogger(__name__)

OPENNESS: dict[State, float] = {"closed": 0.0, "half_open": 0.5, "open": 1.0}

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
        self._breakers: WeakKeyDictionary[object, CircuitBreaker] = WeakKeyDictionary()
        metrics.BREAKER.labels(name).set_function(self._worst)

    async def ask(
        self, call: Callable[[], Awaitable[Answer]], part: object | None = None
    ) -> Answer:
        """Return the call's answer; raises `DependencyDown`."""
        breaker = self._breaker(self if part is None else part)
        if not breaker.allows():
            raise DependencyDown(self._name)
        try:
            with self._seconds.time():
                async with asyncio.timeout(self._timeout):
                    answer = await call()
        except self._unavailable as error:
            breaker.failed()
            self._errors.inc()
            raise DependencyDown(self._name) from error
        except BaseException:
            breaker.abandoned()
            raise
        breaker.succeeded()
        return answer

    def _breaker(self, part: object) -> CircuitBreaker:
        breaker = self._breakers.get(part)
        if breaker is None:
            breaker = CircuitBreaker(time.monotonic, self._on_change)
            self._breakers[part] = breaker
        return breaker

    def _on_change(self, state: State) -> None:
        log.warning("breaker.changed", extra={"dependency": self._name, "state": state})

    def _worst(self) -> float:
        # Asked by the thread that answers scrapes: the list of references is made in one step, a
        # walk through the dictionary would fail where a part is added meanwhile.
        parts = [reference() for reference in self._breakers.keyrefs()]
        breakers = [self._breakers.get(part) for part in parts if part is not None]
        return max((OPENNESS[each.state] for each in breakers if each is not None), default=0.0)
