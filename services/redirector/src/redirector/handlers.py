"""Follow a short link: identify, resolve, decide, record, answer."""

import re
import time
from typing import TypedDict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from redirector import answers, choices, request_headers
from redirector.click_encoder import link_members, quoted, source_members, trace_member
from redirector.click_limits import ClickLimits
from redirector.click_recorder import ClickRecorder
from redirector.hot_path import HotPath
from redirector.orphan_counts import OrphanCounts
from redirector.password_form import password_form, read_password
from redirector.passwords import Passwords, WrongPassword
from redirector.request_headers import Headers
from redirector.resolver import Resolution, Resolver
from redirector.visitor_traits import VisitorTraits
from redirector.visitors import Visitors
from shared import checkpoints
from shared.checkpoints import checkpoint
from shared.errors import DomainError
from shared.events import DEFAULT_DOMAIN
from shared.http import health, prefers_html, readiness
from shared.postgres import Pool

__all__ = ["Gone", "State", "Visit", "code_of", "follow", "health", "ready"]

CODE = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")  # what else cannot be in the table
METHOD_KEPT = {307, 308}
USED_UP = "URL has had all its clicks"


class State(TypedDict):
    """What the lifespan opens and each request uses."""

    resolver: Resolver
    clicks: ClickRecorder
    orphans: OrphanCounts
    hot_path: HotPath
    visitors: Visitors
    traits: VisitorTraits
    limits: ClickLimits
    passwords: Passwords
    pool: Pool


class Gone(DomainError):
    """The link was there and does not lead anywhere now."""

    status = 410


class Over(Gone):
    """The link has come to its end, and may lead elsewhere from then on."""


class NotFound(DomainError):
    """There is no such link."""

    status = 404


async def follow(request: Request[State]) -> Response:
    """Redirect to the link's target and record the click; neither a HEAD nor a prefetch is one."""
    code = code_of(request)
    resolution = await request.state["resolver"].resolve(code)
    request.scope["source"] = resolution.source
    try:
        return await Visit(request, code, resolution).answer()
    except WrongPassword as error:
        if prefers_html(request.headers.get("accept", "")):
            return password_form(error)
        raise


def code_of(request: Request[State]) -> str:
    """Return the code in the path; raises `NotFound` where it can be none."""
    code: str = request.path_params["code"]
    if not CODE.match(code):
        raise NotFound("Not found")
    return code


class Visit:
    """One visitor at one link."""

    def __init__(self, request: Request[State], code: str, resolution: Resolution) -> None:
        self._request = request
        self._state = request.state
        self._code = code
        self._record = resolution.record
        self._is_stale = resolution.source == "stale"
        self._headers: Headers = request_headers.from_scope(request.scope["headers"])
        is_prefetch = request_headers.is_prefetch(self._headers)
        self._is_click = request.method != "HEAD" and not is_prefetch
        peer = request.client.host if request.client else ""
        visitors = self._state["visitors"]
        self._address = visitors.address(peer, self._headers, is_trusted=visitors.is_trusted(peer))

    async def answer(self) -> Response:
        """Return the redirect; raises `DomainError` where there is none."""
        try:
            return await self._follow()
        except Over:
            if self._record.expired_target is None:
                raise
            return self._lead_on(self._record.expired_target)

    async def _follow(self) -> Response:
        record = self._record
        self.refuse_gone()
        self._refuse_method()
        if record.password_hash is not None:
            await self._ask_password(record.password_hash)
        if record.max_clicks is not None:
            await self._take_click(record.max_clicks)
        if self._is_click:
            self._note_click(link_members(DEFAULT_DOMAIN, self._code, record))
        return self._redirect()

    def refuse_gone(self) -> None:
        """Raise `NotFound`, `Gone` or `Over` where the link leads nobody to its target now."""
        record = self._record
        if record.state == "unknown" and self._request.method == "GET" and self._is_click:
            self._state["orphans"].count(self._code)
        if record.state in {"unknown", "deleted"}:
            raise NotFound("Not found")
        if record.state == "inactive":
            raise Gone("URL is deactivated")
        self._refuse_time(time.time())

    def _refuse_time(self, now: float) -> None:
        record = self._record
        if record.starts_at is not None and now < record.starts_at:
            raise Gone("URL is not active yet")
        if record.expires_at is not None and now >= record.expires_at:
            raise Over("URL has expired")

    def _refuse_method(self) -> None:
        """Accept POST where a password may come with it, or where the redirect passes it on."""
        record = self._record
        may_post = record.password_hash is not None or record.redirect_status in METHOD_KEPT
        if self._request.method == "POST" and not may_post:
            raise HTTPException(405, "Method not allowed", {"Allow": "GET, HEAD"})

    async def _ask_password(self, password_hash: str) -> None:
        password = await read_password(self._request)
        if password is None:
            raise WrongPassword("This link needs a password")
        assert self._record.url_id is not None
        with checkpoint("password"):
            await self._state["passwords"].check(
                self._record.url_id, password_hash, password, self._address
            )

    async def _take_click(self, limit: int) -> None:
        if not self._is_click:
            await self.refuse_used_up(limit)
            return
        assert self._record.url_id is not None
        if not await self._state["limits"].take(self._record.url_id, limit):
            raise Over(USED_UP)

    async def refuse_used_up(self, limit: int) -> None:
        """Raise `Over` where a click would be beyond `limit`, and count none."""
        assert self._record.url_id is not None
        if not await self._state["limits"].is_left(self._record.url_id, limit):
            raise Over(USED_UP)

    def _redirect(self) -> Response:
        record = self._record
        response = Response(
            status_code=self._status(),
            headers=answers.redirect_headers(
                self.target(), answers.cache_seconds(record, time.time())
            ),
        )
        return self._marked(response)

    def _lead_on(self, target: str) -> Response:
        """Return the redirect of a link that is over; it is no click."""
        status = 303 if self._request.method == "POST" else 302
        headers = answers.redirect_headers(target, 0)
        return self._marked(Response(status_code=status, headers=headers))

    def _marked(self, response: Response) -> Response:
        if self._is_stale:
            response.headers["X-Cache"] = "stale"
        return response

    def _status(self) -> int:
        """Return the link's own status; to a password, posted to us alone, the answer is a GET."""
        if self._request.method == "POST" and self._record.password_hash is not None:
            return 303
        return self._record.redirect_status

    def target(self) -> str:
        """Return where the link leads this visitor."""
        record = self._record
        assert record.target is not None
        target = record.target
        if record.rules:
            assert record.url_id is not None
            visitor = self._state["traits"].visitor(self._headers, self._address)
            target = choices.target_of(record, record.url_id, visitor)
        if record.forward_query:
            target = choices.with_query(target, self._request.url.query)
        return target

    def _note_click(self, link: bytes) -> None:
        click = self._click(link)
        with checkpoint("journal"):
            self._state["clicks"].record([click])

    def _click(self, link: bytes) -> bytes:
        visitor = self._state["visitors"].members(self._headers, self._address)
        if (traceparent := checkpoints.traceparent()) is not None:
            visitor += trace_member(traceparent)
        query: bytes = self._request.scope["query_string"]
        request_id = self._request.scope["request_id"].encode()
        return self._state["clicks"].encoder.encode(
            link,
            visitor + source_members(query),
            request_id,
            quoted(request_id),
            self._headers.get(b"x-request-start"),
        )


async def ready(request: Request[State]) -> Response:
    """Answer whether links can be resolved."""
    return await readiness(request, {"stores": request.state["resolver"].check})
