"""Work that is done at once, a bounded number of pieces of it."""

import asyncio
from collections.abc import Coroutine
from types import TracebackType


class InHand:
    """At most so many pieces of work; leaving the block waits for all of them.

    A failure is raised where the next work is handed in, or at the end of the block, and then
    before the block's own. What else is in hand is brought to its end first. Only where the block
    is cancelled, so is the work.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._tasks: list[asyncio.Task[object]] = []  # in the order in which they began

    async def __aenter__(self) -> "InHand":
        """Begin with nothing in hand."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Wait until all is done; raises the failure of what began first."""
        is_cancelled = isinstance(error, asyncio.CancelledError)
        if is_cancelled:
            for task in self._tasks:
                task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        failures = [result for result in results if isinstance(result, BaseException)]
        if failures and not is_cancelled and failures[0] is not error:
            raise failures[0]

    async def add(self, work: Coroutine[object, object, object]) -> None:
        """Begin `work`, and return once there is room for more; raises what any has failed with."""
        self._tasks.append(asyncio.ensure_future(work))
        await asyncio.sleep(0)  # it has begun, whether there is room or not
        if len(self._tasks) >= self._most:
            await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in [task for task in self._tasks if task.done()]:
            task.result()
            self._tasks.remove(task)
