"""`/webhooks`: whom we tell what happens, and what became of it."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from management import audit_repository, fields, pages, targets, webhook_messages
from management import webhook_repository as webhooks
from management.bodies import read_object
from management.connections import connection, transaction
from management.errors import Conflict, Forbidden, Invalid, Malformed
from management.resources import State, operation, path_id, principal_of
from management.webhook_messages import EVENT_TYPES, TEST
from management.webhook_repository import Delivery, Webhook
from shared.http import JSONResponse

DEFAULT_PER_PAGE = 100
MISSING = "Webhook not found"


@fields.accepts(
    type="array",
    items={"type": "string", "enum": list(EVENT_TYPES)},
    minItems=1,
    uniqueItems=True,
    description="What it is told of; clicks come in batches.",
)
def _events(value: object) -> list[str]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list that is not empty")
    if any(each not in EVENT_TYPES for each in value) or len(set(value)) != len(value):
        raise ValueError(f"must name each of {', '.join(EVENT_TYPES)} at most once")
    return value


def anywhere(value: object) -> str:
    """Accept an http or https URL of any host, for installations that allow private ones."""
    text = str(fields.text(targets.MAX_LENGTH)(value))
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be an absolute http or https URL without credentials")
    return text


URL_SCHEMA = {
    **targets.SCHEMA,
    "description": "Where it is told, by POST: an http or https URL with a public host.",
    "examples": ["https://example.com/hooks/shortwire"],
}
CHECKS = {
    "url": fields.Check(targets.anywhere, URL_SCHEMA),
    "events": _events,
}
NEW = fields.Body(
    checks={
        **CHECKS,
        "user_id": fields.optional(fields.integer),
    },
    example={"url": "https://example.com/hooks/shortwire", "events": list(EVENT_TYPES)},
    required=frozenset(CHECKS),
    error=Invalid,
)
CHANGES = fields.Body(
    checks={**CHECKS, "is_active": fields.boolean}, example={"is_active": True}, needs_one=True
)


@fields.accepts(type="string", enum=["pending", "delivered", "dead"])
def _state(value: object) -> str:
    if value not in {"pending", "delivered", "dead"}:
        raise ValueError("must be pending, delivered or dead")
    return str(value)


FILTERS = {"state": _state}


class NewWebhook(Webhook, frozen=True):
    """A webhook as it is shown once, when it is made."""

    secret: str


HOOK = Webhook(
    id=1,
    user_id=1,
    url="https://example.com/hooks/shortwire",
    events=["link.created", "clicks"],
    is_active=True,
    failures=0,
    disabled_reason=None,
    created_at=fields.EXAMPLE_TIME,
    updated_at=fields.EXAMPLE_TIME,
)
NEW_HOOK = NewWebhook(**msgspec.structs.asdict(HOOK), secret="whsec_…")  # noqa: S106
DELIVERY = Delivery(
    id=1,
    message_id="msg_link_1_7",
    event_type="link.created",
    state="delivered",
    attempts=1,
    created_at=fields.EXAMPLE_TIME,
    next_attempt_at=None,
    ended_at=fields.EXAMPLE_TIME,
    last_status=204,
    last_error=None,
)


@operation(
    list[Webhook], example=[HOOK], headers=("Link",), query=pages.parameters(DEFAULT_PER_PAGE)
)
async def list_webhooks(request: Request[State]) -> Response:
    """Return a page of webhooks, without their secrets; an owner sees their own."""
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    async with connection(request.state["pool"]) as lent:
        found = await webhooks.find_page(lent, page, principal_of(request).owner)
    return pages.answer(request, page, found)


@operation(
    NewWebhook,
    status=201,
    example=NEW_HOOK,
    headers=("Location",),
    body=NEW,
    errors=(Conflict, Forbidden),
)
async def create_webhook(request: Request[State]) -> Response:
    """Add a webhook; the answer shows its secret, once.

    It is told of its owner's links; an administrator's without `user_id` of everybody's.
    """
    values = _checked(NEW, request).read(await read_object(request))
    owner = principal_of(request).owner
    user_id = values.get("user_id") or owner
    if owner is not None and user_id != owner:
        raise Forbidden("user_id must be your own")
    secret = webhook_messages.new_secret()
    async with transaction(request.state["pool"]) as lent:
        try:
            hook = await webhooks.insert(lent, user_id, values["url"], values["events"], secret)
        except asyncpg.ForeignKeyViolationError:
            raise Invalid("User not found", {"user_id": "User not found"}) from None
        facts = {"events": hook.events}
        await audit_repository.insert(
            lent, "webhook.created", user_id=user_id, subject_id=hook.id, details=facts
        )
    shown = NewWebhook(**msgspec.structs.asdict(hook), secret=secret)
    return JSONResponse(shown, 201, {"Location": f"/webhooks/{hook.id}"})


@operation(Webhook, example=HOOK)
async def read_webhook(request: Request[State]) -> Response:
    """Return one webhook, without its secret."""
    webhook_id = path_id(request, "webhook_id", MISSING)
    async with connection(request.state["pool"]) as lent:
        hook = await webhooks.find(lent, webhook_id, principal_of(request).owner)
    return JSONResponse(hook)


@operation(Webhook, example=HOOK, body=CHANGES)
async def update_webhook(request: Request[State]) -> Response:
    """Change a webhook's address or events, or switch it on or off.

    Switched on again after it was disabled, it is given what waited.
    """
    webhook_id = path_id(request, "webhook_id", MISSING)
    values = _checked(CHANGES, request).read(await read_object(request))
    if not values:
        raise Malformed("Nothing to change: give url, events or is_active")
    async with transaction(request.state["pool"]) as lent:
        hook = await webhooks.update(lent, webhook_id, principal_of(request).owner, values)
        facts = {"changed": sorted(values)}
        await audit_repository.insert(
            lent, "webhook.updated", user_id=hook.user_id, subject_id=hook.id, details=facts
        )
    return JSONResponse(hook)


@operation(status=204)
async def delete_webhook(request: Request[State]) -> Response:
    """Remove a webhook, and what waits for it."""
    webhook_id = path_id(request, "webhook_id", MISSING)
    async with transaction(request.state["pool"]) as lent:
        user_id = await webhooks.delete(lent, webhook_id, principal_of(request).owner)
        await audit_repository.insert(
            lent, "webhook.deleted", user_id=user_id, subject_id=webhook_id
        )
    return Response(status_code=204)


@operation(Delivery, status=202, example=DELIVERY)
async def test_webhook(request: Request[State]) -> Response:
    """Send a message of the type `webhook.test`; its delivery tells what became of it."""
    webhook_id = path_id(request, "webhook_id", MISSING)
    body = webhook_messages.body_of(TEST, datetime.now(UTC), {"webhook_id": webhook_id})
    async with transaction(request.state["pool"]) as lent:
        await webhooks.find(lent, webhook_id, principal_of(request).owner)
        message_id = f"msg_test_{secrets.token_hex(8)}"
        delivery = await webhooks.enqueue_one(lent, webhook_id, message_id, TEST, body)
    return JSONResponse(delivery, 202)


@operation(
    list[Delivery],
    example=[DELIVERY],
    headers=("Link",),
    query=pages.parameters(DEFAULT_PER_PAGE, FILTERS),
)
async def list_deliveries(request: Request[State]) -> Response:
    """Return a page of a webhook's messages: `pending`, `delivered` or, given up, `dead`.

    What was delivered is shown for three days, what is dead for thirty.
    """
    webhook_id = path_id(request, "webhook_id", MISSING)
    page = pages.read_page(request, DEFAULT_PER_PAGE)
    filters = pages.read_filters(request, FILTERS)
    async with connection(request.state["pool"]) as lent:
        await webhooks.find(lent, webhook_id, principal_of(request).owner)
        found = await webhooks.find_deliveries(lent, webhook_id, page, filters.get("state"))
    return pages.answer(request, page, found)


def _checked(body: fields.Body, request: Request[State]) -> fields.Body:
    """Return `body` with what this installation accepts as an address."""
    if request.state["private_targets"]:
        check = fields.Check(anywhere, URL_SCHEMA)
    else:
        check = fields.Check(targets.outside(request.state["own_hosts"]), URL_SCHEMA)
    checks: Mapping[str, Any] = {**body.checks, "url": check}
    return msgspec.structs.replace(body, checks=checks)
