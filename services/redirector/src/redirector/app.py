"""Put the redirector together: resources, routes, error mapping."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from redirector import link_follower, metrics
from redirector.cache_sampler import CacheSampler
from redirector.click_frames import ClickFrames
from redirector.click_limits import ClickLimits
from redirector.click_recorder import ClickRecorder
from redirector.handlers import State, follow, health, ready
from redirector.hot_path import HotPath
from redirector.link_follower import LinkFollower
from redirector.link_store import LinkStore
from redirector.near_cache import NearCache
from redirector.orphan_counts import OrphanCounts
from redirector.passwords import Passwords
from redirector.preview import PreviewPage
from redirector.resolver import MAX_LOADS, Resolver
from redirector.settings import Settings
from redirector.visitor_traits import VisitorTraits
from redirector.visitors import Visitors
from shared import pool_metrics, postgres, redis_client, streams
from shared.countries import Countries
from shared.events import DEFAULT_DOMAIN
from shared.http import EXCEPTION_HANDLERS, RequestIDMiddleware
from shared.observation import Answered, ObservationMiddleware
from shared.postgres import Pool
from shared.request_log import RequestLog
from shared.tasks import background
from shared.telemetry import Tracing

POOL_SIZE = 4
QUERY_TIMEOUT_SECONDS = 0.5
MAX_LIMITED = 100  # visitors at once whose click is taken off a limit; beyond, 503
DRAIN_SECONDS = 5.0

FOLLOWED = ["/urls/{code}/redirect", "/urls/{code}/redirect/", "/{code}", "/{code}/"]
SAME_ROUTES = {"/urls/{code}/redirect": metrics.REDIRECT_ROUTE}
ROUTES = [
    Route("/health", health),
    Route("/health/ready", ready),
    Route("/{code}+", PreviewPage),
    Route("/{code}+/", PreviewPage),
    *(Route(path, follow, methods=["GET", "HEAD", "POST"]) for path in FOLLOWED),
]


def _note(answered: Answered) -> None:
    """Count a request that the short cut did not take; that one counts its own."""
    source = answered.scope.get("source", "none")
    metrics.answered_on(answered.route, answered.status, source, answered.seconds)


async def _keep_session(_connection: object) -> None:
    """Reset nothing: every use of a connection is one SELECT, and a reset doubles its cost."""


@asynccontextmanager
async def _replicas(settings: Settings) -> AsyncIterator[Pool | None]:
    """Make the pool of connections to replicas, where there are any."""
    if settings.postgres_read_dsn is None:
        yield None
        return
    async with await postgres.create_pool(
        settings.postgres_read_dsn,
        name="redirector",
        max_size=POOL_SIZE,
        command_timeout=QUERY_TIMEOUT_SECONDS,
        reset=_keep_session,
        standbys=True,
    ) as pool:
        yield pool


def create_app(settings: Settings) -> Starlette:
    """Build the application; no server is asked before its lifespan starts.

    Raises `SystemExit` where the database of countries can't be read: a lifespan that ends so is
    logged with its traceback.
    """
    countries = Countries(settings.geoip_database)
    tracing = Tracing("redirector", settings)
    request_log = RequestLog(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[State]:
        async with (
            tracing.running(),
            redis_client.connect(
                settings.cache_url,
                name="redirector",
                max_connections=2 * MAX_LOADS,
                timeout=None,  # Dependency sets the limit
            ) as cache,
            redis_client.connect(
                settings.bus_url,
                name="redirector-clicks",
                max_connections=MAX_LIMITED + 4,
                timeout=None,
            ) as bus,
            redis_client.connect(
                settings.bus_url,
                name="redirector-links",
                max_connections=1,
                timeout=link_follower.SOCKET_TIMEOUT_SECONDS,
            ) as feed,
            await postgres.create_pool(
                settings.postgres_dsn,
                name="redirector",
                max_size=POOL_SIZE,
                command_timeout=QUERY_TIMEOUT_SECONDS,
                reset=_keep_session,
            ) as pool,
            _replicas(settings) as replicas,
        ):
            pool_metrics.watch_postgres(pool)
            if replicas is not None:
                pool_metrics.watch_postgres(replicas, "replicas")
            pool_metrics.watch_redis("cache", cache)
            pool_metrics.watch_redis("bus", bus)
            pool_metrics.watch_redis("links", feed)
            near = NearCache(settings.near_cache_links)
            follower = LinkFollower(feed, near, tracing)
            store = LinkStore(pool, replicas, DEFAULT_DOMAIN)
            resolver = Resolver(near, follower, cache, store, DEFAULT_DOMAIN)
            names = streams.click_streams(settings.click_streams)
            clicks = ClickRecorder(
                settings.journal_dir,
                ClickFrames(bus, names, tracing),
                max_bytes=settings.journal_max_bytes,
                segment_bytes=settings.journal_segment_bytes,
            )
            visitors = Visitors(
                trusted_proxies=settings.trusted_proxies,
                address_policy=settings.ip_policy,
                honour_opt_out=settings.honour_opt_out,
            )
            orphans = OrphanCounts(bus, DEFAULT_DOMAIN)
            try:
                async with (
                    clicks.running(),
                    background(orphans.run(), name="orphans"),
                    background(follower.run(), name="links"),
                    background(CacheSampler(cache, pool).run(), name="sampler"),
                ):
                    yield {
                        "resolver": resolver,
                        "clicks": clicks,
                        "orphans": orphans,
                        "hot_path": HotPath(resolver, clicks, visitors, tracing, request_log),
                        "visitors": visitors,
                        "traits": VisitorTraits(countries),
                        "limits": ClickLimits(bus, pool),
                        "passwords": Passwords(cache),
                        "pool": pool,
                    }
                    await resolver.close()
                await clicks.drain(DRAIN_SECONDS)
                await orphans.send()
            finally:
                clicks.close()
                countries.close()

    app = Starlette(
        lifespan=lifespan,
        routes=ROUTES,
        middleware=[
            Middleware(RequestIDMiddleware),
            Middleware(
                ObservationMiddleware,
                note=_note,
                tracing=tracing,
                request_log=request_log,
                same_routes=SAME_ROUTES,
            ),
        ],
        exception_handlers=EXCEPTION_HANDLERS,
    )
    # Starlette would build an absolute address from the Host header: an open redirect.
    app.router.redirect_slashes = False
    return app
