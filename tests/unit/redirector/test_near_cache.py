import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redirector import near_cache
from redirector.near_cache import NearCache
from shared.events import LinkRecord


def record(version: int, state: str = "active") -> LinkRecord:
    return LinkRecord(
        version=version,
        state=state,  # type: ignore[arg-type]
        cached_at=time.time(),
        url_id=1,
        target=f"https://example.com/{version}",
    )


def version_of(near: NearCache, code: str) -> int | None:
    entry = near.get(code)
    return None if entry is None else entry.record.version


def test_an_announced_change_replaces_an_older_entry():
    near = NearCache(10)
    near.store("abc", record(1), near.generation)

    near.announce("abc", record(2))

    assert version_of(near, "abc") == 2


def test_a_read_that_began_before_an_announcement_answers_with_the_announced_record():
    near = NearCache(10)
    near.announce("abc", record(2))

    newest = near.store("abc", record(1), near.generation)

    assert newest.version == 2
    assert version_of(near, "abc") == 2


def test_an_announcement_does_not_bring_in_a_cold_link():
    near = NearCache(10)

    near.announce("abc", record(2))

    assert near.get("abc") is None


def test_a_created_code_is_known_at_once():
    near = NearCache(10)
    near.store("abc", record(0, "unknown"), near.generation)
    assert near.is_known_unknown("abc")

    near.announce("abc", record(1))

    assert not near.is_known_unknown("abc")


def test_after_a_flush_an_entry_serves_only_as_stale():
    near = NearCache(10)
    near.store("abc", record(1), near.generation)

    near.flush()

    assert near.get("abc") is None
    stale = near.get_stale("abc")
    assert stale is not None
    assert stale.version == 1


def test_a_read_that_a_flush_overtook_is_not_remembered():
    near = NearCache(10)
    generation = near.generation
    near.flush()

    near.store("abc", record(1), generation)

    assert near.get("abc") is None


def test_an_announced_takedown_is_never_served_stale():
    near = NearCache(10)
    near.store("abc", record(1), near.generation)
    near.flush()

    near.announce("abc", record(2, "inactive"))

    stale = near.get_stale("abc")
    assert stale is not None
    assert stale.state == "inactive"


def test_unknown_codes_take_a_tenth_at_most_and_expire(monkeypatch: pytest.MonkeyPatch):
    near = NearCache(100)
    for number in range(1000):
        near.store(f"code{number}", record(0, "unknown"), near.generation)

    known = sum(near.is_known_unknown(f"code{number}") for number in range(1000))

    assert known == 10
    monkeypatch.setattr(time, "monotonic", lambda: float("inf"))
    assert not near.is_known_unknown("code999")


def test_what_is_used_outlives_what_is_not():
    near = NearCache(10)
    for number in range(10):
        near.store(str(number), record(1), near.generation)
    near.get("0")

    near.store("new", record(1), near.generation)

    assert near.get("0") is not None
    assert near.get("1") is None
    assert len(near) == 10


def test_a_purged_code_is_unknown_although_its_announcement_was_missed():
    near = NearCache(10)
    near.announce("abc", record(5))
    near.store("abc", record(5), near.generation)
    near.flush()

    newest = near.store("abc", record(0, "unknown"), near.generation)

    assert newest.state == "unknown"
    assert near.get("abc") is None


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["store", "announce", "flush"]),
            st.sampled_from("abc"),
            st.integers(1, 20),
        )
    )
)
def test_a_version_never_goes_back(steps: list[tuple[str, str, int]]):
    near = NearCache(2)
    announced: dict[str, int] = {}
    for action, code, version in steps:
        if action == "flush":
            near.flush()
            announced.clear()  # what is read from now on is at least as new
        elif action == "announce":
            near.announce(code, record(version))
            announced[code] = max(version, announced.get(code, 0))
        else:
            assert near.store(code, record(version), near.generation).version >= version
        for known, least in announced.items():
            assert (version_of(near, known) or least) >= least


def test_the_soft_ttl_is_spread():
    near = NearCache(10_000)
    ends = set()
    for number in range(100):
        near.store(str(number), record(1), near.generation)
        entry = near.get(str(number))
        assert entry is not None
        ends.add(round(entry.revalidate_at - entry.record.cached_at))

    assert min(ends) >= near_cache.SOFT_TTL_SECONDS * 0.8
    assert max(ends) <= near_cache.SOFT_TTL_SECONDS * 1.2
    assert len(ends) > 50


def test_an_announcement_that_is_repeated_is_no_news():
    near = NearCache(10)

    news = [near.announce("abc", record(version)) for version in (2, 2, 1, 3)]

    assert news == [True, False, False, True]
