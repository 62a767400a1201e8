import asyncio
import signal
import sys
import time

from shortwire import servers

PROGRAM = """
import sys
from starlette.applications import Starlette
from starlette.routing import Route
from shared.http import health, readiness
from shared.serve import serve

async def ready(request):
    return await readiness(request, {})

app = Starlette(routes=[Route("/health", health), Route("/health/ready", ready)])
serve(app, host="127.0.0.1", port=int(sys.argv[1]), trusted_proxies="127.0.0.1")
"""


async def leaving(port: int) -> asyncio.subprocess.Process:
    """A server that was ready, and has just been told to stop."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", PROGRAM, str(port))
    async with asyncio.timeout(10):
        while await status(port, "/health/ready") != 200:
            await asyncio.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    return process


async def status(port: int, path: str) -> int | None:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
        writer.close()
    except OSError:
        return None
    return int(line.split()[1]) if line else None


async def test_readiness_turns_off_before_the_listener_closes():
    port = servers.free_port()

    process = await leaving(port)

    seen = []
    deadline = time.monotonic() + 5
    while (answer := await status(port, "/health/ready")) is not None:
        seen.append(answer)
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
    assert seen[-1] == 503
    assert seen.count(503) > 5
    await asyncio.wait_for(process.wait(), 10)


async def test_a_server_that_leaves_keeps_no_connection_open():
    port = servers.free_port()

    process = await leaving(port)

    async with asyncio.timeout(10):
        while await status(port, "/health/ready") == 200:
            await asyncio.sleep(0.02)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = await reader.read()  # to the end: the server closes first
        writer.close()
        await process.wait()
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in answer
