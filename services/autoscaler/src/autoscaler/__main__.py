"""Run the autoscaler: `python -m autoscaler [--dry-run]`, settings from the environment."""

import argparse
import asyncio
import logging
import signal

import uvloop

from autoscaler.control_loop import ControlLoop
from autoscaler.engine_client import EngineClient
from autoscaler.leader import Lease
from autoscaler.policies import policies
from autoscaler.settings import Settings
from shared import logs, redis_client
from shared.exposition import expose
from shared.settings import load

log = logging.getLogger(__name__)

BUS_TIMEOUT_SECONDS = 2.0


async def run(settings: Settings, *, dry_run: bool) -> None:
    """Scale until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with redis_client.connect(
        settings.bus_url, name="autoscaler", max_connections=4, timeout=BUS_TIMEOUT_SECONDS
    ) as bus:
        gate = EngineClient(settings.engine_gate_url)
        scaling = ControlLoop(gate, bus, policies(settings), dry_run=dry_run)
        log.info("autoscaler.started", extra={"dry_run": dry_run})
        await scaling.run(Lease(bus), stop, settings.poll_seconds)
    log.info("autoscaler.stopped")


def main() -> None:
    """Run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m autoscaler", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="decide and tell, change nothing")
    arguments = parser.parse_args()
    settings = load(Settings)
    logs.configure("autoscaler", settings.log_level)
    expose("autoscaler", host=settings.metrics_host, port=settings.metrics_port)
    uvloop.run(run(settings, dry_run=arguments.dry_run or settings.dry_run))


if __name__ == "__main__":
    main()
