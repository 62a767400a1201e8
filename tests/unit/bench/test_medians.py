from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.medians import figure, quantile, ratios, recorded_share

FLOATS = st.lists(st.floats(0.001, 1e9), min_size=1)


def test_a_figure_is_the_median_and_how_far_the_rounds_lie_apart():
    measured = figure([5.0, 1.0, 3.0, 2.0, 4.0])

    assert (measured.median, measured.lowest, measured.highest) == (3.0, 1.0, 5.0)


def test_a_ratio_is_taken_round_by_round():
    # The second round was slow for both: the ratio of medians would be 0.6.
    measured = ratios([60.0, 20.0, 50.0], [100.0, 40.0, 100.0])

    assert (measured.median, measured.lowest, measured.highest) == (0.5, 0.5, 0.6)


def test_a_ratio_needs_as_many_rounds_of_both():
    with pytest.raises(ValueError, match="longer"):
        ratios([1.0], [1.0, 2.0])


@given(FLOATS, st.floats(0.01, 1.0))
def test_a_quantile_is_reached_by_its_share_of_the_values(values: list[float], share: float):
    ordered = sorted(values)

    found = quantile(ordered, share)

    assert sum(value <= found for value in ordered) >= share * len(ordered)
    assert sum(value < found for value in ordered) < share * len(ordered)


@pytest.mark.parametrize("share", [0.0, -0.5, 1.1])
def test_a_quantile_of_no_share_is_refused(share: float):
    with pytest.raises(ValueError, match="is no share"):
        quantile([1.0], share)


@pytest.mark.parametrize(
    ("counts", "share"),
    [
        ((1000, 1000, 32), 1.0),
        ((1032, 1000, 32), 1.0),  # one request in flight on each connection
        ((1064, 1000, 32), 1064 / 1032),  # doubled
        ((990, 1000, 32), 0.99),  # lost
        ((0, 0, 32), 0.0),
    ],
)
def test_what_is_lost_or_doubled_shows_in_the_share(counts: Sequence[int], share: float):
    rows, answers, connections = counts

    assert recorded_share(rows, answers, connections) == pytest.approx(share)
