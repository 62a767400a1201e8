"""Follow a short link: identify, resolve, record, answer."""

import re
import time
from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response

from redirector import metrics
from redirector.click_recorder import ClickRecorder
from redirector.resolver import Resolution, Resolver
from shared.errors import DomainError
from shared.http import error_response, health, readiness

__all__ = ["State", "follow", "health", "ready"]

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # what else cannot be in the table
CACHE_CONTROL = "private, max-age=0"  # a browser asks again: an edit arrives at once


class State(TypedDict):
    """What the lifespan opens and each request uses."""

    resolver: Resolver
    clicks: ClickRecorder


async def follow(request: Request[State]) -> Response:
    """Redirect to the link's target and record the click; a HEAD is no click."""
    started = time.perf_counter()
    code: str = request.path_params["code"]
    accept = request.headers.get("accept", "")
    if not CODE.match(code):
        _count(404, "none", started)
        return error_response(accept, 404, "Not found")
    try:
        resolution = await request.state["resolver"].resolve(code)
    except DomainError as error:
        _count(error.status, "none", started)
        raise
    response = _answer(resolution, accept)
    if response.status_code == 302 and request.method == "GET":
        request.state["clicks"].record(
            code,
            resolution.record,
            request_id=request.scope["request_id"],
            started=request.headers.get("x-request-start"),
            referrer=request.headers.get("referer"),
            user_agent=request.headers.get("user-agent"),
        )
    _count(response.status_code, resolution.source, started)
    return response


def _answer(resolution: Resolution, accept: str) -> Response:
    record = resolution.record
    if record.state == "active":
        assert record.target is not None
        response = Response(
            status_code=302, headers={"Location": record.target, "Cache-Control": CACHE_CONTROL}
        )
    elif record.state == "inactive":
        response = error_response(accept, 410, "URL is deactivated")
    else:
        response = error_response(accept, 404, "Not found")
    if resolution.source == "stale":
        response.headers["X-Cache"] = "stale"
    return response


def _count(status: int, source: str, started: float) -> None:
    metrics.RESPONSES.labels(status, source).inc()
    metrics.SECONDS.observe(time.perf_counter() - started)


async def ready(request: Request[State]) -> Response:
    """Answer whether links can be resolved."""
    return await readiness(request, {"stores": request.state["resolver"].check})
