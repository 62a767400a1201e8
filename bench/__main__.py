"""Measure the Shortwire of this checkout on this machine; nothing else should run meanwhile."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from bench import installation, redirects, wrk
from bench.installation import Installation
from bench.rounds import Say
from bench.settings import Settings
from shared.settings import load
from shortwire.processes import StartError

Measure = Callable[[Installation, Settings, Say], None]

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback(help=__doc__)
def options(
    context: typer.Context,
    rounds: Annotated[int | None, typer.Option(help="Medians are of so many. [ROUNDS, 5]")] = None,
    seconds: Annotated[
        float | None, typer.Option(help="Length of a contender's turn. [SECONDS, 4]")
    ] = None,
    connections: Annotated[
        int | None, typer.Option(help="Of the client. [CONNECTIONS, 32]")
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="Contenders with commas between. [ONLY, all]")
    ] = None,
    results: Annotated[
        Path | None, typer.Option(help="Where to write. [RESULTS, bench/results.json]")
    ] = None,
) -> None:
    """Take the settings: a flag, else the environment's variable, else the default."""
    given = {
        "rounds": rounds,
        "seconds": seconds,
        "connections": connections,
        "only": only,
        "results": results,
    }
    flags = {name: value for name, value in given.items() if value is not None}
    context.obj = replace(load(Settings), **flags)


@app.command(name="redirects")
def measure_redirects(context: typer.Context) -> None:
    """Redirects per second of each contender, round robin."""
    _measure([redirects.measure], context.obj)


@app.command(name="all")
def measure_all(context: typer.Context) -> None:
    """Everything but `growth`."""
    _measure([redirects.measure], context.obj)


def _measure(parts: list[Measure], settings: Settings) -> None:
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    try:
        wrk.find()
        say("starting Shortwire and its rivals")
        with installation.running({}) as measured:
            for part in parts:
                part(measured, settings, say)
        say(f"done; the figures are in {settings.results}")
    except StartError as error:
        raise SystemExit(f"bench: {error}") from None


if __name__ == "__main__":
    app(prog_name="python -m bench")
