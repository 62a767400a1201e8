"""What was measured, as tables on the terminal and as `results.json`."""

import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from bench.goals import Verdict
from bench.medians import Figure
from shortwire import servers

WIDTH = 118  # wide enough for every table, on a terminal and in a file


def machine() -> dict[str, str]:
    """Return what the figures depend on; no name of a host, no path."""
    programs = {
        "nginx": [servers.nginx_program(), "-v"],
        "redis": [servers.redis_binary(), "--version"],
        "postgres": [str(servers.postgres_bin() / "postgres"), "--version"],
    }
    versions = {name: _first_line(argv) for name, argv in programs.items()}
    return {
        "cores": str(psutil.cpu_count()),
        "memory_gib": f"{psutil.virtual_memory().total / 2**30:.0f}",
        "processor": _processor(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **versions,
    }


def _first_line(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return (done.stdout or done.stderr).strip().partition("\n")[0]


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def write(path: Path, results: dict[str, Any]) -> None:
    """Put `results` into the file, beside what other measurements left there."""
    try:
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (FileNotFoundError, msgspec.DecodeError):
        kept = {}
    content = msgspec.json.encode({**kept, "machine": machine(), **results})
    path.write_bytes(msgspec.json.format(content) + b"\n")


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; its first column is text, the others are figures."""
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=number > 0)
    for row in rows:
        table.add_row(*row)
    Console(width=WIDTH).print(table)


def show_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print what was to be reached, and what was."""
    rows = [
        [each.what, each.bound, text(each.measured), "yes" if each.is_reached else "NO"]
        for each in verdicts
    ]
    show("Goals", ["ratio", "goal", "measured (lowest to highest)", "reached"], rows)


def text(figure: Figure) -> str:
    """Return a figure with its spread."""
    return f"{_short(figure.median)} ({_short(figure.lowest)} to {_short(figure.highest)})"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
