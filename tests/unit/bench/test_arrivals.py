from hypothesis import given
from hypothesis import strategies as st

from bench.arrivals import due, moment

RATES = st.floats(1.0, 1e6)


@given(st.integers(0, 10**6), RATES)
def test_a_request_is_due_at_its_moment_and_not_before(number: int, rate: float):
    total = number + 10

    at = due(moment(number, rate) + 1e-3 / rate, rate, total)
    before = due(moment(number, rate) - 1e-3 / rate, rate, total)

    assert (before, at) == (number, number + 1) or number == 0


@given(st.floats(-1.0, 1e6), RATES, st.integers(0, 1000))
def test_never_more_are_due_than_there_are(elapsed: float, rate: float, total: int):
    assert 0 <= due(elapsed, rate, total) <= total


def test_the_first_is_due_at_once():
    assert due(0.0, 100.0, 10) == 1
    assert due(0.0, 100.0, 0) == 0
