"""Put management together: resources, routes, error mapping."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware

from management import (
    alias_handlers,
    audit_handlers,
    ban_handlers,
    bulk_handlers,
    cross_origin,
    docs_handlers,
    event_export,
    event_handlers,
    home,
    key_handlers,
    live_handlers,
    lookup_handlers,
    metrics,
    openapi,
    qr_handlers,
    redirects,
    stats_handlers,
    tag_handlers,
    trash_handlers,
    url_handlers,
    user_handlers,
    webhook_handlers,
)
from management.admission import Admission, RateLimitHeadersMiddleware
from management.auth import Guard
from management.key_uses import KeyUses
from management.live_clicks import LiveClicks
from management.passwords import Passwords
from management.rate_limits import RateLimits
from management.relay import Relay
from management.resources import State, paths_of, route
from management.settings import Settings
from shared import pool_metrics, postgres, redis_client
from shared.http import EXCEPTION_HANDLERS, RequestIDMiddleware
from shared.observation import ObservationMiddleware
from shared.request_log import RequestLog
from shared.tasks import background
from shared.telemetry import Tracing

POOL_SIZE = 5
QUERY_TIMEOUT_SECONDS = 5.0
REDIS_TIMEOUT_SECONDS = 1.0
REDIS_CONNECTIONS = 100

ROUTES = [
    *route("/", needs_key=False, get=home.home),
    *route("/docs", needs_key=False, get=docs_handlers.docs),
    *route("/docs/{asset}", needs_key=False, get=docs_handlers.asset),
    *route("/openapi.json", needs_key=False, get=docs_handlers.openapi_json),
    *route("/health", needs_key=False, get=home.health),
    *route("/health/ready", needs_key=False, get=home.ready),
    *route("/users", get=user_handlers.list_users, post=user_handlers.create_user),
    *route("/users/bulk", post=user_handlers.import_users),
    *route(
        "/users/{user_id}",
        get=user_handlers.read_user,
        put=user_handlers.update_user,
        delete=user_handlers.delete_user,
    ),
    *route("/users/{user_id}/audit", get=audit_handlers.list_audit_records_of_user),
    *route("/admin/audit", get=audit_handlers.list_audit_records),
    *route("/users/{user_id}/keys", get=key_handlers.list_keys, post=key_handlers.create_key),
    *route("/users/{user_id}/keys/{key_id}", delete=key_handlers.revoke_key),
    *route("/urls", get=url_handlers.list_urls, post=url_handlers.create_url),
    *route(
        "/urls/bulk",
        post=bulk_handlers.create_urls,
        patch=bulk_handlers.update_urls,
        delete=bulk_handlers.delete_urls,
    ),
    *route("/urls/lookup", get=lookup_handlers.look_up_url),
    *route("/urls/trash", get=trash_handlers.list_trash),
    *route(
        "/urls/{url_id}",
        get=url_handlers.read_url,
        put=url_handlers.update_url,
        patch=url_handlers.patch_url,
        delete=url_handlers.delete_url,
    ),
    *route("/urls/{url_id}/qr", get=qr_handlers.read_qr),
    *route("/tags", get=tag_handlers.list_tags),
    *route("/tags/{name}", patch=tag_handlers.rename_tag, delete=tag_handlers.delete_tag),
    *route("/urls/{url_id}/stats", get=stats_handlers.read_url_stats),
    *route("/urls/{url_id}/events/live", get=live_handlers.stream_clicks),
    *route("/stats", get=stats_handlers.read_stats),
    *route("/stats/orphans", get=stats_handlers.read_orphan_stats),
    *route(
        "/urls/{url_id}/aliases", get=alias_handlers.list_aliases, post=alias_handlers.create_alias
    ),
    *route("/urls/{url_id}/restore", post=trash_handlers.restore_url),
    *route("/urls/{url_id}/history", get=trash_handlers.list_history),
    *route("/urls/{url_id}/aliases/{alias}", delete=alias_handlers.delete_alias),
    *route("/banned-hosts", get=ban_handlers.list_banned_hosts),
    *route("/banned-hosts/{host}", put=ban_handlers.ban_host, delete=ban_handlers.unban_host),
    *route("/reserved-codes", get=ban_handlers.list_reserved_codes),
    *route("/reserved-codes/{code}", put=ban_handlers.reserve_code, delete=ban_handlers.free_code),
    *route("/webhooks", get=webhook_handlers.list_webhooks, post=webhook_handlers.create_webhook),
    *route(
        "/webhooks/{webhook_id}",
        get=webhook_handlers.read_webhook,
        put=webhook_handlers.update_webhook,
        delete=webhook_handlers.delete_webhook,
    ),
    *route("/webhooks/{webhook_id}/test", post=webhook_handlers.test_webhook),
    *route("/webhooks/{webhook_id}/deliveries", get=webhook_handlers.list_deliveries),
    *route("/events", get=event_handlers.list_events, post=event_handlers.create_event),
    *route("/events/export", get=event_export.export_events),
    *route("/events/{event_id}", get=event_handlers.read_event, put=event_handlers.update_event),
]


def describe() -> dict[str, Any]:
    """Return the OpenAPI document of this host: of our routes, and of the redirector's."""
    return openapi.document([*paths_of(ROUTES), *redirects.PATHS])


