"""What a redirector's memory holds: resident bytes with as many links as it remembers."""

import msgspec
import psutil

from bench import goals, report, rivals, wrk
from bench.installation import Installation
from bench.links import LINKS
from bench.medians import figure
from bench.rounds import Say
from bench.settings import Settings
from bench.wrk import Traffic

GOAL_MEBIBYTES = 150.0
STEP_SECONDS = 5.0


def measure(installation: Installation, settings: Settings, say: Say) -> None:
    """Ask a fresh redirector for each link once, and see how much memory it took."""
    redirector = rivals.redirector(installation, "memory", installation.stack.cache.url, LINKS)
    before = _resident(redirector.pid)
    asked = 0
    while asked < LINKS:
        traffic = Traffic(links=LINKS, start=asked - 1)
        asked += wrk.run(
            redirector.url, traffic, seconds=STEP_SECONDS, connections=settings.connections
        ).requests
        say(f"memory: {min(asked, LINKS):,} of {LINKS:,} links are remembered")
    after = _resident(redirector.pid)
    mebibytes, link_bytes = after / 2**20, (after - before) / LINKS
    rows = [
        ["fresh", f"{before / 2**20:.0f} MiB"],
        [f"with {LINKS:,} links", f"{mebibytes:.0f} MiB"],
        ["per link", f"{link_bytes:.0f} bytes"],
    ]
    report.show("Resident memory of a redirector", ["", ""], rows)
    what = f"MiB of a redirector with {LINKS:,} links"
    verdict = goals.at_most(what, figure([mebibytes]), GOAL_MEBIBYTES)
    report.show_verdicts([verdict])
    results = {"fresh": before, "full": after, "per_link": link_bytes, "goals": [verdict]}
    report.write(settings.results, {"memory": msgspec.to_builtins(results)})


def _resident(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)
