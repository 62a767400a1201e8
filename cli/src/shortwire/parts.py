"""What the embedded system consists of: each part's address, program and settings."""

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from shortwire import database_repository, gateway, servers, services
from shortwire.data_folder import DataFolder
from shortwire.ports import Ports
from shortwire.processes import Program
from shortwire.services import local_url
from shortwire.settings import Settings
from shortwire.stack_file import Part, Stack

MANAGEMENT = "management"
WEBHOOKS = "webhooks"


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """The ports of the inner parts; a redirector has one for links and one for its metrics.

    An ingest has only that of its metrics.
    """

    postgres: int
    cache: int
    bus: int
    management: int
    management_metrics: int
    webhooks_metrics: int
    redirectors: dict[str, tuple[int, int]]
    ingests: dict[str, int]


def lay_out(ports: Ports, *, redirectors: int, ingests: int) -> Layout:
    """Take a port for every inner part."""
    names = _numbered("redirector", redirectors)
    return Layout(
        postgres=ports.take("postgres"),
        cache=ports.take("cache"),
        bus=ports.take("bus"),
        management=ports.take(MANAGEMENT),
        management_metrics=ports.take(f"{MANAGEMENT}-metrics"),
        webhooks_metrics=ports.take(f"{WEBHOOKS}-metrics"),
        redirectors={name: (ports.take(name), ports.take(f"{name}-metrics")) for name in names},
        ingests={name: ports.take(f"{name}-metrics") for name in _numbered("ingest", ingests)},
    )


def _numbered(name: str, count: int) -> list[str]:
    return [f"{name}-{number}" for number in range(1, count + 1)]