def create_app(settings: Settings) -> Starlette:
    """Build the application; nothing is opened before its lifespan starts."""
    document = msgspec.json.encode(describe())
    tracing = Tracing("management", settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[State]:
        async with (
            tracing.running(),
            redis_client.connect(
                settings.cache_url,
                name="management",
                max_connections=REDIS_CONNECTIONS,
                timeout=REDIS_TIMEOUT_SECONDS,
            ) as cache,
            redis_client.connect(
                settings.bus_url,
                name="management",
                max_connections=REDIS_CONNECTIONS,
                timeout=REDIS_TIMEOUT_SECONDS,
            ) as bus,
            await postgres.create_pool(
                settings.postgres_dsn,
                name="management",
                max_size=POOL_SIZE,
                command_timeout=QUERY_TIMEOUT_SECONDS,
                # Which index serves a list depends on what is asked for: a plan for any value
                # would read every link with a common trigram.
                plan_cache_mode="force_custom_plan",
            ) as pool,
        ):
            pool_metrics.watch_postgres(pool)
            pool_metrics.watch_redis("cache", cache)
            pool_metrics.watch_redis("bus", bus)
            relay = Relay(settings.postgres_dsn, cache, bus, tracing)
            uses = KeyUses(pool)
            app.state.leaving = asyncio.Event()
            live = LiveClicks(bus, app.state.leaving)
            async with (
                background(relay.run(), name="relay"),
                background(uses.run(), name="key_uses"),
                background(live.run(), name="live_clicks"),
            ):
                yield {
                    "pool": pool,
                    "cache": cache,
                    "bus": bus,
                    "passwords": Passwords(),
                    "admission": Admission(
                        Guard(pool, settings.auth, uses),
                        RateLimits(cache),
                        key_rate=settings.key_rate,
                        address_rate=settings.address_rate,
                    ),
                    "live": live,
                    "exports": asyncio.Semaphore(event_export.MAX_EXPORTS),
                    "own_hosts": frozenset({urlsplit(settings.public_url).hostname or ""}),
                    "public_url": settings.public_url.rstrip("/"),
                    "private_targets": settings.webhook_private_targets,
                    "openapi": document,
                }

    app = Starlette(
        lifespan=lifespan,
        routes=ROUTES,
        middleware=[
            Middleware(RequestIDMiddleware),
            Middleware(
                ObservationMiddleware,
                note=metrics.note,
                tracing=tracing,
                request_log=RequestLog(settings),
            ),
            *cross_origin.allowing(settings.cors_origins),
            Middleware(RateLimitHeadersMiddleware),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    # Starlette would build an absolute address from the Host header: an open redirect.
    app.router.redirect_slashes = False
    return app
