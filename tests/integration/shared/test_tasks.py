import asyncio
import sys
from contextlib import suppress

from shared.tasks import background

PROGRAM = """
import asyncio, logging
from shared.tasks import background

async def dies():
    await asyncio.sleep(0.05)
    raise RuntimeError("a task that a service cannot do without")

async def main():
    async with background(dies(), name="dies"):
        await asyncio.sleep(30)

asyncio.run(main())
"""


async def test_a_task_that_dies_takes_its_process_with_it():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM, stderr=asyncio.subprocess.PIPE
    )

    _, errors = await asyncio.wait_for(process.communicate(), 10)

    assert process.returncode != 0
    assert b"task.died" in errors


async def test_a_task_that_takes_its_cancellation_for_a_lost_connection_ends_all_the_same():
    attempts = 0

    async def stubborn() -> None:
        nonlocal attempts
        while attempts < 2:
            with suppress(asyncio.CancelledError):  # as a client library may do
                attempts += 1
                await asyncio.sleep(30)

    async with asyncio.timeout(5):
        async with background(stubborn(), name="stubborn"):
            await asyncio.sleep(0.01)

    assert attempts == 2
