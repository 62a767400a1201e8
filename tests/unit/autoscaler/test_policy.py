"""The laws of the scaling decision, and hours of load in seconds."""

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from autoscaler.policies import BOUNDS, SIGNALS, policies
from autoscaler.policy import Memory, Policy, Seen, decide
from autoscaler.settings import ScalingSettings

POLICY = Policy(service="redirector", minimum=2, maximum=5)
INGEST = Policy(service="event-ingest", minimum=1, maximum=4)
POLL_SECONDS = 10.0
NOISE = 0.15
HOUR_POLLS = 360
CHANGES = {"high_load", "low_load", "below_minimum", "above_maximum"}

policies_of_any_kind = st.sampled_from([POLICY, INGEST])
loads = st.none() | st.floats(0, 20)
memories = st.builds(
    Memory,
    high_polls=st.integers(0, 10),
    low_polls=st.integers(0, 10),
    changed_at=st.just(float("-inf")) | st.floats(0, 1_000),
)
looks = st.builds(
    Seen,
    ready=st.integers(0, 8),
    starting=st.integers(0, 4),
    unhealthy=st.integers(0, 4),
    load=loads,
)


def after(polls: int, seen: Seen, memory: Memory | None = None, policy: Policy = POLICY):
    """The last of so many decisions, while nothing changes."""
    memory = memory or Memory()
    for number in range(polls):
        decision = decide(policy, memory, seen, 1_000 + number * POLL_SECONDS)
        memory = decision.memory
    return decision


@given(policies_of_any_kind, memories, looks)
def test_what_is_wanted_is_within_the_bounds(policy: Policy, memory: Memory, seen: Seen):
    decision = decide(policy, memory, seen, 1_000)

    if seen.count == 0:
        assert (decision.wanted, decision.reason) == (0, "stopped")
    else:
        assert policy.minimum <= decision.wanted <= policy.maximum


@given(policies_of_any_kind, memories, looks, st.floats(0, 20), st.floats(0, 20))
def test_more_load_never_leads_to_fewer_replicas(
    policy: Policy, memory: Memory, seen: Seen, one: float, other: float
):
    def wanted(load: float) -> int:
        look = Seen(ready=seen.ready, starting=seen.starting, unhealthy=seen.unhealthy, load=load)
        return decide(policy, memory, look, 1_000).wanted

    assert wanted(min(one, other)) <= wanted(max(one, other))


@given(policies_of_any_kind, memories, looks)
def test_a_change_is_remembered_and_nothing_else_is(policy: Policy, memory: Memory, seen: Seen):
    decision = decide(policy, memory, seen, 1_000)

    if decision.wanted != seen.count:
        assert decision.memory == Memory(changed_at=1_000)
    else:
        assert decision.memory.changed_at == memory.changed_at


@given(policies_of_any_kind, memories, looks)
def test_cooling_down_is_kept_within_the_bounds(policy: Policy, memory: Memory, seen: Seen):
    age = 1_000 - memory.changed_at

    decision = decide(policy, memory, seen, 1_000)

    if decision.reason == "high_load":
        assert decision.wanted > seen.count
        assert age >= policy.up_cooldown
    if decision.reason == "low_load":
        assert decision.wanted == seen.count - 1
        assert age >= policy.down_cooldown
    if decision.wanted != seen.count:
        assert decision.reason in CHANGES


@settings(deadline=None)  # a simulation takes as long as the machine lets it
@given(policies_of_any_kind, st.floats(0.01, 5), st.integers(1, 5), st.integers(0, 2**32))
def test_a_noisy_steady_load_is_never_answered_by_growing_after_shrinking(
    policy: Policy, demand: float, count: int, seed: int
):
    """Four hours; the readings are up to 15 % off."""
    assume(policy.minimum <= count <= policy.maximum)
    noise = random.Random(seed)

    counts = simulate(
        policy, count, 4 * HOUR_POLLS, lambda _: demand * noise.uniform(1 - NOISE, 1 + NOISE)
    )

    steps = [after - before for before, after in pairwise(counts) if after != before]
    shrunk = next((i for i, step in enumerate(steps) if step < 0), len(steps))
    assert not [step for step in steps[shrunk:] if step > 0], steps
    assert len(steps) <= policy.maximum - policy.minimum + 1
    settled = counts[HOUR_POLLS:]
    if demand * (1 + NOISE) < policy.maximum * policy.up_load:
        assert demand / settled[-1] < policy.up_load * (1 + NOISE)


@settings(deadline=None)
@given(st.integers(0, 2**32))
def test_a_day_of_visitors_is_followed(seed: int):
    """Few at night, many at noon, a rush of ten minutes in between."""
    noise = random.Random(seed)

    def demand(poll: int) -> float:
        share = min(poll, 1_440 - poll) / 720  # there and back in four hours
        rush = 1.0 if 400 <= poll < 460 else 0.0
        return (0.2 + 2.0 * share + rush) * noise.uniform(1 - NOISE, 1 + NOISE)

    counts = simulate(POLICY, 2, 1_440 + 120, demand)

    assert max(counts) >= 4
    assert counts[-1] == POLICY.minimum
    changes = sum(before != later for before, later in pairwise(counts))
    assert changes <= 12
    overloaded = sum(demand(poll) / count > 1 for poll, count in enumerate(counts[:1_440]))
    assert overloaded <= 12  # two minutes of four hours


