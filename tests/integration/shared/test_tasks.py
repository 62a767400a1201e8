import asyncio
import sys

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
