import asyncio
import http.client
import os
import sys

from shortwire.servers import free_port
from tests.metrics_reference import documented, exported

DEADLINE_SECONDS = 20.0


def scraped(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


async def test_the_autoscaler_exports_what_the_reference_says(bus_url: str):
    port = free_port()
    settings = {
        "BUS_URL": bus_url,
        "ENGINE_GATE_URL": "http://127.0.0.1:1",
        "POLL_SECONDS": "0.1",
        "METRICS_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "autoscaler"),
        env={**os.environ, **settings},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while "shortwire_autoscaler_failures_total{" not in (text := scraped(port)):
                await asyncio.sleep(0.1)
    finally:
        process.terminate()
        await process.wait()

    found = {family for family in exported(text)[0] if family.name.startswith("shortwire_auto")}
    promised = documented("autoscaler")
    assert {(f.name, f.type) for f in found} == {(f.name, f.type) for f in promised}
    # A metric whose labels had no value yet shows none.
    assert {f for f in found if f.labels} <= promised
    assert 'shortwire_build_info{service="autoscaler"' in text
