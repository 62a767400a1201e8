"""Tasks that live as long as their service, and waits that end when it stops."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

log = logging.getLogger(__name__)

CANCEL_AGAIN_SECONDS = 0.5


@asynccontextmanager
async def background(work: Coroutine[object, object, object], *, name: str) -> AsyncIterator[None]:
    """Run `work` beside the block and cancel it at its end.

    If `work` ends by itself or fails, the process is sent SIGTERM: a service without its task
    would look alive and do nothing, and the restart policy must see it go. Raises `SystemExit`
    then, at the end of the block: a process that takes SIGTERM for its end ends with a failure.
    """
    ended = has_died = False

    def on_done(task: asyncio.Task[object]) -> None:
        nonlocal has_died
        if ended or task.cancelled():
            return
        has_died = True
        log.critical("task.died", extra={"task": name}, exc_info=task.exception())
        os.kill(os.getpid(), signal.SIGTERM)

    task = asyncio.ensure_future(work)
    task.add_done_callback(on_done)
    try:
        yield
    finally:
        ended = True
        # More than once: a client library may report a cancellation as a lost connection (seen
        # with redis-py while it connects), and the loop around it would try again for ever.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=CANCEL_AGAIN_SECONDS)
    if has_died:
        raise SystemExit(1)


async def sleep_unless(stop: asyncio.Event, seconds: float) -> None:
    """Wait for `seconds`, or less where `stop` is set meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()
