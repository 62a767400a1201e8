import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shortwire.scrapes import Sample, Scrape, quantile, scrape

BOUNDS = [0.001, 0.01, 0.1, math.inf]


def cumulated(*counts: int) -> dict[float, float]:
    return {bound: float(sum(counts[: i + 1])) for i, bound in enumerate(BOUNDS)}


def test_a_quantile_is_of_what_came_between():
    before, now = cumulated(100, 0, 0, 0), cumulated(100, 0, 10, 0)

    assert quantile(0.5, before, now) == pytest.approx(0.055)
    assert quantile(0.5, now, now) == 0.0
    assert quantile(0.99, {}, cumulated(0, 0, 0, 5)) == 0.1


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.floats(0, 1), st.floats(0, 1))
def test_a_higher_share_has_no_lower_quantile(counts: list[int], one: float, other: float):
    low, high = sorted([one, other])

    assert quantile(low, {}, cumulated(*counts)) <= quantile(high, {}, cumulated(*counts)) <= 0.1


def test_sums_and_errors_go_over_replicas():
    name = "responses_total"
    samples: list[Sample] = [({"status": "302", "n": "1"}, 2.0), ({"status": "503", "n": "2"}, 3.0)]
    found = Scrape(0.0, {name: samples})

    assert found.total(name) == 5.0
    assert found.total(name, status="302") == 2.0
    assert found.errors(name) == 3.0
    assert found.largest(name) == 3.0
    assert found.largest("nothing") == 0.0


def test_what_all_replicas_see_of_several_things_is_summed_once():
    samples: list[Sample] = [
        ({"stream": "a"}, 2.0),
        ({"stream": "a"}, 3.0),
        ({"stream": "b"}, 4.0),
        ({"stream": "b"}, 4.0),
    ]
    found = Scrape(0.0, {"waiting": samples})

    assert found.sum_of_largest("waiting", by="stream") == 7.0
    assert found.sum_of_largest("nothing", by="stream") == 0.0


def test_a_service_that_is_away_has_no_samples():
    assert scrape(["http://127.0.0.1:1/metrics"]).samples == {}
