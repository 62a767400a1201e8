import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redirector.click_identity import counter, identify


def test_both_tries_of_a_request_are_one_click():
    started = f"{time.time():.3f}"

    first = identify("request-1", started, counter())
    second = identify("request-1", started, counter())

    assert first == second
    assert identify("request-2", started, counter()).id != first.id
    assert identify("request-1", f"{time.time() + 1:.3f}", counter()).id != first.id


@pytest.mark.parametrize(
    "started", [None, "", "x", "nan", "inf", "1e400", "0", "-5", "2000000000.5"]
)
def test_without_a_start_near_our_clock_every_call_is_another_click(started: str | None):
    count = counter()

    identities = {identify("request-1", started, count) for _ in range(1000)}

    assert len({identity.id for identity in identities}) == 1000
    assert all(abs(one.at.timestamp() - time.time()) < 5 for one in identities)


def test_two_processes_make_no_id_alike():
    ids = {identify("r", None, count).id for count in [counter() for _ in range(1000)]}

    assert len(ids) == 1000


@given(st.text())
def test_an_id_is_a_uuid_of_version_7_that_tells_its_time(request_id: str):
    identity = identify(request_id, f"{time.time():.3f}", counter())

    assert (identity.id.version, identity.id.variant) == (7, "specified in RFC 4122")
    assert identity.id.int >> 80 == int(identity.at.timestamp() * 1000)
