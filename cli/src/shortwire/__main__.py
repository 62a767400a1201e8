"""The command line: `shortwire run | status | migrate | import | keys | forget | replay-dead`."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
import typer
from rich.progress import Progress, TaskID

from shared import logs, settings
from shared import migrate as schema
from shortwire import importer, local_stack, stack_file, status_view
from shortwire.import_repository import EVENTS, URLS, USERS, Table
from shortwire.import_rows import BadFile, Column
from shortwire.importer import ImportFailed
from shortwire.processes import StartError, python_module
from shortwire.settings import Settings
from shortwire.stack_file import Stack

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    add_completion=False,
    pretty_exceptions_enable=False,
)


def say(line: str) -> None:
    """Print a line at once, also into a file or a pipe; who reads may have gone meanwhile."""
    try:
        print(line, flush=True)
    except OSError:
        # Python would try once more at its end; https://docs.python.org/3/library/signal.html
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(*, wanted: bool) -> None:
    if wanted:
        say(f"Shortwire {metadata.version('shortwire-cli')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print it, and end."),
    ] = False,
) -> None:
    """Shortwire, a self-hosted URL shortener."""


def fail(sentence: str) -> typer.Exit:
    """Print why the command can't go on; the caller raises what is returned."""
    print(f"shortwire: {sentence}", file=sys.stderr, flush=True)
    return typer.Exit(1)


@app.command()
def run() -> None:
    """Run the whole system on this machine until Ctrl-C.

    Stores, services and gateway are child processes; what ends is started again.

    Settings come from the environment:

    PORT (8080) and BIND (127.0.0.1): where the gateway listens.

    DATA_DIR (.data): everything that outlives a run.

    AUTH (required): `open` asks for no key, for a trusted network.

    CORS_ORIGINS: origins of other sites' pages that may call the API, with commas between.

    REDIRECT_RATE (2000), API_RATE (100): requests per second and address.

    KEY_RATE (API_RATE): requests per second and key.

    WEBHOOK_PRIVATE_TARGETS (false): `true` lets webhooks be in your own network.

    REDIRECTORS (1), INGESTS (1), GATEWAY_WORKERS (1): processes.

    CLICK_STREAMS (1): streams of the bus that clicks go to.

    IP_POLICY (anonymized), HONOUR_OPT_OUT (false), GEOIP_DATABASE: what of visitors may be known.

    EVENTS_RETENTION_DAYS: for how many days events are kept; without it for ever.

    PUBLIC_URL: where visitors reach it, like https://go.example.com.

    LOG_LEVEL (INFO), LOG_RATIO, LOG_SLOW_MS: what gets a line of log.

    OTEL_EXPORTER_OTLP_ENDPOINT, TRACE_SAMPLE_RATIO (0.01): traces, by OTLP over gRPC.

    POSTGRES_URL, CACHE_URL, BUS_URL: use this server instead of an own one.
    """
    try:
        local_stack.run(settings.load(Settings), say)
    except StartError as error:
        raise fail(str(error)) from None


@app.command()
def status(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for programs.")] = False,
    seconds: Annotated[
        float, typer.Option(min=0.1, max=60, help="Rates are over so long.")
    ] = status_view.SECONDS,
) -> None:
    """Show how the system running here is doing: rates, hit ratios, lag, changes, health.

    A live view on a terminal until Ctrl-C, plain text in a pipe. In a pipe it ends with 1 where a
    part is away or a click was lost, so that a script can ask.
    """
    read = partial(running_stack, "its folder by DATA_DIR")
    if not as_json and sys.stdout.isatty():
        status_view.live(read, seconds)
        return
    now = status_view.once(read(), seconds)
    say(msgspec.json.encode(now).decode() if as_json else status_view.text(now))
    raise typer.Exit(0 if now.is_healthy else 1)


Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="POSTGRES_DSN",
        show_envvar=True,
        help="DSN of the database; without it, that of the system running here.",
    ),
]


def running_stack(otherwise: str) -> Stack:
    """Return the system that runs on DATA_DIR; ends the command, advising, where none does."""
    data = settings.load(Settings).data_dir.absolute()
    stack = stack_file.read(data)
    if stack is None:
        raise fail(f"nothing runs on {data}: start it with `make run`, or name {otherwise}.")
    return stack


