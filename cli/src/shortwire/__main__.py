"""The command line: `shortwire run | migrate | import | keys`."""

import asyncio
import sys
from typing import Annotated

import typer

from shared import migrate as schema
from shared import settings
from shortwire import local_stack, services, stack_file
from shortwire.processes import StartError
from shortwire.settings import Settings

app = typer.Typer(
    help="Shortwire, a self-hosted URL shortener.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def say(line: str) -> None:
    """Print a line at once, also where the output is a file or a pipe."""
    print(line, flush=True)


def fail(sentence: str) -> typer.Exit:
    """Print why the command can't go on; the caller raises what is returned."""
    print(f"shortwire: {sentence}", file=sys.stderr, flush=True)
    return typer.Exit(1)


@app.command()
def run() -> None:
    """Run the whole system on this machine until Ctrl-C.

    PostgreSQL, two Redis, all services and the gateway are started as child processes, with
    their data under DATA_DIR. Settings come from the environment: PORT (8080), BIND
    (127.0.0.1), DATA_DIR (.data), AUTH (required or open), REDIRECTORS (1), REDIRECT_RATE
    (2000) and API_RATE (100) per second and address, GATEWAY_WORKERS (1), PUBLIC_URL, LOG_LEVEL
    (INFO). With POSTGRES_URL, CACHE_URL or BUS_URL that server is used instead of an own one.
    """
    try:
        local_stack.run(settings.load(Settings), say)
    except StartError as error:
        raise fail(str(error)) from None


Database = Annotated[
    str | None,
    typer.Option(
        "--database",
        envvar="POSTGRES_DSN",
        show_envvar=True,
        help="DSN of the database; without it, that of the system running here.",
    ),
]


def running_database() -> str:
    """Return the DSN of the system that runs on DATA_DIR; ends the command where none does."""
    data = settings.load(Settings).data_dir.absolute()
    stack = stack_file.read(data)
    if stack is None:
        raise fail(
            f"nothing runs on {data}: start it with `make run`, or name a database by --database."
        )
    return stack.postgres.url


@app.command()
def migrate(database: Database = None) -> None:
    """Bring the schema up to date; repeating it changes nothing."""
    dsn = database or running_database()
    applied = asyncio.run(schema.run(schema.Settings(postgres_dsn=dsn)))
    say("\n".join(applied) or "The schema is up to date.")


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def keys(context: typer.Context, database: Database = None) -> None:
    """Make an API key: `shortwire keys create --admin --name laptop` prints it once."""
    try:
        say(services.keys(context.args, {"POSTGRES_DSN": database or running_database()}))
    except StartError as error:
        raise fail(str(error)) from None


if __name__ == "__main__":
    app()
