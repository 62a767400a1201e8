"""Prometheus's and Alertmanager's own programs, where they are installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.observed import ROOT

PACKAGES = {  # Debian's; upstream archives have the same programs
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
}
COMMAND_SECONDS = 60.0


def find(program: str) -> str:
    """Return the path of `program`, or skip the test, saying what to install."""
    path = shutil.which(program) or shutil.which(f"prometheus-{program}")
    if path is None:
        pytest.skip(f"{program} is needed: apt-get install {PACKAGES[program]}")
    return path


def run(program: str, *arguments: str | Path) -> str:
    """What a tool prints; fails with its complaint."""
    done = subprocess.run(
        [find(program), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout
