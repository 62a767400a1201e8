import asyncio
import signal
import sys
from contextlib import suppress

import pytest

from shared.tasks import background

PROGRAM = """
import asyncio, signal
from shared.tasks import background

async def dies():
    await asyncio.sleep(0.05)
    raise RuntimeError("a task that a service cannot do without")

async def main():
    stop = asyncio.Event()
    if %s:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with background(dies(), name="dies"):
        await stop.wait()
    print("all is well")

asyncio.run(main())
"""


@pytest.mark.parametrize(("ends_well", "code"), [(False, -signal.SIGTERM), (True, 1)])
async def test_a_task_that_dies_takes_its_process_with_it(*, ends_well: bool, code: int):
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PROGRAM % ends_well),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )

    said, errors = await asyncio.wait_for(process.communicate(), 10)

    assert (process.returncode, said) == (code, b"")
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
