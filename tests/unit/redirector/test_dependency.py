import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from redirector import breaker, metrics
from redirector.dependency import Dependency, DependencyDown


async def answer() -> str:
    return "here"


async def fail() -> str:
    raise OSError


class Node:
    """A part of a store."""


async def test_a_part_that_is_away_leaves_the_others_asked():
    store = Dependency("cache", timeout=1, unavailable=(OSError,))
    away, there = Node(), Node()

    for _ in range(breaker.FAILURES_IN_A_ROW):
        with pytest.raises(DependencyDown):
            await store.ask(fail, away)

    with pytest.raises(DependencyDown):
        await store.ask(answer, away)
    assert await store.ask(answer, there) == "here"
    assert await store.ask(answer) == "here"
    assert openness() == 1.0


async def test_a_part_that_is_gone_is_forgotten():
    store = Dependency("cache", timeout=1, unavailable=(OSError,))
    away = Node()
    for _ in range(breaker.FAILURES_IN_A_ROW):
        with pytest.raises(DependencyDown):
            await store.ask(fail, away)

    del away

    assert openness() == 0.0


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads take turns within what they do at one go otherwise."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


@pytest.mark.usefixtures("hasty_threads")
async def test_it_can_be_measured_by_another_thread_while_parts_are_added():
    store = Dependency("cache", timeout=1, unavailable=(OSError,))
    parts = [Node() for _ in range(2_000)]
    all_added = Event()

    def measure() -> float:
        worst = openness()
        while not all_added.is_set():
            worst = max(worst, openness())
        return worst

    with ThreadPoolExecutor(1) as scrapes:
        measured = scrapes.submit(measure)
        for part in parts:
            await store.ask(answer, part)
        all_added.set()

    assert measured.result() == 0.0


def openness() -> float:
    [family] = metrics.BREAKER.collect()
    return next(each.value for each in family.samples if each.labels == {"dependency": "cache"})
