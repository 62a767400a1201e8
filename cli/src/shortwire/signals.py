"""Signals as something to wait for: nothing is interrupted halfway."""

import os
import select
import signal
import time
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """We were told to stop."""


class Signals:
    """Notes a request to stop, and wakes `wait` for it and for the end of a child.

    To be made once, in the main thread, before the first child.
    """

    def __init__(self) -> None:
        self.stopping = False
        self._wakeup, writer = os.pipe()
        os.set_blocking(self._wakeup, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # The interpreter writes to the pipe only for signals that have a handler.
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in STOPPING:
            signal.signal(number, self._stop)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True

    def wait(self, seconds: float) -> None:
        """Return after `seconds`, or as soon as a signal came."""
        if not self.stopping and select.select([self._wakeup], [], [], seconds)[0]:
            os.read(self._wakeup, 4096)

    def pause(self, seconds: float) -> None:
        """Wait `seconds`; raise `Stopped` as soon as we are to stop."""
        deadline = time.monotonic() + seconds
        while not self.stopping and (left := deadline - time.monotonic()) > 0:
            self.wait(left)
        if self.stopping:
            raise Stopped
