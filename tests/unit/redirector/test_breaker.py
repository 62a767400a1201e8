import pytest

from redirector import breaker
from redirector.breaker import CircuitBreaker


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock, lambda _: None)


def fail_until_open(circuit: CircuitBreaker) -> None:
    for _ in range(breaker.FAILURES_IN_A_ROW):
        assert circuit.allows()
        circuit.failed()


def test_it_opens_after_failures_in_a_row(circuit: CircuitBreaker):
    fail_until_open(circuit)

    assert circuit.state == "open"
    assert not circuit.allows()


def test_it_opens_when_half_of_many_calls_fail(circuit: CircuitBreaker):
    for _ in range(breaker.WINDOW_MIN_CALLS // 2):
        circuit.succeeded()
        circuit.failed()

    assert circuit.state == "open"


def test_failures_long_apart_do_not_open_it(circuit: CircuitBreaker, clock: Clock):
    for _ in range(50):
        circuit.failed()
        circuit.succeeded()
        clock.seconds += 1

    assert circuit.state == "closed"


def test_half_open_lets_one_probe_through_at_a_time(circuit: CircuitBreaker, clock: Clock):
    fail_until_open(circuit)
    clock.seconds += breaker.OPEN_SECONDS_MIN * 2

    assert circuit.allows()
    assert not circuit.allows()


def test_two_answered_probes_close_it(circuit: CircuitBreaker, clock: Clock):
    fail_until_open(circuit)
    clock.seconds += breaker.OPEN_SECONDS_MIN * 2
    for _ in range(breaker.SUCCESSES_TO_CLOSE):
        assert circuit.allows()
        circuit.succeeded()

    assert circuit.state == "closed"


def test_a_failed_probe_doubles_the_pause_up_to_the_limit(circuit: CircuitBreaker, clock: Clock):
    fail_until_open(circuit)
    pauses = []
    for _ in range(8):
        began = clock.seconds
        while not circuit.allows():
            clock.seconds += 0.01
        pauses.append(clock.seconds - began)
        circuit.failed()

    assert pauses[0] <= breaker.OPEN_SECONDS_MIN * 1.3
    assert pauses[-1] >= breaker.OPEN_SECONDS_MAX * (1 - breaker.OPEN_JITTER)
    assert max(pauses) <= breaker.OPEN_SECONDS_MAX * (1 + breaker.OPEN_JITTER) + 0.1


def test_calls_under_way_when_it_opens_do_not_lengthen_its_pause(
    circuit: CircuitBreaker, clock: Clock
):
    fail_until_open(circuit)
    for _ in range(100):
        circuit.failed()
    circuit.succeeded()
    circuit.succeeded()

    assert circuit.state == "open"
    clock.seconds += breaker.OPEN_SECONDS_MIN * 1.3
    assert circuit.allows()


def test_a_cancelled_probe_lets_another_follow(circuit: CircuitBreaker, clock: Clock):
    fail_until_open(circuit)
    clock.seconds += breaker.OPEN_SECONDS_MIN * 2
    assert circuit.allows()
    circuit.abandoned()

    assert circuit.allows()