def simulate(policy: Policy, count: int, polls: int, demand: Callable[[int], float]) -> list[int]:
    """Each poll's replicas; new ones are ready at the next poll but one. Load ends at full."""
    memory, counts, starting_until = Memory(), [], -1
    ready = count
    for poll in range(polls):
        if poll >= starting_until:
            ready = count
        load = min(demand(poll) / ready, 1.0)
        look = Seen(ready=ready, starting=count - ready, load=load)
        decision = decide(policy, memory, look, poll * POLL_SECONDS)
        memory = decision.memory
        if decision.wanted > count:
            starting_until = poll + 2
        elif decision.wanted < count:
            ready = decision.wanted
        count = decision.wanted
        counts.append(count)
    return counts


def test_it_grows_at_the_second_high_poll():
    look = Seen(ready=2, load=0.7)

    assert after(1, look).reason == "steady"
    assert (after(2, look).wanted, after(2, look).reason) == (3, "high_load")


def test_a_single_high_poll_changes_nothing():
    memory = after(1, Seen(ready=2, load=0.9)).memory
    memory = after(1, Seen(ready=2, load=0.5), memory).memory

    assert after(1, Seen(ready=2, load=0.9), memory).reason == "steady"


def test_it_shrinks_by_one_at_the_sixth_low_poll():
    look = Seen(ready=5, load=0.1)

    assert after(5, look).reason == "steady"
    assert (after(6, look).wanted, after(6, look).reason) == (4, "low_load")


def test_a_load_far_too_high_is_answered_by_more_than_one():
    assert after(2, Seen(ready=2, load=1.0)).wanted == 4
    assert after(2, Seen(ready=1, load=8.0), policy=INGEST).wanted == 4


def test_the_last_one_that_serves_is_needed_whatever_the_load():
    assert after(10, Seen(ready=1, load=0.0), policy=INGEST).wanted == 1
    assert after(10, Seen(ready=1, unhealthy=2, load=0.0), policy=INGEST).wanted == 3


def test_one_goes_only_if_the_others_can_carry_its_part():
    assert after(6, Seen(ready=2, load=0.29), policy=INGEST).reason == "steady"
    assert after(6, Seen(ready=2, load=0.25), policy=INGEST).wanted == 1


def test_what_starts_is_waited_for():
    look = Seen(ready=2, starting=2, load=0.9)

    assert (after(2, look).wanted, after(2, look).reason) == (4, "starting")


def test_what_starts_does_not_keep_a_greater_load_waiting():
    assert after(2, Seen(ready=2, starting=1, load=1.0)).wanted == 4


def test_an_unhealthy_one_takes_a_place_and_carries_nothing():
    assert after(2, Seen(ready=2, unhealthy=1, load=0.75)).wanted == 4


def test_nothing_shrinks_while_something_starts():
    assert after(6, Seen(ready=3, starting=1, load=0.1)).reason == "starting"


def test_one_that_is_gone_is_replaced_at_once():
    decision = after(1, Seen(ready=1, load=None), Memory(changed_at=999))

    assert (decision.wanted, decision.reason) == (2, "below_minimum")


def test_what_an_operator_stopped_stays_so():
    assert after(3, Seen(ready=0, load=None)).reason == "stopped"


@pytest.mark.parametrize(
    ("look", "polls", "reason"),
    [
        (Seen(ready=5, load=0.9), 2, "at_maximum"),
        (Seen(ready=2, load=0.1), 6, "at_minimum"),
        (Seen(ready=7, load=0.5), 1, "above_maximum"),
        (Seen(ready=3, load=None), 9, "no_signal"),
    ],
)
def test_a_decision_says_why(look: Seen, polls: int, reason: str):
    assert after(polls, look).reason == reason


def test_growing_again_waits_a_minute_and_shrinking_two():
    changed = Memory(changed_at=1_000)
    hot, cold = Seen(ready=3, load=0.9), Seen(ready=3, load=0.1)

    assert [after(n, hot, changed).reason for n in (6, 7)] == ["cooling_down", "high_load"]
    assert [after(n, cold, changed).reason for n in (12, 13)] == ["cooling_down", "low_load"]


def test_every_service_has_its_rules():
    made = {policy.service: policy for policy in policies(ScalingSettings())}

    assert set(made) == set(BOUNDS) == set(SIGNALS)
    assert (made["redirector"].minimum, made["redirector"].maximum) == (2, 5)
    assert (made["event-ingest"].minimum, made["event-ingest"].maximum) == (1, 4)
    for policy in made.values():
        assert (policy.up_load, policy.up_polls, policy.up_cooldown) == (0.7, 2, 60)
        assert (policy.down_load, policy.down_polls, policy.down_cooldown) == (0.3, 6, 120)
