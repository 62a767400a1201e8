"""A client that holds a rate: it sends what is due, whether or not earlier answers came. Linux."""

import ctypes
import os
import select
import socket
import time
from array import array
from collections import deque
from contextlib import ExitStack

import msgspec

from bench.arrivals import due, moment
from bench.browser import request
from shortwire.servers import LOOPBACK

CONNECTIONS = 128  # a request that finds none idle waits for one, and its time runs on
TICK_SECONDS = 0.000_05  # between looks at what is due
GRACE_SECONDS = 5.0  # for the answers to the last requests
FOUND = b"HTTP/1.1 302"
CLOCK_MONOTONIC = 1


class Timespec(ctypes.Structure):
    """`struct timespec`."""

    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class Latencies(msgspec.Struct, frozen=True):
    """What became of the requests: `seconds` from due to answered, ascending."""

    asked: int
    refused: int
    seconds: list[float]


def send(port: int, path: str, *, rate: float, seconds: float) -> Latencies:
    """Ask a port of loopback for `path` at a constant rate, in requests per second."""
    with ExitStack() as exits:
        client = _Client(port, path, exits)
        return client.run(rate, max(1, int(rate * seconds)))


class _Client:
    def __init__(self, port: int, path: str, exits: ExitStack) -> None:
        self._request = request(f"{LOOPBACK}:{port}", path)
        self._epoll = exits.enter_context(select.epoll())
        self._timer = _ticking()
        exits.callback(os.close, self._timer)
        self._epoll.register(self._timer, select.EPOLLIN)
        self._idle: deque[int] = deque()
        self._due_at: dict[int, float] = {}
        for _ in range(CONNECTIONS):
            connection = exits.enter_context(socket.create_connection((LOOPBACK, port), 5.0))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setblocking(True)
            self._epoll.register(connection.fileno(), select.EPOLLIN)
            self._idle.append(connection.fileno())

    def run(self, rate: float, total: int) -> Latencies:
        """Send `total` requests, and wait for their answers."""
        latencies, refused, sent = array("d"), 0, 0
        deadline = moment(total, rate) + GRACE_SECONDS
        began = time.perf_counter()
        while len(latencies) + refused < total:
            elapsed = time.perf_counter() - began
            if elapsed > deadline:
                break
            sent = self._send_due(sent, due(elapsed, rate, total), rate)
            for descriptor, _ in self._epoll.poll():
                if descriptor == self._timer:
                    os.read(descriptor, 8)  # until then it does not tick again
                    continue
                answer = os.read(descriptor, 4096)
                due_at = self._due_at.pop(descriptor, None)
                if due_at is None or not answer.startswith(FOUND):
                    refused += 1
                else:
                    latencies.append(time.perf_counter() - began - due_at)
                if answer:
                    self._idle.append(descriptor)
                else:
                    self._epoll.unregister(descriptor)
        return Latencies(total, total - len(latencies), sorted(latencies))

    def _send_due(self, sent: int, wanted: int, rate: float) -> int:
        while sent < wanted and self._idle:
            descriptor = self._idle.popleft()
            self._due_at[descriptor] = moment(sent, rate)
            os.write(descriptor, self._request)
            sent += 1
        return sent


def _ticking() -> int:
    """Return a descriptor that is readable every tick; Python's own waits end by milliseconds."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    tick = Timespec(0, int(TICK_SECONDS * 1e9))
    both = (Timespec * 2)(tick, tick)  # interval, first
    if descriptor < 0 or libc.timerfd_settime(descriptor, 0, ctypes.byref(both), None) < 0:
        raise OSError(ctypes.get_errno(), "no timer")
    return descriptor
