"""`/`: what this is; and the answers of the health checks."""

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from management.connections import connection
from management.descriptions import HTML
from management.resources import State, operation
from shared import http
from shared.errors import Unavailable

CHECK_TIMEOUT_SECONDS = 0.5

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Shortwire</title>
<style>
  :root { color-scheme: light dark; padding: 0 1rem }
  body { font: 1.1rem/1.5 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto }
  code { background: #8882; padding: 0 .3em; border-radius: .2em }
</style>
<h1>Shortwire</h1>
<p>A self-hosted URL shortener. Short links live here, at <code>/{code}</code>.</p>
<p>Owners manage theirs over the API: <code>/users</code>, <code>/urls</code>,
<code>/events</code>: <a href="/docs">how</a>. Its state is at
<a href="/health/ready">/health/ready</a>.</p>
</html>
"""


class Health(msgspec.Struct, frozen=True):
    """All is well."""

    status: Literal["ok"] = "ok"


@operation(HTML)
async def home(_: Request[State]) -> Response:
    """Say what this is."""
    return HTMLResponse(PAGE)


@operation(Health, example=Health())
async def health(request: Request[Any]) -> Response:
    """Answer that the process lives; touches nothing else."""
    return await http.health(request)


@operation(Health, example=Health(), errors=(Unavailable,))
async def ready(request: Request[State]) -> Response:
    """Answer whether the API can serve, and what it lacks if not."""
    state = request.state

    async def check_postgres() -> None:
        async with connection(state["pool"]) as lent:
            await lent.execute("SELECT 1", timeout=CHECK_TIMEOUT_SECONDS)

    checks: dict[str, http.Check] = {
        "postgres": check_postgres,
        "cache": state["cache"].ping,
        "bus": state["bus"].ping,
    }
    return await http.readiness(request, checks)
