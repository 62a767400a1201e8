import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler import signals
from autoscaler.replicas import Replica, State
from autoscaler.signals import Lag


def replica(name: str, used: float | None, at: float, state: State = "ready") -> Replica:
    return Replica(id=name, number=1, state=state, cpus=0.5, cpu_seconds=used, read_at=at)


def test_load_is_the_average_share_of_the_limit():
    before = [replica("a", 100.0, 0.0), replica("b", 7.0, 0.0)]
    after = [replica("a", 105.0, 10.0), replica("b", 8.0, 10.0)]

    assert signals.cpu_load(before, after) == pytest.approx((1.0 + 0.2) / 2)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (replica("a", 0.0, 0.0, "starting"), replica("a", 5.0, 10.0)),
        (replica("a", 0.0, 0.0), replica("a", 5.0, 10.0, "unhealthy")),
        (replica("a", 9.0, 0.0), replica("a", 1.0, 10.0)),  # started over in between
        (replica("a", None, 0.0), replica("a", 1.0, 10.0)),
        (replica("a", 0.0, 10.0), replica("a", 1.0, 10.0)),
        (replica("b", 0.0, 0.0), replica("a", 5.0, 10.0)),
    ],
)
def test_what_was_not_measured_at_both_looks_counts_for_nothing(before: Replica, after: Replica):
    busy = [replica("z", 0.0, 0.0)], [replica("z", 4.0, 10.0)]

    assert signals.cpu_load([before], [after]) is None
    assert signals.cpu_load([*busy[0], before], [*busy[1], after]) == pytest.approx(0.8)


def test_a_lag_that_stays_is_a_share_of_what_is_too_much():
    assert signals.lag_load(None, Lag(500, 0.0), 1_000) == 0.5
    assert signals.lag_load(Lag(500, 0.0), Lag(500, 10.0), 1_000) == 0.5


def test_a_rising_lag_counts_before_it_is_great_and_a_falling_one_no_more():
    assert signals.lag_load(Lag(0, 0.0), Lag(200, 10.0), 1_000) == pytest.approx(0.8)
    assert signals.lag_load(Lag(9_000, 0.0), Lag(6_000, 10.0), 1_000) == 0.0


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_greater_lag_is_never_a_smaller_load(before: int, one: int, other: int):
    smaller, greater = sorted((one, other))
    first = Lag(before, 0.0)

    assert signals.lag_load(first, Lag(smaller, 10.0), 1_000) <= signals.lag_load(
        first, Lag(greater, 10.0), 1_000
    )
