"""What every HTTP service of ours does alike: errors, request ids, health."""

import html
import itertools
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from shared.checkpoints import checkpoint
from shared.errors import DATABASE_UNAVAILABLE, DomainError, Unavailable

log = logging.getLogger(__name__)

MAX_REQUEST_ID_LENGTH = 128
_REQUEST_ID = re.compile(rb"[!-~]{1,%d}\Z" % MAX_REQUEST_ID_LENGTH)

Check = Callable[[], Awaitable[object]]


class JSONResponse(Response):
    """JSON by msgspec: Structs, datetimes and mappings alike."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode `content`."""
        with checkpoint("serialize"):
            return msgspec.json.encode(content)


def prefers_html(accept: str) -> bool:
    """Tell whether an Accept header ranks HTML above JSON (RFC 9110, section 12.5.1)."""
    ranks: dict[str, float] = {}
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        ranks[media] = next((_quality(p[2:]) for p in parameters if p.startswith("q=")), 1.0)
    return ranks.get("text/html", 0.0) > ranks.get("application/json", ranks.get("*/*", 0.0))


def _quality(value: str) -> float:
    try:
        return float(value)
    except ValueError:
        return 0.0


ERROR_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; padding: 0 1rem }}
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto }}
  h1 {{ font-size: 1.6rem }} p {{ opacity: .75 }}
</style>
<h1>{title}</h1>
<p>{message}</p>
</html>
"""
NOT_FOUND = "Not found"
NOTHING_THERE = (
    "There is nothing at this address. Check it letter by letter: capital and small ones differ."
)


def error_response(
    accept: str,
    status: int,
    message: str,
    details: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the one shape of every error, or a friendly page to who prefers HTML.

    Nobody may keep it: a cache may keep a 404 or 410 that says nothing of that (RFC 9110, section
    15.1), and the link may begin any moment.
    """
    headers = {"Cache-Control": "no-store", **(headers or {})}
    if prefers_html(accept):
        title = HTTPStatus(status).phrase
        if status == 404 and message == NOT_FOUND:
            message = NOTHING_THERE  # the title says the rest
        page = ERROR_PAGE.format(title=html.escape(title), message=html.escape(message))
        return HTMLResponse(page, status, headers)
    body: dict[str, object] = {"error": message}
    if details:
        body["details"] = details
    return JSONResponse(body, status, headers)


MALFORMED = (b"400 Bad Request", "Malformed request")
RAW_ERROR = (
    b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n"
    b"x-request-id: %b\r\nconnection: close\r\n\r\n%b"
)


def raw_error(status_line: bytes, message: str) -> bytes:
    """Return the same shape, whole, for what no application gets to see: the connection ends."""
    body = msgspec.json.encode({"error": message})
    return RAW_ERROR % (status_line, len(body), new_request_id(), body)


def _on_domain_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, DomainError)
    accept = request.headers.get("accept", "")
    return error_response(accept, error.status, error.message, error.details, error.headers)


def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    phrase = HTTPStatus(error.status_code).phrase  # Starlette's detail where none was given
    message = phrase.capitalize() if error.detail == phrase else error.detail
    accept = request.headers.get("accept", "")
    return error_response(accept, error.status_code, message, headers=error.headers)


def _on_unavailable(request: Request, error: Exception) -> Response:
    log.warning("request.unavailable", extra={"path": request.url.path, "error": error})
    return _on_domain_error(request, Unavailable())


def _on_bug(request: Request, _error: Exception) -> Response:
    # This answer is made outside of RequestIDMiddleware.
    headers = {"X-Request-ID": request.scope["request_id"]}
    # Starlette raises the error again after this answer, and uvicorn logs its traceback.
    accept = request.headers.get("accept", "")
    return error_response(accept, 500, "Internal error", headers=headers)


EXCEPTION_HANDLERS: Mapping[int | type[Exception], ExceptionHandler] = {
    DomainError: _on_domain_error,
    HTTPException: _on_http_exception,
    Exception: _on_bug,
    **dict.fromkeys(DATABASE_UNAVAILABLE, _on_unavailable),
}


def is_request_id(candidate: bytes) -> bool:
    """Tell whether a client's request id is short visible ASCII."""
    return _REQUEST_ID.match(candidate) is not None


def _new_request_ids() -> Iterator[bytes]:
    """Yield hex digits of this process's own and a number of 16 more.

    Its last two are appended: formatting the whole number takes some four times as long.
    """
    process = secrets.token_hex(8).encode()
    endings = [b"%02x" % number for number in range(256)]
    for number in itertools.count():
        beginning = b"%b%014x" % (process, number)
        for ending in endings:
            yield beginning + ending


_REQUEST_IDS = _new_request_ids()


def new_request_id() -> bytes:
    """Return a request id that no other request has, hex digits; for one thread only."""
    return next(_REQUEST_IDS)


def request_id_of(candidate: bytes | None) -> bytes:
    """Return the client's request id if it is sane, else a new one."""
    if candidate is not None and is_request_id(candidate):
        return candidate
    return new_request_id()


class RequestIDMiddleware:
    """Give every request an id (`scope["request_id"]`) and every response its header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its id set."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        candidates = (value for name, value in scope["headers"] if name == b"x-request-id")
        request_id = request_id_of(next(candidates, None)).decode()
        scope["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        await self.app(scope, receive, send_with_id)


async def health(_: Request) -> Response:
    """Answer that the process lives; touches nothing else."""
    return JSONResponse({"status": "ok"})


async def readiness(request: Request[Any], checks: Mapping[str, Check]) -> Response:
    """Run each dependency's check: 200 where all pass, else 503 with each one's state.

    A process that was told to stop is not ready, whatever its dependencies say.
    """
    states = {name: await _state(name, check) for name, check in checks.items()}
    if getattr(request.app.state, "is_leaving", False):
        states["process"] = "leaving"
    if all(state == "ok" for state in states.values()):
        return JSONResponse({"status": "ok"})
    return JSONResponse({"error": "Not ready", "details": states}, 503, Unavailable.headers)


async def _state(name: str, check: Check) -> str:
    try:
        await check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the dependency is not usable
        log.warning("readiness.failed", extra={"dependency": name, "error": error})
        return "unavailable"
    return "ok"
