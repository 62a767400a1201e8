import asyncio

import pytest

from event_ingest.in_hand import InHand

TIMEOUT = 5.0


class Work:
    """Pieces of work that end when told to; `most` is how many were being done at once."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.most = 0

    async def piece(
        self, name: str, until: asyncio.Event | None = None, error: Exception | None = None
    ) -> None:
        self.begun.append(name)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        try:
            if until is not None:
                await until.wait()
            if error is not None:
                raise error
        finally:
            self.ended.append(name)


async def test_the_next_begins_while_one_is_done_and_no_more_than_that():
    work, end = Work(), asyncio.Event()

    async with asyncio.timeout(TIMEOUT), InHand(2) as in_hand:
        await in_hand.add(work.piece("first", end))
        assert work.begun == ["first"]
        third = asyncio.ensure_future(in_hand.add(work.piece("second", end)))
        await asyncio.sleep(0.01)
        assert work.begun == ["first", "second"]
        assert not third.done(), "there is no room for another"
        end.set()
        await third
        for name in ("third", "fourth", "fifth"):
            await in_hand.add(work.piece(name))

    assert work.most == 2
    assert sorted(work.ended) == sorted(work.begun)
    assert len(work.ended) == 5


async def test_the_block_ends_when_all_is_done():
    work, end = Work(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, end.set)

    async with asyncio.timeout(TIMEOUT), InHand(3) as in_hand:
        await in_hand.add(work.piece("first", end))
        await in_hand.add(work.piece("second", end))

    assert work.ended == ["first", "second"]


async def test_a_failure_is_raised_by_the_next_and_the_others_come_to_their_end():
    work, end = Work(), asyncio.Event()

    async def block() -> None:
        async with asyncio.timeout(TIMEOUT), InHand(3) as in_hand:
            await in_hand.add(work.piece("slow", end))
            asyncio.get_running_loop().call_later(0.02, end.set)
            await in_hand.add(work.piece("bad", error=OSError("lost")))
            await in_hand.add(work.piece("never"))

    with pytest.raises(OSError, match="lost"):
        await block()

    assert work.ended == ["bad", "slow"]


async def test_a_failure_at_the_end_is_not_swallowed_and_the_first_counts():
    end = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, end.set)

    async def block() -> None:
        async with asyncio.timeout(TIMEOUT), InHand(3) as in_hand:
            await in_hand.add(Work().piece("a", end, OSError("first")))
            await in_hand.add(Work().piece("b", end, OSError("second")))

    with pytest.raises(OSError, match="first"):
        await block()


async def test_a_failure_of_the_work_comes_before_the_block_s_own():
    end = asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, end.set)

    async def block() -> None:
        async with asyncio.timeout(TIMEOUT), InHand(2) as in_hand:
            await in_hand.add(Work().piece("a", end, OSError("work")))
            raise ConnectionError

    with pytest.raises(OSError, match="work") as raised:
        await block()

    assert isinstance(raised.value.__context__, ConnectionError)


async def test_the_block_s_own_failure_waits_for_what_is_in_hand():
    work, end = Work(), asyncio.Event()
    asyncio.get_running_loop().call_later(0.02, end.set)

    async def block() -> None:
        async with asyncio.timeout(TIMEOUT), InHand(2) as in_hand:
            await in_hand.add(work.piece("first", end))
            raise ConnectionError

    with pytest.raises(ConnectionError):
        await block()

    assert work.ended == ["first"]


async def test_cancelled_it_cancels_what_is_in_hand():
    work = Work()

    async def block() -> None:
        async with InHand(2) as in_hand:
            await in_hand.add(work.piece("first", asyncio.Event()))
            await asyncio.Event().wait()

    task = asyncio.ensure_future(block())
    await asyncio.sleep(0.01)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, TIMEOUT)
    assert work.ended == ["first"]