class Parts:
    """The parts of one installation; nothing is started here."""

    def __init__(self, settings: Settings, folder: DataFolder) -> None:
        self._settings = settings
        self._folder = folder
        self._secrets = folder.secrets()
        ports = Ports(folder.path / "ports.json")
        self._layout = lay_out(ports, redirectors=settings.redirectors, ingests=settings.ingests)
        ports.save()
        self.postgres_dsn = settings.postgres_url or servers.postgres_dsn(
            self._layout.postgres, self._secrets.postgres
        )
        self.cache_url = settings.cache_url or servers.redis_url(
            self._layout.cache, self._secrets.cache
        )
        self.bus_url = settings.bus_url or servers.redis_url(self._layout.bus, self._secrets.bus)

    def stores(self, pause: Callable[[float], None]) -> list[Program]:
        """Return the stores, without those that were given by URL; may make data (seconds)."""
        programs = []
        if self._settings.cache_url is None:
            port, password = self._layout.cache, self._secrets.cache
            data = self._folder.part("cache")
            programs.append(servers.redis("cache", data, port, password, servers.CACHE_SETTINGS))
        if self._settings.bus_url is None:
            port, password = self._layout.bus, self._secrets.bus
            data = self._folder.part("bus")
            programs.append(servers.redis("bus", data, port, password, servers.BUS_SETTINGS))
        if self._settings.postgres_url is None:
            data = self._folder.path / "postgres"
            servers.initialise_postgres(data, self._secrets.postgres, pause)
            servers.remove_stale_pid_file(data)
            programs.append(servers.postgres(data, self._layout.postgres))
        return programs

    def prepare_database(self) -> None:
        """Make our database in our PostgreSQL unless it is there."""
        if self._settings.postgres_url is None:
            port, password = self._layout.postgres, self._secrets.postgres
            server = servers.postgres_dsn(port, password, "postgres")
            asyncio.run(database_repository.create(server, servers.POSTGRES_DATABASE))

    def migration(self) -> dict[str, str]:
        """Return the settings of the migration."""
        return {
            "POSTGRES_DSN": self.postgres_dsn,
            "REDIRECTOR_DB_PASSWORD": self._secrets.redirector,
            "MANAGEMENT_DB_PASSWORD": self._secrets.management,
            "INGEST_DB_PASSWORD": self._secrets.ingest,
        }

    def management(self) -> dict[str, str]:
        """Return the settings of the management service."""
        return {
            "POSTGRES_DSN": services.role_dsn(
                self.postgres_dsn, "shortwire_management", self._secrets.management
            ),
            "CACHE_URL": self.cache_url,
            "BUS_URL": self.bus_url,
            "METRICS_PORT": str(self._layout.management_metrics),
            "PUBLIC_URL": self._settings.public_url or self._settings.gateway_url(),
            "AUTH": self._settings.auth,
            "CORS_ORIGINS": self._settings.cors_origins,
            "WEBHOOK_PRIVATE_TARGETS": str(self._settings.webhook_private_targets).lower(),
            "KEY_RATE": str(self._settings.key_rate or self._settings.api_rate),
            # As the gateway has it; over all gateways, where there are several.
            "ADDRESS_RATE": str(self._settings.api_rate),
            "LOG_LEVEL": self._settings.log_level,
        }

    def webhooks(self) -> dict[str, str]:
        """Return the settings of what tells webhooks."""
        settings = self._settings
        return {
            "POSTGRES_DSN": self.management()["POSTGRES_DSN"],
            "BUS_URL": self.bus_url,
            "CONSUMER": WEBHOOKS,
            "WEBHOOK_PRIVATE_TARGETS": str(settings.webhook_private_targets).lower(),
            "LOG_LEVEL": settings.log_level,
        }

    def services(self) -> list[Program]:
        """Return event-ingest, management and the redirectors, in the order of their start."""
        ingest = {
            "POSTGRES_DSN": services.role_dsn(
                self.postgres_dsn, "shortwire_ingest", self._secrets.ingest
            ),
            "BUS_URL": self.bus_url,
            **self._privacy(),
            "LOG_LEVEL": self._settings.log_level,
        }
        return [
            *(services.ingest(name, port, ingest) for name, port in self._layout.ingests.items()),
            services.web_service(
                MANAGEMENT, "management", self._layout.management, self.management()
            ),
            services.worker(
                WEBHOOKS, "management.webhooks", self._layout.webhooks_metrics, self.webhooks()
            ),
            *self._redirectors(),
            *self._retention(),
        ]

    def _redirectors(self) -> Iterable[Program]:
        environ = {
            "POSTGRES_DSN": services.role_dsn(
                self.postgres_dsn, "shortwire_redirector", self._secrets.redirector
            ),
            "CACHE_URL": self.cache_url,
            "BUS_URL": self.bus_url,
            "CLICK_STREAMS": str(self._settings.click_streams),
            "JOURNAL_DIR": str(self._folder.part("journal")),
            **self._privacy(),
            "LOG_LEVEL": self._settings.log_level,
        }
        for name, (port, metrics) in self._layout.redirectors.items():
            own = {**environ, "METRICS_PORT": str(metrics)}
            yield services.web_service(name, "redirector", port, own)

    def _retention(self) -> Iterable[Program]:
        days = self._settings.events_retention_days
        if days is not None:
            environ = {
                "POSTGRES_DSN": self.postgres_dsn,
                "EVENTS_RETENTION_DAYS": str(days),
                "LOG_LEVEL": self._settings.log_level,
            }
            yield services.retention(environ)

    def _privacy(self) -> dict[str, str]:
        """Return what of visitors may be known."""
        settings = self._settings
        countries = settings.geoip_database
        return {
            "IP_POLICY": settings.ip_policy,
            "HONOUR_OPT_OUT": str(settings.honour_opt_out).lower(),
            "GEOIP_DATABASE": str(countries.absolute()) if countries else "",
        }

    def gateway(self) -> Program:
        """Return the gateway before all of them."""
        ports = [port for port, _ in self._layout.redirectors.values()]
        return gateway.program(
            self._settings,
            self._folder.part("gateway"),
            redirectors=ports,
            management=[self._layout.management],
        )

    def log_files(self) -> list[Path]:
        """Return every log that a part writes."""
        logs = list(self._folder.logs.glob("*.log"))
        return [*logs, self._folder.path / "gateway" / gateway.ACCESS_LOG]

    def stack(self, pid: Callable[[str], int | None]) -> Stack:
        """Return where each part answers; `pid` tells the process of a name."""
        layout = self._layout

        def part(name: str, url: str, metrics_port: int | None = None) -> Part:
            metrics = metrics_port and f"{local_url(metrics_port)}/metrics"
            return Part(pid=pid(name), url=url, metrics=metrics or None)

        return Stack(
            gateway=part("gateway", self._settings.gateway_url()),
            redirectors=[
                part(name, local_url(port), metrics)
                for name, (port, metrics) in layout.redirectors.items()
            ],
            management=part(MANAGEMENT, local_url(layout.management), layout.management_metrics),
            webhooks=part(WEBHOOKS, local_url(layout.webhooks_metrics), layout.webhooks_metrics),
            ingest=[part(name, local_url(port), port) for name, port in layout.ingests.items()],
            postgres=part("postgres", self.postgres_dsn),
            cache=part("cache", self.cache_url),
            bus=part("bus", self.bus_url),
        )
