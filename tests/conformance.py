"""Ask a running service whatever its description admits, and what it does not (schemathesis)."""

import asyncio
import sys
from pathlib import Path

CONFIG = Path(__file__).with_name("schemathesis.toml")
LIMIT_SECONDS = 900  # a minute alone; several times that on a busy machine


async def ask_all(description: str, folder: Path, *options: str) -> None:
    """Fail with the report unless every answer fits `description`, an address or a file."""
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(CONFIG)),
        *("run", description, "--no-color", *options),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
