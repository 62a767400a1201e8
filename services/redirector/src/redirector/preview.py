"""`/{code}+`: where a short link leads, to who would rather know before. No click is counted."""

import html
from datetime import datetime
from typing import Annotated

import msgspec
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from redirector import link_repository
from redirector.handlers import Over, State, Visit, code_of
from redirector.link_repository import Facts
from shared.errors import DATABASE_UNAVAILABLE, DomainError
from shared.events import LinkRecord
from shared.http import JSONResponse, prefers_html

POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
HEADERS = {"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
NO_FACTS = Facts(None, None)
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; padding: 0 1rem }}
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 15vh auto }}
  h1 {{ font-size: 1.6rem }} h1, p {{ overflow-wrap: anywhere }} small {{ opacity: .75 }}
</style>
<h1>{title}</h1>
<p>This short link leads to<br><strong>{target}</strong></p>
{varies}<p><a href="/{code}" rel="nofollow">Go on</a></p>
{created}</html>
"""
VARIES = "<p><small>It may lead others elsewhere.</small></p>\n"
CREATED = "<p><small>Made on {day}.</small></p>\n"


class Hidden(DomainError):
    """The link asks for a password, and its target is a part of the secret."""

    status = 403


class Preview(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is told of a link; `varies` says that it may lead others elsewhere."""

    short_code: str
    original_url: str
    title: str | None = None
    created_at: Annotated[datetime | None, msgspec.Meta(description="UTC, without offset.")] = None
    varies: bool = False


async def preview(request: Request[State]) -> Response:
    """Show where a link leads this visitor, as a page or as JSON."""
    code = code_of(request)
    resolution = await request.state["resolver"].resolve(code)
    request.scope["source"] = resolution.source
    record = resolution.record
    visit = Visit(request, code, resolution)
    try:
        target = await _target(visit, record)
        varies = bool(record.rules)
    except Over:
        if record.expired_target is None:
            raise
        target, varies = record.expired_target, False
    facts = await _facts(request, record)
    shown = Preview(code, target, facts.title, facts.created_at, varies)
    if prefers_html(request.headers.get("accept", "")):
        return HTMLResponse(_page(shown), headers={**HEADERS, "Content-Security-Policy": POLICY})
    return JSONResponse(shown, headers=HEADERS)


class PreviewPage(HTTPEndpoint):
    """The same, for every method: what it has not must not be taken for a code's."""

    async def get(self, request: Request[State]) -> Response:
        """Answer with what `preview` shows."""
        return await preview(request)

    head = get


async def _target(visit: Visit, record: LinkRecord) -> str:
    """Return the link's target for this visitor; raises `DomainError` where it has none."""
    visit.refuse_gone()
    if record.password_hash is not None:
        raise Hidden("This link needs a password: where it leads is not shown")
    if record.max_clicks is not None:
        await visit.refuse_used_up(record.max_clicks)
    return visit.target()


async def _facts(request: Request[State], record: LinkRecord) -> Facts:
    """Return what only the row knows: nothing where it cannot be read now."""
    assert record.url_id is not None
    try:
        return await link_repository.find_facts(request.state["pool"], record.url_id) or NO_FACTS
    except DATABASE_UNAVAILABLE:
        return NO_FACTS


def _page(shown: Preview) -> str:
    return PAGE.format(
        title=html.escape(shown.title or f"/{shown.short_code}"),
        target=html.escape(shown.original_url),
        varies=VARIES if shown.varies else "",
        code=shown.short_code,
        created=CREATED.format(day=shown.created_at.date()) if shown.created_at else "",
    )
