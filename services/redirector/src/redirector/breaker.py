"""A circuit breaker: stop asking a dependency that fails, probe it now and then."""

import random
from collections import deque
from collections.abc import Callable
from typing import Literal

FAILURES_IN_A_ROW = 5
WINDOW_SECONDS = 1.0
WINDOW_MIN_CALLS = 20
WINDOW_FAILURE_SHARE = 0.5
OPEN_SECONDS_MIN = 0.5
OPEN_SECONDS_MAX = 10.0
OPEN_JITTER = 0.2  # so that workers do not probe in step
SUCCESSES_TO_CLOSE = 2

State = Literal["closed", "open", "half_open"]


class CircuitBreaker:
    """One dependency as seen by one worker (Nygard, "Release It!", chapter 5).

    Ask `allows()` before a call and report its `succeeded()` or `failed()`; a call that was
    cancelled reports `abandoned()`. `now` returns monotonic seconds.
    """

    def __init__(self, now: Callable[[], float], on_change: Callable[[State], None]) -> None:
        self._now = now
        self._on_change = on_change
        self._calls: deque[tuple[float, bool]] = deque()
        self.state: State = "closed"
        self._failures_in_a_row = 0
        self._successes = 0
        self._open_seconds = OPEN_SECONDS_MIN
        self._probe_at = 0.0
        self._is_probing = False

    def allows(self) -> bool:
        """Tell whether the call may be made; half-open, one at a time may."""
        if self.state == "closed":
            return True
        if self._is_probing or self._now() < self._probe_at:
            return False
        self._is_probing = True
        self._enter("half_open")
        return True

    def succeeded(self) -> None:
        """Report that an allowed call was answered."""
        if self.state == "closed":
            self._failures_in_a_row = 0
            self._remember(failed=False)
        if self.state != "half_open":
            return  # open: the late answer to a call made before
        self._is_probing = False
        self._successes += 1
        if self._successes >= SUCCESSES_TO_CLOSE:
            self._close()

    def failed(self) -> None:
        """Report that an allowed call failed or took too long."""
        if self.state == "half_open":
            self._open()
        if self.state == "open":
            return  # or one of many calls that were under way when it opened
        self._failures_in_a_row += 1
        self._remember(failed=True)
        if self._failures_in_a_row >= FAILURES_IN_A_ROW or self._fails_too_often():
            self._open()

    def abandoned(self) -> None:
        """Report that an allowed call was cancelled: it says nothing of the dependency."""
        self._is_probing = False

    def _remember(self, *, failed: bool) -> None:
        now = self._now()
        self._calls.append((now, failed))
        while self._calls[0][0] < now - WINDOW_SECONDS:
            self._calls.popleft()

    def _fails_too_often(self) -> bool:
        failures = sum(failed for _, failed in self._calls)
        return (
            len(self._calls) >= WINDOW_MIN_CALLS
            and failures >= len(self._calls) * WINDOW_FAILURE_SHARE
        )

    def _open(self) -> None:
        jitter = random.uniform(1 - OPEN_JITTER, 1 + OPEN_JITTER)  # noqa: S311 - no secret
        self._probe_at = self._now() + self._open_seconds * jitter
        self._open_seconds = min(self._open_seconds * 2, OPEN_SECONDS_MAX)
        self._is_probing = False
        self._successes = 0
        self._enter("open")

    def _close(self) -> None:
        self._open_seconds = OPEN_SECONDS_MIN
        self._failures_in_a_row = 0
        self._calls.clear()
        self._enter("closed")

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self._on_change(state)
