from bench.goals import Goal, at_most, judge_rates
from bench.medians import figure

GOAL = Goal(what="ours ÷ theirs", numerator="ours", denominator="theirs", at_least=0.75)


def test_a_goal_is_judged_by_the_median_of_the_rounds():
    [verdict] = judge_rates([GOAL], {"ours": [70.0, 80.0, 90.0], "theirs": [100.0, 100.0, 100.0]})

    assert verdict.is_reached
    assert verdict.measured.median == 0.8
    assert verdict.bound == "≥ 0.75"


def test_a_goal_that_is_missed_says_so():
    [verdict] = judge_rates([GOAL], {"ours": [74.0], "theirs": [100.0]})

    assert not verdict.is_reached


def test_a_goal_whose_contenders_did_not_run_is_left_out():
    assert judge_rates([GOAL], {"ours": [1.0]}) == []


def test_a_bound_from_above():
    assert at_most("memory", figure([150.0]), 150.0).is_reached
    assert not at_most("memory", figure([151.0]), 150.0).is_reached