def running_database() -> str:
    """Return the DSN of the system that runs on DATA_DIR; ends the command where none does."""
    return running_stack("a database by --database").postgres.url


@app.command()
def migrate(database: Database = None) -> None:
    """Bring the schema up to date; repeating it changes nothing."""
    dsn = database or running_database()
    logs.configure("migrate")  # tells what is waited for
    try:
        applied = asyncio.run(schema.run(schema.Settings(postgres_dsn=dsn)))
    except importer.CONNECT_ERRORS as error:
        raise fail(f"the schema was not brought up to date: {error}") from None
    say("\n".join(applied) or "The schema is up to date.")


def become(module: str, arguments: Sequence[str], environ: Mapping[str, str]) -> NoReturn:
    """Go on as `module`, which prints and fails as its own command."""
    command = [*python_module(module), *arguments]
    os.execve(command[0], command, {**os.environ, **environ})  # noqa: S606 - our own module


def _asks_help(context: typer.Context) -> bool:
    return not {"-h", "--help"}.isdisjoint(context.args)


PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True}


@app.command(context_settings=PASSED_ON, add_help_option=False)  # the module's own --help
def keys(context: typer.Context, database: Database = None) -> None:
    """Make, list and revoke API keys: `shortwire keys create --admin --name laptop`."""
    dsn = database or ("" if not context.args or _asks_help(context) else running_database())
    become("management.keys", context.args or ["--help"], {"POSTGRES_DSN": dsn})


@app.command(context_settings=PASSED_ON, add_help_option=False)  # the module's own --help
def forget(context: typer.Context, database: Database = None) -> None:
    """Remove what clicks tell of persons: `--user-id`, `--url-id`, `--address`, `--before`."""
    dsn = database or ("" if not context.args or _asks_help(context) else running_database())
    become("management.forget", context.args or ["--help"], {"POSTGRES_DSN": dsn})


@app.command(
    "replay-dead",
    context_settings=PASSED_ON,
    add_help_option=False,  # the module's own --help tells its options
)
def replay_dead(
    context: typer.Context,
    bus: Annotated[str | None, typer.Option("--bus", envvar="BUS_URL", show_envvar=True)] = None,
) -> None:
    """Send dead letters back to be stored: `--dry-run` counts them, `--limit N` bounds them."""
    url = bus or ("" if _asks_help(context) else running_stack("a bus by --bus").bus.url)
    become("event_ingest.replay_dead", context.args, {"BUS_URL": url})


def _file(columns: Sequence[Column]) -> object:
    """Return an option that names a CSV file with these columns."""
    header = ", ".join(column.name for column in columns)
    return typer.Option(
        exists=True, dir_okay=False, readable=True, show_default=False, help=f"CSV: {header}"
    )


@app.command("import")
def import_(
    users: Annotated[Path | None, _file(USERS.columns)] = None,
    urls: Annotated[Path | None, _file(URLS.columns)] = None,
    events: Annotated[Path | None, _file(EVENTS.columns)] = None,
    database: Database = None,
) -> None:
    """Import CSV files: ids are kept, repeating it is harmless.

    Times like 2025-12-29 00:57:12 are UTC; details are a JSON object.

    A file is imported as a whole or, where a row is wrong, not at all.
    """
    given = {USERS: users, URLS: urls, EVENTS: events}
    files = [(table, path) for table, path in given.items() if path is not None]
    if not files:
        raise fail("name at least one file: --users, --urls or --events.")
    try:
        asyncio.run(_import(files, database or running_database()))
    except (BadFile, ImportFailed) as error:
        raise fail(str(error)) from None


async def _import(files: Sequence[tuple[Table, Path]], dsn: str) -> None:
    connection = await importer.connect(dsn)
    try:
        for table, path in files:
            with Progress(disable=not sys.stdout.isatty(), transient=True) as progress:
                task = progress.add_task(f"Importing {path.name}", total=_lines(path))
                outcome = await importer.import_file(
                    connection, table, path, partial(_advance, progress, task)
                )
            already = outcome.rows - outcome.new
            say(f"{table.name}: {outcome.rows} rows, {outcome.new} new, {already} already there")
    finally:
        await connection.close()


def _advance(progress: Progress, task: TaskID, line: int) -> None:
    progress.update(task, completed=line)


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(1 for _ in file)


if __name__ == "__main__":
    app()
