"""Follow a short link: identify, resolve, record, answer."""

import re
import time
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from redirector import metrics, request_facts
from redirector.answers import redirect_headers
from redirector.click_encoder import link_members
from redirector.click_recorder import ClickRecorder
from redirector.hot_path import HotPath
from redirector.resolver import Resolution, Resolver
from shared.errors import DomainError
from shared.events import DEFAULT_DOMAIN, LinkRecord
from shared.http import error_response, health, readiness

__all__ = ["State", "follow", "health", "ready"]

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # what else cannot be in the table


class State(TypedDict):
    """What the lifespan opens and each request uses."""

    resolver: Resolver
    clicks: ClickRecorder
    hot_path: HotPath


async def follow(request: Request[State]) -> Response:
    """Redirect to the link's target and record the click; a HEAD is no click."""
    started = time.perf_counter()
    code: str = request.path_params["code"]
    accept = request.headers.get("accept", "")
    if not CODE.match(code):
        metrics.answered(404, "none", time.perf_counter() - started)
        return error_response(accept, 404, "Not found")
    try:
        resolution = await request.state["resolver"].resolve(code)
    except DomainError as error:
        metrics.answered(error.status, "none", time.perf_counter() - started)
        raise
    response = _answer(resolution, accept)
    if response.status_code == 302 and request.method == "GET":
        _record(request, code, resolution.record)
    metrics.answered(response.status_code, resolution.source, time.perf_counter() - started)
    return response


def _answer(resolution: Resolution, accept: str) -> Response:
    record = resolution.record
    if record.state == "active":
        response = Response(status_code=302, headers=redirect_headers(record))
    elif record.state == "inactive":
        response = error_response(accept, 410, "URL is deactivated")
    else:
        response = error_response(accept, 404, "Not found")
    if resolution.source == "stale":
        response.headers["X-Cache"] = "stale"
    return response


def _record(request: Request[State], code: str, record: LinkRecord) -> None:
    clicks = request.state["clicks"]
    link = link_members(DEFAULT_DOMAIN, code, record)
    facts = request_facts.from_scope(request.scope["headers"])
    request_id: str = request.scope["request_id"]
    clicks.record([clicks.encode(link, facts.visitor, request_id.encode(), facts.started)])


async def ready(request: Request[State]) -> Response:
    """Answer whether links can be resolved."""
    return await readiness(request, {"stores": request.state["resolver"].check})
