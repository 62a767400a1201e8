"""When requests are due at a constant rate, whatever becomes of those before them. No I/O.

A client that waits for an answer before it sends on leaves out just those requests that would
have waited longest ("coordinated omission"). Here a request's time counts from when it was due.
"""


def due(elapsed: float, rate: float, total: int) -> int:
    """Return how many of `total` requests are due `elapsed` seconds after the first."""
    return max(0, min(total, int(elapsed * rate) + 1))


def moment(number: int, rate: float) -> float:
    """Return when a request is due, in seconds after the first, whose number is 0."""
    return number / rate
