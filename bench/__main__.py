"""Measure the Shortwire of this checkout on this machine; nothing else should run meanwhile."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import replace

from bench import growth, ingest, installation, latency, memory, redirects, short_cut, wrk
from bench.installation import Installation
from bench.links import LINKS
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
    links: Annotated[
        str | None, typer.Option(help="Steps of growth. [LINKS, 1000,100000,10000000]")
    ] = None,
    events: Annotated[
        str | None, typer.Option(help="Steps of growth. [EVENTS, 10000,10000000]")
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
        "links": links,
        "events": events,
        "only": only,
        "results": results,
    }
    flags = {name: value for name, value in given.items() if value is not None}
    context.obj = replace(load(Settings), **flags)


@app.command(name="redirects")
def measure_redirects(context: typer.Context) -> None:
    """Redirects per second of each contender, round robin."""
    _measure([redirects.measure], context.obj)


@app.command(name="ingest")
def measure_ingest(context: typer.Context) -> None:
    """Clicks per second from the stream to rows and roll-ups, beside COPY."""
    _measure([ingest.measure], context.obj)


@app.command(name="latency")
def measure_latency(context: typer.Context) -> None:
    """Response times at a constant rate, beside Nginx's."""
    _measure([latency.measure], context.obj)


@app.command(name="memory")
def measure_memory(context: typer.Context) -> None:
    """Memory of a redirector that remembers as many links as it may."""
    _measure([memory.measure], context.obj)


@app.command(name="growth")
def measure_growth(context: typer.Context) -> None:
    """Redirects with more and more links, pages with more and more events; takes long."""
    _measure([growth.measure], context.obj, links=context.obj.growth_links()[0])


@app.command(name="short-cut")
def measure_short_cut() -> None:
    """Microseconds of a redirect in the short cut, without the kernel's part; takes seconds."""
    short_cut.measure()


@app.command(name="all")
def measure_all(context: typer.Context) -> None:
    """Everything but `growth`."""
    _measure([redirects.measure, latency.measure, memory.measure, ingest.measure], context.obj)


def _measure(parts: list[Measure], settings: Settings, links: int = LINKS) -> None:
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}", file=sys.stderr, flush=True)

    try:
        wrk.find()
        say("starting Shortwire and its rivals")
        with installation.running({}, links) as measured:
            for part in parts:
                part(measured, settings, say)
        say(f"done; the figures are in {settings.results}")
    except StartError as error:
        raise SystemExit(f"bench: {error}") from None


if __name__ == "__main__":
    app(prog_name="python -m bench")
